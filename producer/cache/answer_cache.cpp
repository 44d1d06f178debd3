#include "producer/cache/answer_cache.h"

#include <utility>
#include <vector>

#include "common/job/result_bytes.h"

namespace sluice::producer {

namespace {

// Of larger submissions the database alone decides: they don't wait for an answer, and would push others'
// out.
constexpr std::size_t kLookedUpMax = 500;
// Of copies for one submission; the database ends the rest in portions.
constexpr std::size_t kCopiedBytes = 4'000'000;

bool wants(const NewJob& fresh) {
  return !fresh.answer_key.empty() && !fresh.answer;
}

// What a submission may still be given.
class Copies {
 public:
  // False: not that one any more. However large it is, the first one may be.
  bool take(const Answer& answer) {
    const bool first = bytes_ == 0;
    bytes_ += result_bytes(answer.result);
    return first || bytes_ <= kCopiedBytes;
  }

 private:
  std::size_t bytes_ = 0;
};

}  // namespace

void AnswerCache::look(Submission& submission) {
  if (submission.jobs.size() > kLookedUpMax) return;
  Copies copies;
  const std::int64_t now = now_us();
  std::vector<NewJob*> left;
  std::vector<std::string> keys;
  for (NewJob& fresh : submission.jobs) {
    if (!wants(fresh)) continue;
    std::string key = answer_cache_key(fresh.job.tenant, fresh.answer_key);
    auto known = own_.find(key);
    if (known && known->until_us > now) {
      if (!copies.take(*known)) return;
      metrics_.lookups.with({"process"}).add();
      fresh.answer = std::move(*known);
    } else {
      left.push_back(&fresh);
      keys.push_back(std::move(key));
    }
  }
  auto found = shared_.find(keys, Deadline::in(clock_, config_.redis_timeout));
  for (std::size_t i = 0; i < left.size(); ++i) {
    if (!found[i] || found[i]->until_us <= now) continue;
    if (!copies.take(*found[i])) return;
    metrics_.lookups.with({"redis"}).add();
    own_.put(keys[i], *found[i]);
    left[i]->answer = std::move(*found[i]);
  }
}

bool AnswerCache::look_for_stale(Submission& submission) {
  if (submission.jobs.size() > kLookedUpMax) return false;
  Copies copies;
  for (NewJob& fresh : submission.jobs) {
    if (fresh.answer) continue;
    if (fresh.answer_key.empty() || !fresh.stale_will_do) return false;
    const std::string key = answer_cache_key(fresh.job.tenant, fresh.answer_key);
    auto known = own_.find(key);
    if (!known) {
      auto found =
          store_.find_answer(fresh.job.tenant, fresh.answer_key, Deadline::in(clock_, config_.store_timeout));
      if (!found || !*found) return false;
      known = std::move(*found);
    }
    if (!copies.take(*known)) return false;
    metrics_.lookups.with({"stale"}).add();
    fresh.answer = std::move(*known);
  }
  return true;
}

void AnswerCache::note(const Submission& submission) {
  for (const NewJob& fresh : submission.jobs) {
    if (fresh.answer_key.empty()) continue;
    metrics_.answers.with({cache_state(fresh)}).add();
    if (!fresh.answer || submission.jobs.size() > kLookedUpMax) continue;
    const std::string key = answer_cache_key(fresh.job.tenant, fresh.answer_key);
    if (!own_.has(key, fresh.answer->until_us)) own_.put(key, *fresh.answer);
  }
}

std::string_view cache_state(const Job& job) {
  if (job.leader_id.empty()) return "miss";
  // It ended as it was accepted.
  return job.finished_us == job.created_us ? "hit" : "coalesced";
}

std::string_view cache_state(const NewJob& fresh) {
  if (fresh.answer && fresh.answer->until_us <= fresh.job.created_us) return "stale";
  return cache_state(fresh.job);
}

}  // namespace sluice::producer
