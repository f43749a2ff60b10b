// SPDX-License-Identifier: MIT
#include "support/fault_env.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <stdexcept>

namespace projfs::testing {
namespace {

namespace fs = std::filesystem;

// One change of a file's content that is not durable yet.
struct Change {
  enum class Kind : std::uint8_t { kWrite, kTruncate, kExtend } kind = Kind::kWrite;
  std::uint64_t offset = 0;  // or the new size
  std::string data;
};

void apply(std::string& content, const Change& change) {
  switch (change.kind) {
    case Change::Kind::kWrite:
      if (content.size() < change.offset + change.data.size())
        content.resize(change.offset + change.data.size());
      std::copy(change.data.begin(), change.data.end(),
                content.begin() + static_cast<std::ptrdiff_t>(change.offset));
      break;
    case Change::Kind::kTruncate:
      content.resize(change.offset);
      break;
    case Change::Kind::kExtend:
      if (content.size() < change.offset) content.resize(change.offset);
      break;
  }
}

// Applies the sectors of a write for which `keep` says so.
template <class Keep>
void apply_sectors(std::string& content, const Change& change, Keep keep) {
  const auto end = change.offset + change.data.size();
  for (auto at = change.offset; at < end;) {
    const auto next = std::min(end, (at / FaultEnv::kSector + 1) * FaultEnv::kSector);
    if (keep()) {
      apply(content, {Change::Kind::kWrite, at, change.data.substr(at - change.offset, next - at)});
    }
    at = next;
  }
}

// A file or directory, apart from its names.
struct Node {
  bool directory = false;
  std::string durable;  // content as of the last sync
  std::vector<Change> pending;
  std::uint64_t size = 0;  // as seen now
};
using NodePtr = std::shared_ptr<Node>;

// A change of directory entries that is not durable yet: `from` vanishes, `to` names `node`; either
// may be empty.
struct Entry {
  std::string from;
  std::string to;
  NodePtr node;
};

std::string parent(const std::string& path) { return fs::path(path).parent_path().string(); }

std::string normal(const std::string& path) {
  auto out = fs::path(path).lexically_normal().string();
  while (out.size() > 1 && out.back() == '/') out.pop_back();
  return out;
}

tl::unexpected<Error> no_power() { return fail(EIO, "the power is off"); }

}  // namespace

struct FaultEnv::State {
  State(Env& b, std::string r) : base(b), root(normal(r)) {}

  Env& base;
  const std::string root;
  mutable std::mutex mutex;
  bool off = false;
  bool crashed = false;
  std::uint64_t changes = 0;
  std::optional<std::uint64_t> off_at;
  std::vector<Fault> faults;
  std::optional<std::uint64_t> growth_left;
  std::function<void(const std::string&)> after_sync;

  std::map<std::string, NodePtr> names;  // files touched, as seen now
  std::map<std::string, NodePtr>
      durable;                    // the same after power loss; entries here may be absent above
  std::vector<Entry> entries;     // oldest first
  std::set<std::string> touched;  // every path that crash() has to put right

  // Counts a change; an error if the power is off or a fault is due.
  Status change(FaultOp op, std::uint64_t* taken = nullptr) {
    if (off_at && changes >= *off_at) off = true;
    if (off) return no_power();
    ++changes;
    for (auto fault = faults.begin(); fault != faults.end(); ++fault) {
      if (fault->op != op) continue;
      if (fault->nth > 1) {
        --fault->nth;
        continue;
      }
      const auto code = fault->code;
      if (taken != nullptr) *taken = fault->bytes_taken;
      if (--fault->times == 0) faults.erase(fault);
      return fail_errno("injected", code);
    }
    return {};
  }

  Status inside(const std::string& path) const {
    if (off) return no_power();
    if (path != root && !path.starts_with(root + "/")) return fail(EXDEV, path + " is outside");
    return {};
  }

