// SPDX-License-Identifier: MIT
#include "base/memtable.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <cstring>
#include <deque>
#include <new>
#include <tuple>
#include <utility>

#include "projfs/bytes.h"

namespace projfs {
namespace {

constexpr int kMostLevels = 12;
constexpr std::uint32_t kBranching = 4;  // a power of two

// A key of a memtable, which is followed by its value: the length of the rest as a varint, the
// user's key, and 8 bytes made of sequence number and type.
struct Key {
  const char* data = nullptr;
  std::size_t size = 0;    // of the user's key
  std::uint64_t tail = 0;  // newer ones are greater, and come first
};

std::uint64_t load(const char* from) {
  std::uint64_t word = 0;
  std::memcpy(&word, from, sizeof word);
  return word;
}

Key decode(const char* entry) {
  std::uint32_t length = 0;
  for (int shift = 0;; shift += 7) {
    const auto byte = static_cast<std::uint8_t>(*entry++);
    length |= static_cast<std::uint32_t>(byte & 0x7f) << shift;
    if (byte < 0x80) break;
  }
  const std::size_t size = length - sizeof(std::uint64_t);
  return {entry, size, detail::to_order(load(entry + size), std::endian::little)};
}

// Whether `a` comes before `b`.
bool less(const Key& a, const Key& b) {
  const auto common = std::min(a.size, b.size);
  std::size_t at = 0;
  for (; at + sizeof(std::uint64_t) <= common; at += sizeof(std::uint64_t)) {
    const auto x = load(a.data + at), y = load(b.data + at);
    if (x != y)
      return detail::to_order(x, std::endian::big) < detail::to_order(y, std::endian::big);
  }
  if (const auto rest = std::memcmp(a.data + at, b.data + at, common - at); rest != 0)
    return rest < 0;
  if (a.size != b.size) return a.size < b.size;
  return a.tail > b.tail;
}

// The links of the higher levels lie before the node, its key behind it.
struct Node {
  std::atomic<Node*> lowest;

  [[nodiscard]] std::atomic<Node*>& link(int level) { return *(&lowest - level); }
  [[nodiscard]] Node* next(int level) { return link(level).load(std::memory_order_acquire); }
  [[nodiscard]] char* entry() { return reinterpret_cast<char*>(this + 1); }
  [[nodiscard]] Key key() { return decode(entry()); }
};
static_assert(sizeof(Node) == sizeof(std::atomic<Node*>));

Node* node_of(void* entry) { return static_cast<Node*>(entry) - 1; }

int random_levels() {
  static thread_local std::uint64_t state = 0x9E3779B97F4A7C15ULL;
  state ^= state >> 12;
  state ^= state << 25;
  state ^= state >> 27;
  auto bits = state * 0x2545F4914F6CDD1DULL >> 32;
  int levels = 1;
  for (; levels < kMostLevels && bits % kBranching == 0; ++levels) bits /= kBranching;
  return levels;
}

class Memtable final : public rocksdb::MemTableRep {
 public:
  explicit Memtable(rocksdb::Allocator* allocator)
      : MemTableRep(allocator), head_(allocate(kMostLevels, 0)) {}

  // How many levels the node gets is kept in its lowest link until it is inserted.
  rocksdb::KeyHandle Allocate(std::size_t length, char** buffer) override {
    const int levels = random_levels();
    Node* const node = allocate(levels, length);
    node->lowest.store(reinterpret_cast<Node*>(static_cast<std::uintptr_t>(levels)),
                       std::memory_order_relaxed);
    *buffer = node->entry();
    return node->entry();
  }

  void Insert(rocksdb::KeyHandle handle) override;
  void InsertConcurrently(rocksdb::KeyHandle handle) override { Insert(handle); }

