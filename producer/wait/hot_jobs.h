// Finished jobs in Redis: key `sluice:job:<id>`, value job_to_cache(). A copy that is missing, broken, of
// another job or not final is no answer; the caller reads the database then.
//
// A redriven job's copy says that it ended. `sluice:generation:<id>` holds the generation that it has now,
// for longer than any copy lives: a copy of an earlier one is no answer either, even if a slow worker writes
// it afterwards.
//
// A response can be deleted, whatever becomes of its copies: none of them is an answer.
//
// Safe for concurrent use.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/job/job.h"
#include "common/store/dead_letter_store.h"

namespace sluice {
class RedisPool;
}

namespace sluice::producer {

class HotJobs {
 public:
  virtual ~HotJobs() = default;
  // One entry for each id, in order; empty: not known here.
  virtual std::vector<std::optional<Job>> find(std::span<const JobId> ids, Deadline deadline) = 0;
  // From here on copies of these jobs' earlier generations are no answers. Any error: perhaps not; repeat it.
  virtual Status outdate(std::span<const LetterRef> jobs, Deadline deadline) = 0;
  // What is kept of a response that was erased: its live text, and a copy by an earlier version's worker.
  virtual Status forget(const LetterRef&, Deadline) { return {}; }
};

std::string hot_job_key(const JobId& id);
std::string hot_generation_key(const JobId& id);

// `redis` must outlive it.
class RedisHotJobs final : public HotJobs {
 public:
  explicit RedisHotJobs(RedisPool& redis) : redis_(redis) {}
  std::vector<std::optional<Job>> find(std::span<const JobId> ids, Deadline deadline) override;
  Status outdate(std::span<const LetterRef> jobs, Deadline deadline) override;
  Status forget(const LetterRef& erased, Deadline deadline) override;

 private:
  RedisPool& redis_;
};

// Nothing is ever hot: for a producer without Redis.
class NoHotJobs final : public HotJobs {
 public:
  std::vector<std::optional<Job>> find(std::span<const JobId> ids, Deadline) override {
    return std::vector<std::optional<Job>>(ids.size());
  }
  Status outdate(std::span<const LetterRef>, Deadline) override { return {}; }
};

}  // namespace sluice::producer
