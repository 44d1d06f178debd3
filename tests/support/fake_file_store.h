// A FileStore in memory that passes the same contract suite as the real one, with the keys of the uploads
// that made its files. Time comes from a clock.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <utility>

#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/store/file_store.h"

namespace sluice::testing {

class FakeFileStore final : public FileStore, public IdempotencyStore {
 public:
  explicit FakeFileStore(Clock& clock) : clock_(clock) {}

  // Calls from here on fail with this; kInternal with an empty message: no longer.
  void fail_with(Error error);
  // Runs once, as the next finish() begins.
  void before_finish(std::function<void()> task);

  Result<std::uint64_t> begin(const NewFile& file, Deadline deadline) override;
  Status append(const NewFile& file, std::uint64_t at, std::string_view bytes, Deadline deadline) override;
  Result<FileInfo> finish(const NewFile& file, std::uint64_t bytes, Deadline deadline) override;
  Status abandon(const NewFile& file, Deadline deadline) override;
  Result<FileInfo> get(const TenantId& tenant, const FileId& id, Deadline deadline) override;
  Result<std::vector<FileInfo>> list(const FileFilter& filter, Deadline deadline) override;
  Result<std::string> read(const TenantId& tenant, const FileId& id, std::uint64_t offset, std::size_t length,
                           Deadline deadline) override;
  Status remove(const TenantId& tenant, const FileId& id, Deadline deadline) override;
  Result<FileSweep> sweep(std::span<const int> shards, Deadline deadline) override;

  Result<std::optional<IdempotencyRecord>> find_key(const TenantId& tenant, const std::string& key_hash,
                                                    Deadline deadline) override;
  // No request without a key is known here, and none is forgotten.
  Result<std::optional<IdempotencyRecord>> find_request(const TenantId&, const std::string&, std::int64_t,
                                                        Deadline) override {
    return std::optional<IdempotencyRecord>();
  }
  Result<int> forget_expired(int, Deadline) override { return 0; }

 private:
  enum class State { kWriting, kReady, kDeleted };
  struct Stored {
    FileInfo info;
    State state = State::kWriting;
    std::int64_t touched_us = 0;
    std::map<std::uint64_t, std::string> chunks;  // By where they begin.
  };
  std::int64_t now_us() const { return unix_micros(clock_.wall_now()); }
  Status failing() const REQUIRES(mutex_);
  bool visible(const Stored& stored) const;
  Stored* writable(const NewFile& file) REQUIRES(mutex_);
  const Stored* find(const TenantId& tenant, const FileId& id) const REQUIRES(mutex_);

  Clock& clock_;
  mutable Mutex mutex_;
  Error failure_ GUARDED_BY(mutex_);
  std::function<void()> before_finish_ GUARDED_BY(mutex_);
  std::map<std::string, Stored> files_ GUARDED_BY(mutex_);
  std::map<std::pair<std::string, std::string>, IdempotencyRecord> keys_
      GUARDED_BY(mutex_);  // By tenant, key.
};

}  // namespace sluice::testing