  [[nodiscard]] bool Contains(const char* entry) const override {
    const Key key = decode(entry);
    Node* const found = at_or_after(key);
    return found != nullptr && !less(key, found->key());
  }
  std::size_t ApproximateMemoryUsage() override { return 0; }  // all of it is the allocator's
  void Get(const rocksdb::LookupKey& key, void* argument,
           bool (*callback)(void* argument, const char* entry)) override;
  Iterator* GetIterator(rocksdb::Arena* arena) override;
  Iterator* GetDynamicPrefixIterator(rocksdb::Arena* arena) override;

  [[nodiscard]] Node* first() const { return head_->next(0); }
  [[nodiscard]] Node* at_or_after(const Key& key) const {
    return search(key, levels_.load(std::memory_order_relaxed)).second;
  }
  // Null: there is none.
  [[nodiscard]] Node* before(const Key& key) const {
    Node* const found = search(key, levels_.load(std::memory_order_relaxed)).first;
    return found == head_ ? nullptr : found;
  }
  [[nodiscard]] Node* last() const {
    Node* at = head_;
    for (int level = levels_.load(std::memory_order_relaxed) - 1; level >= 0; --level) {
      while (Node* const next = at->next(level)) at = next;
    }
    return at == head_ ? nullptr : at;
  }

 private:
  using Gap = std::pair<Node*, Node*>;  // neighbours on a level, between which a key belongs

  Node* allocate(int levels, std::size_t length) {
    const auto links = sizeof(Node) * static_cast<std::size_t>(levels);
    char* memory = nullptr;
    MemTableRep::Allocate(links + length + alignof(Node) - 1, &memory);
    const auto address = reinterpret_cast<std::uintptr_t>(memory);
    memory += (alignof(Node) - address % alignof(Node)) % alignof(Node);
    auto* const lowest = reinterpret_cast<Node*>(memory) + levels - 1;
    for (int level = levels - 1; level >= 0; --level) new (lowest - level) Node{nullptr};
    return lowest;
  }

  // On one level, from a node that comes before `key`. `known` is known not to.
  static Gap search_level(const Key& key, Node* at, int level, Node* known) {
    while (true) {
      Node* const next = at->next(level);
      if (next == nullptr || next == known || !less(next->key(), key)) return {at, next};
      at = next;
    }
  }
  Gap search(const Key& key, int levels, Gap* gaps = nullptr) const {
    Gap gap{head_, nullptr};
    for (int level = levels - 1; level >= 0; --level) {
      gap = search_level(key, gap.first, level, gap.second);
      if (gaps != nullptr) gaps[level] = gap;
    }
    return gap;
  }

  Node* const head_;
  std::atomic<int> levels_{1};
};

void Memtable::Insert(rocksdb::KeyHandle handle) {
  Node* const node = node_of(handle);
  const auto levels = static_cast<int>(
      reinterpret_cast<std::uintptr_t>(node->lowest.load(std::memory_order_relaxed)));
  auto known = levels_.load(std::memory_order_relaxed);
  while (known < levels && !levels_.compare_exchange_weak(known, levels)) {
  }
  const Key key = node->key();
  std::array<Gap, kMostLevels> gaps;
  search(key, std::max(known, levels), gaps.data());
  // From the lowest level up, so that whoever finds it on one finds it on all below.
  for (int level = 0; level < levels; ++level) {
    auto& [before, after] = gaps[static_cast<std::size_t>(level)];
    while (true) {
      node->link(level).store(after, std::memory_order_relaxed);
      if (before->link(level).compare_exchange_strong(after, node, std::memory_order_release,
                                                      std::memory_order_relaxed))
        break;
      std::tie(before, after) = search_level(key, before, level, nullptr);
    }
  }
}

class Cursor final : public rocksdb::MemTableRep::Iterator {
 public:
  explicit Cursor(const Memtable& table, bool pooled) : table_(table), pooled_(pooled) {}
  ~Cursor() override {
    if (pooled_) pool().put(this);
  }
  Cursor(const Cursor&) = delete;
  Cursor& operator=(const Cursor&) = delete;