  // The node of a path that exists; what was there before this Env is durable.
  Result<NodePtr> node(const std::string& path) {
    if (const auto found = names.find(path); found != names.end()) return found->second;
    auto fresh = std::make_shared<Node>();
    if (fs::is_directory(path)) {
      fresh->directory = true;
    } else {
      PROJFS_ASSIGN(const auto file, base.open(path, Open::kRead));
      PROJFS_ASSIGN(fresh->size, file->size());
      fresh->durable.resize(fresh->size);
      PROJFS_ASSIGN(const auto n,
                    file->read(0, {reinterpret_cast<std::uint8_t*>(fresh->durable.data()),
                                   fresh->durable.size()}));
      if (n != fresh->size) return fail(EIO, path + " changed behind the FaultEnv");
    }
    names[path] = durable[path] = fresh;
    touched.insert(path);
    return fresh;
  }

  Status grow(Node& n, std::uint64_t size) {
    if (growth_left) {
      if (size > n.size) {
        if (size - n.size > *growth_left) return fail(ENOSPC, "the simulated disk is full");
        *growth_left -= size - n.size;
      } else {
        *growth_left += n.size - size;
      }
    }
    n.size = size;
    return {};
  }

  void settle(const Entry& entry) {
    if (!entry.from.empty()) {
      // A name that something else has taken since is not ours to remove.
      const auto found = durable.find(entry.from);
      if (found != durable.end() && found->second == entry.node) durable.erase(found);
    }
    if (!entry.to.empty()) durable[entry.to] = entry.node;
  }

  void leave(const std::string& path, const Node& n) const {
    if (n.directory) {
      fs::create_directories(path);
      return;
    }
    std::ofstream out(path, std::ios::binary | std::ios::trunc);
    out.write(n.durable.data(), static_cast<std::streamsize>(n.durable.size()));
    if (!out.flush()) throw std::runtime_error("cannot write " + path);
  }
};

class FaultEnv::FaultFile final : public File {
 public:
  FaultFile(std::shared_ptr<State> state, std::string path, NodePtr node,
            std::unique_ptr<File> file, bool writable)
      : state_(std::move(state)),
        path_(std::move(path)),
        node_(std::move(node)),
        file_(std::move(file)),
        writable_(writable) {}

  Result<std::size_t> read(std::uint64_t offset, MutableBytes out) override {
    const std::lock_guard lock(state_->mutex);
    if (state_->off) return no_power();
    return file_->read(offset, out);
  }

  using File::write;
  Status write(std::uint64_t offset, std::span<const iovec> data) override {
    const std::lock_guard lock(state_->mutex);
    std::string joined;
    for (const auto& part : data)
      joined.append(static_cast<const char*>(part.iov_base), part.iov_len);
    std::uint64_t taken = 0;
    auto allowed = state_->change(FaultOp::kWrite, &taken);
    if (!allowed) {
      if (state_->off) return allowed;
      joined.resize(std::min<std::size_t>(joined.size(), taken));
    }
    if (!joined.empty()) {
      if (!writable_) return fail(EBADF);
      PROJFS_TRY(state_->grow(*node_, std::max(node_->size, offset + joined.size())));
      PROJFS_TRY(file_->write(offset, as_bytes(joined)));
      node_->pending.push_back({Change::Kind::kWrite, offset, std::move(joined)});
    }
    return allowed;
  }

  Status sync() override {
    auto synced = sync_now();
    if (state_->after_sync) state_->after_sync(path_);
    return synced;
  }

  Status truncate(std::uint64_t size) override {
    const std::lock_guard lock(state_->mutex);
    PROJFS_TRY(state_->change(FaultOp::kWrite));
    PROJFS_TRY(state_->grow(*node_, size));
    PROJFS_TRY(file_->truncate(size));
    node_->pending.push_back({Change::Kind::kTruncate, size, {}});
    return {};
  }

  Status allocate(std::uint64_t size) override {
    const std::lock_guard lock(state_->mutex);
    PROJFS_TRY(state_->change(FaultOp::kAllocate));
    PROJFS_TRY(state_->grow(*node_, std::max(node_->size, size)));
    // Only the size matters here: blocks come from growth_left.
    if (file_->size().value_or(0) < size) PROJFS_TRY(file_->truncate(size));
    node_->pending.push_back({Change::Kind::kExtend, size, {}});
    return {};
  }

