#include "tests/support/fake_file_store.h"

#include <algorithm>

namespace sluice::testing {

namespace {
constexpr std::int64_t kSecondUs = 1'000'000;
constexpr std::int64_t kUnfinishedAfterUs = 86'400 * kSecondUs;

Error no_file(const FileId& id) {
  return Error{ErrorCode::kNotFound, "no file with id " + id.value};
}
Error not_writable(const FileId& id) {
  return Error{ErrorCode::kConflict, "the file " + id.value + " is not being written"};
}
}  // namespace

void FakeFileStore::fail_with(Error error) {
  MutexLock lock(mutex_);
  failure_ = std::move(error);
}

void FakeFileStore::before_finish(std::function<void()> task) {
  MutexLock lock(mutex_);
  before_finish_ = std::move(task);
}

Status FakeFileStore::failing() const {
  if (failure_.message.empty()) return {};
  return fail(failure_);
}

bool FakeFileStore::visible(const Stored& stored) const {
  return stored.state == State::kReady && (stored.info.expires_us == 0 || stored.info.expires_us > now_us());
}

FakeFileStore::Stored* FakeFileStore::writable(const NewFile& file) {
  const auto found = files_.find(file.id.value);
  if (found == files_.end() || found->second.state != State::kWriting ||
      found->second.info.tenant != file.tenant) {
    return nullptr;
  }
  return &found->second;
}

const FakeFileStore::Stored* FakeFileStore::find(const TenantId& tenant, const FileId& id) const {
  const auto found = files_.find(id.value);
  if (found == files_.end() || found->second.info.tenant != tenant || !visible(found->second)) return nullptr;
  return &found->second;
}

Result<std::uint64_t> FakeFileStore::begin(const NewFile& file, Deadline) {
  MutexLock lock(mutex_);
  SLUICE_TRY(failing());
  if (files_.contains(file.id.value)) {
    const Stored* stored = writable(file);
    if (stored == nullptr) return fail(not_writable(file.id));
    if (stored->chunks.empty()) return 0;
    const auto& [start, bytes] = *stored->chunks.rbegin();
    return start + bytes.size();
  }
  Stored& stored = files_[file.id.value];
  stored.info = FileInfo{file.id, file.tenant, file.purpose, file.filename, 0, now_us(), 0};
  stored.touched_us = now_us();
  return 0;
}

Status FakeFileStore::append(const NewFile& file, std::uint64_t at, std::string_view bytes, Deadline) {
  MutexLock lock(mutex_);
  SLUICE_TRY(failing());
  if (bytes.empty() || bytes.size() > kFileChunkBytesMax) return fail(ErrorCode::kInternal, "a bad chunk");
  Stored* stored = writable(file);
  if (stored == nullptr) return fail(not_writable(file.id));
  stored->chunks[at] = bytes;
  stored->touched_us = now_us();
  return {};
}

Result<std::optional<IdempotencyRecord>> FakeFileStore::find_key(const TenantId& tenant,
                                                                 const std::string& key_hash, Deadline) {
  MutexLock lock(mutex_);
  SLUICE_TRY(failing());
  const auto found = keys_.find({tenant.value, key_hash});
  return found == keys_.end() ? std::nullopt : std::optional(found->second);
}

Result<FileInfo> FakeFileStore::finish(const NewFile& file, std::uint64_t bytes, Deadline) {
  std::function<void()> before;
  {
    MutexLock lock(mutex_);
    before.swap(before_finish_);
  }
  if (before) before();
  MutexLock lock(mutex_);
  SLUICE_TRY(failing());
  const auto found = files_.find(file.id.value);
  if (found == files_.end() || found->second.state == State::kDeleted ||
      found->second.info.tenant != file.tenant) {
    return fail(not_writable(file.id));
  }
  Stored& stored = found->second;
  std::uint64_t total = 0;
  for (const auto& [start, chunk] : stored.chunks) {
    if (start == total) total += chunk.size();
  }
  if (total != bytes) return fail(ErrorCode::kCorrupt, "the chunks are not " + std::to_string(bytes));
  if (stored.state == State::kReady) return stored.info;
  if (file.claim) {
    const IdempotencyRecord record{file.id.value, file.claim->fingerprint};
    if (!keys_.emplace(std::pair(file.tenant.value, file.claim->key_hash), record).second) {
      return fail(ErrorCode::kConflict, "the key is taken");
    }
  }
  stored.state = State::kReady;
  stored.info.bytes = bytes;
  stored.info.purpose = file.purpose;
  stored.info.filename = file.filename;
  if (file.expires_in_s) stored.info.expires_us = stored.info.created_us + *file.expires_in_s * kSecondUs;
  return stored.info;
}

Status FakeFileStore::abandon(const NewFile& file, Deadline) {
  MutexLock lock(mutex_);
  SLUICE_TRY(failing());
  if (Stored* stored = writable(file)) stored->state = State::kDeleted;
  return {};
}

Result<FileInfo> FakeFileStore::get(const TenantId& tenant, const FileId& id, Deadline) {
  MutexLock lock(mutex_);
  SLUICE_TRY(failing());
  const Stored* stored = find(tenant, id);
  if (stored == nullptr) return fail(no_file(id));
  return stored->info;
}

Result<std::vector<FileInfo>> FakeFileStore::list(const FileFilter& filter, Deadline) {
  MutexLock lock(mutex_);
  SLUICE_TRY(failing());
  std::vector<FileInfo> files;
  for (const auto& [id, stored] : files_) {
    if (stored.info.tenant != filter.tenant || !visible(stored)) continue;
    if (!filter.purpose.empty() && stored.info.purpose != filter.purpose) continue;
    if (!filter.after.empty() &&
        (filter.newest_first ? id >= filter.after.value : id <= filter.after.value)) {
      continue;
    }
    files.push_back(stored.info);
  }
  if (filter.newest_first) std::reverse(files.begin(), files.end());
  if (static_cast<int>(files.size()) > filter.limit) files.resize(static_cast<std::size_t>(filter.limit));
  return files;
}

Result<std::string> FakeFileStore::read(const TenantId& tenant, const FileId& id, std::uint64_t offset,
                                        std::size_t length, Deadline) {
  MutexLock lock(mutex_);
  SLUICE_TRY(failing());
  const Stored* stored = find(tenant, id);
  if (stored == nullptr) return fail(no_file(id));
  std::string whole;
  for (const auto& [start, chunk] : stored->chunks) whole += chunk;
  if (offset >= whole.size()) return std::string();
  return whole.substr(offset, std::min(length, kFileChunkBytesMax));
}

Status FakeFileStore::remove(const TenantId& tenant, const FileId& id, Deadline) {
  MutexLock lock(mutex_);
  SLUICE_TRY(failing());
  if (find(tenant, id) == nullptr) return fail(no_file(id));
  files_[id.value].state = State::kDeleted;
  return {};
}

Result<FileSweep> FakeFileStore::sweep(std::span<const int> shards, Deadline) {
  MutexLock lock(mutex_);
  SLUICE_TRY(failing());
  FileSweep done;
  for (auto at = files_.begin(); at != files_.end();) {
    Stored& stored = at->second;
    const auto shard = shard_of_id(at->first);
    const bool ours = shard && std::find(shards.begin(), shards.end(), *shard) != shards.end();
    const bool unfinished =
        stored.state == State::kWriting && stored.touched_us + kUnfinishedAfterUs <= now_us();
    const bool expired = stored.state == State::kReady && !visible(stored);
    if (!ours || (stored.state != State::kDeleted && !unfinished && !expired)) {
      ++at;
      continue;
    }
    done.unfinished += unfinished ? 1 : 0;
    done.expired += expired ? 1 : 0;
    done.files += 1;
    done.chunks += static_cast<int>(stored.chunks.size());
    at = files_.erase(at);
  }
  return done;
}

}  // namespace sluice::testing