  // RocksDB ends an iterator by its destructor alone if it had given an arena, whose type it does
  // not publish. So memory goes back to a pool of the thread by the destructor, which is the last
  // that anybody does with it, and never by `delete`.
  static void* operator new(std::size_t size) { return pool().take(size); }
  static void* operator new(std::size_t /*size*/, void* place) { return place; }
  static void operator delete(void* /*memory*/) {}
  static void operator delete(void* /*memory*/, void* /*place*/) {}

  [[nodiscard]] bool Valid() const override { return node_ != nullptr; }
  [[nodiscard]] const char* key() const override { return node_->entry(); }
  void Next() override { node_ = node_->next(0); }
  void Prev() override { node_ = table_.before(node_->key()); }
  void Seek(const rocksdb::Slice& internal_key, const char* entry) override {
    node_ = table_.at_or_after(wanted(internal_key, entry));
  }
  void SeekForPrev(const rocksdb::Slice& internal_key, const char* entry) override {
    const Key key = wanted(internal_key, entry);
    node_ = table_.at_or_after(key);
    if (node_ == nullptr || less(key, node_->key())) node_ = table_.before(key);
  }
  void SeekToFirst() override { node_ = table_.first(); }
  void SeekToLast() override { node_ = table_.last(); }

 private:
  class Pool {
   public:
    Pool() = default;
    Pool(const Pool&) = delete;
    Pool& operator=(const Pool&) = delete;
    ~Pool() {
      for (void* memory : free_) ::operator delete(memory);
    }
    void* take(std::size_t size) {
      if (free_.empty()) return ::operator new(size);
      void* const memory = free_.back();
      free_.pop_back();
      return memory;
    }
    // What was given last is still in use, for an instant.
    void put(void* memory) {
      free_.push_back(memory);
      if (free_.size() <= kMostFree) return;
      ::operator delete(free_.front());
      free_.pop_front();
    }

   private:
    static constexpr std::size_t kMostFree = 64;
    std::deque<void*> free_;
  };
  static Pool& pool() {
    static thread_local Pool free;
    return free;
  }

  static Key wanted(const rocksdb::Slice& internal_key, const char* entry) {
    if (entry != nullptr) return decode(entry);
    const auto size = internal_key.size() - sizeof(std::uint64_t);
    return {internal_key.data(), size,
            detail::to_order(load(internal_key.data() + size), std::endian::little)};
  }

  const Memtable& table_;
  const bool pooled_;
  Node* node_ = nullptr;
};

// The iterator of a look-up. The default Get() asks for one and never ends it.
struct LookupCursor {
  alignas(Cursor) std::array<std::byte, sizeof(Cursor)> place;
  bool wanted = false;
};

LookupCursor& lookup_cursor() {
  static thread_local LookupCursor cursor;
  return cursor;
}

void Memtable::Get(const rocksdb::LookupKey& key, void* argument,
                   bool (*callback)(void* argument, const char* entry)) {
  lookup_cursor().wanted = true;
  MemTableRep::Get(key, argument, callback);
}

rocksdb::MemTableRep::Iterator* Memtable::GetIterator(rocksdb::Arena* /*arena*/) {
  return new Cursor(*this, true);
}

rocksdb::MemTableRep::Iterator* Memtable::GetDynamicPrefixIterator(rocksdb::Arena* arena) {
  auto& scratch = lookup_cursor();
  if (!std::exchange(scratch.wanted, false)) return GetIterator(arena);
  return new (scratch.place.data()) Cursor(*this, false);
}

}  // namespace

rocksdb::MemTableRep* BytewiseMemtables::CreateMemTableRep(
    const rocksdb::MemTableRep::KeyComparator& /*comparator*/, rocksdb::Allocator* allocator,
    const rocksdb::SliceTransform* /*transform*/, rocksdb::Logger* /*logger*/) {
  return new Memtable(allocator);
}

}  // namespace projfs