  Result<std::uint64_t> size() override {
    const std::lock_guard lock(state_->mutex);
    if (state_->off) return no_power();
    return file_->size();
  }

 private:
  Status sync_now() {
    const std::lock_guard lock(state_->mutex);
    auto allowed = state_->change(FaultOp::kSync);
    if (state_->off) return allowed;
    if (allowed) {
      for (const auto& change : node_->pending) apply(node_->durable, change);
    }
    // Lost for good if it failed.
    node_->pending.clear();
    return allowed;
  }

  const std::shared_ptr<State> state_;
  const std::string path_;
  const NodePtr node_;
  const std::unique_ptr<File> file_;
  const bool writable_;
};

FaultEnv::FaultEnv(Env& base, std::string root)
    : state_(std::make_shared<State>(base, std::move(root))) {}
FaultEnv::~FaultEnv() = default;

void FaultEnv::inject(const Fault& fault) {
  const std::lock_guard lock(state_->mutex);
  state_->faults.push_back(fault);
}

void FaultEnv::clear_faults() {
  const std::lock_guard lock(state_->mutex);
  state_->faults.clear();
}

void FaultEnv::limit_growth(std::uint64_t bytes) {
  const std::lock_guard lock(state_->mutex);
  state_->growth_left = bytes;
}

void FaultEnv::unlimit_growth() {
  const std::lock_guard lock(state_->mutex);
  state_->growth_left.reset();
}

void FaultEnv::after_sync(std::function<void(const std::string&)> hook) {
  state_->after_sync = std::move(hook);
}

void FaultEnv::power_off_after(std::uint64_t changes) {
  const std::lock_guard lock(state_->mutex);
  state_->off_at = state_->changes + changes;
}

bool FaultEnv::powered() const {
  const std::lock_guard lock(state_->mutex);
  return !state_->off;
}

std::uint64_t FaultEnv::changes() const {
  const std::lock_guard lock(state_->mutex);
  return state_->changes;
}

Result<std::unique_ptr<File>> FaultEnv::open(const std::string& given, Open mode) {
  const std::lock_guard lock(state_->mutex);
  const auto path = normal(given);
  PROJFS_TRY(state_->inside(path));
  PROJFS_TRY(state_->change(FaultOp::kOpen));
  const bool writable = mode != Open::kRead;
  NodePtr node;
  // Looked at before it is made: a file that is not known yet counts as durable.
  if (mode != Open::kCreateNew && fs::exists(path)) {
    PROJFS_ASSIGN(node, state_->node(path));
  }
  PROJFS_ASSIGN(auto file, state_->base.open(path, mode));
  if (mode == Open::kCreateNew) {
    node = std::make_shared<Node>();
    state_->names[path] = node;
    state_->touched.insert(path);
    state_->entries.push_back({"", path, node});
  }
  return std::make_unique<FaultFile>(state_, path, std::move(node), std::move(file), writable);
}

Result<std::vector<std::string>> FaultEnv::list(const std::string& dir) {
  const std::lock_guard lock(state_->mutex);
  PROJFS_TRY(state_->inside(normal(dir)));
  return state_->base.list(dir);
}

Result<bool> FaultEnv::exists(const std::string& path) {
  const std::lock_guard lock(state_->mutex);
  PROJFS_TRY(state_->inside(normal(path)));
  return state_->base.exists(path);
}

Status FaultEnv::make_directory(const std::string& given, unsigned mode) {
  const std::lock_guard lock(state_->mutex);
  const auto path = normal(given);
  PROJFS_TRY(state_->inside(path));
  PROJFS_TRY(state_->change(FaultOp::kOpen));
  PROJFS_TRY(state_->base.make_directory(path, mode));
  auto node = std::make_shared<Node>();
  node->directory = true;
  state_->names[path] = node;
  state_->touched.insert(path);
  state_->entries.push_back({"", path, std::move(node)});
  return {};
}

Status FaultEnv::rename(const std::string& given_from, const std::string& given_to) {
  const std::lock_guard lock(state_->mutex);
  const auto from = normal(given_from);
  const auto to = normal(given_to);
  PROJFS_TRY(state_->inside(from));
  PROJFS_TRY(state_->inside(to));
  PROJFS_TRY(state_->change(FaultOp::kRename));
  PROJFS_ASSIGN(const auto node, state_->node(from));
  if (node->directory) return fail(ENOTSUP, "this Env renames no directories");
  if (fs::exists(to)) PROJFS_TRY(state_->node(to));
  PROJFS_TRY(state_->base.rename(from, to));
  if (const auto old = state_->names.find(to); old != state_->names.end())
    (void)state_->grow(*old->second, 0);
  state_->names.erase(from);
  state_->names[to] = node;
  state_->touched.insert(to);
  state_->entries.push_back({from, to, node});
  return {};
}

Status FaultEnv::remove(const std::string& given) {
  const std::lock_guard lock(state_->mutex);
  const auto path = normal(given);
  PROJFS_TRY(state_->inside(path));
  PROJFS_TRY(state_->change(FaultOp::kRemove));
  if (!fs::exists(path)) return fail_errno("removing " + path, ENOENT);
  PROJFS_ASSIGN(const auto node, state_->node(path));
  PROJFS_TRY(state_->base.remove(path));
  (void)state_->grow(*node, 0);
  state_->names.erase(path);
  state_->entries.push_back({path, "", node});
  return {};
}

Status FaultEnv::sync_directory(const std::string& given) {
  const std::lock_guard lock(state_->mutex);
  const auto dir = normal(given);
  PROJFS_TRY(state_->inside(dir));
  PROJFS_TRY(state_->change(FaultOp::kSyncDirectory));
  if (!fs::is_directory(dir)) return fail_errno("syncing " + dir, ENOENT);
  std::erase_if(state_->entries, [&](const Entry& entry) {
    // A rename between two directories is one change of the journal: either sync makes it durable.
    const bool here = (!entry.from.empty() && parent(entry.from) == dir) ||
                      (!entry.to.empty() && parent(entry.to) == dir);
    if (here) state_->settle(entry);
    return here;
  });
  return {};
}

Result<DiskSpace> FaultEnv::space(const std::string& path) {
  const std::lock_guard lock(state_->mutex);
  PROJFS_TRY(state_->inside(normal(path)));
  PROJFS_ASSIGN(auto space, state_->base.space(path));
  if (state_->growth_left)
    space.available_bytes = std::min(space.available_bytes, *state_->growth_left);
  return space;
}

void FaultEnv::crash(std::uint64_t seed, CrashMode mode) {
  const std::lock_guard lock(state_->mutex);
  auto& s = *state_;
  if (s.crashed) return;
  s.off = s.crashed = true;
  std::mt19937_64 rng(seed);
  const auto chance = [&](unsigned one_in) { return rng() % one_in == 0; };
  const auto keeps = [&] {
    return mode == CrashMode::kKeepAll || (mode == CrashMode::kRandom && chance(2));
  };

  for (const auto& entry : s.entries) {
    if (keeps()) s.settle(entry);
  }

  std::set<Node*> done;
  for (const auto& [path, node] : s.durable) {
    if (!done.insert(node.get()).second) continue;
    for (const auto& change : node->pending) {
      const bool tears =
          mode == CrashMode::kRandom && change.kind == Change::Kind::kWrite && chance(3);
      if (!tears) {
        if (keeps()) apply(node->durable, change);
      } else if (chance(2)) {
        auto sectors = rng() % (change.data.size() / kSector + 2);
        apply_sectors(node->durable, change, [&] { return sectors > 0 && sectors-- > 0; });
      } else {
        apply_sectors(node->durable, change, [&] { return chance(2); });
      }
    }
  }

  // Names in order, so directories come before what they hold; backwards to remove.
  for (auto path = s.touched.rbegin(); path != s.touched.rend(); ++path) {
    const auto kept = s.durable.find(*path);
    if (kept == s.durable.end() || !kept->second->directory) fs::remove_all(*path);
  }
  for (const auto& [path, node] : s.durable) {
    // What lies in a directory that did not survive is lost with it.
    if (fs::is_directory(parent(path))) s.leave(path, *node);
  }
}

}  // namespace projfs::testing
