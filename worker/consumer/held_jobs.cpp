#include "worker/consumer/held_jobs.h"

#include <set>
#include <utility>

namespace sluice::worker {

std::string start_key(const TaskRef& ref) {
  return ref.id.value + "/" + std::to_string(ref.generation) + "/" + std::to_string(ref.attempt);
}

std::vector<std::string> HeldJobs::add(HeldJob job) {
  std::vector<std::string> superseded;
  MutexLock lock(mutex_);
  // Keys of one job are neighbours.
  for (auto at = jobs_.lower_bound(job.ref.id.value); at != jobs_.end() && at->second.ref.id == job.ref.id;
       ++at) {
    if (at->second.lost) continue;
    at->second.lost = true;
    superseded.push_back(at->first);
  }
  std::string key = start_key(job.ref);
  jobs_.emplace(std::move(key), std::move(job));
  return superseded;
}

bool HeldJobs::has(const std::string& key) const {
  MutexLock lock(mutex_);
  return jobs_.contains(key);
}

std::optional<HeldJob> HeldJobs::remove(const std::string& key) {
  std::optional<HeldJob> removed;
  {
    MutexLock lock(mutex_);
    const auto found = jobs_.find(key);
    if (found == jobs_.end()) return std::nullopt;
    removed = std::move(found->second);
    jobs_.erase(found);
  }
  changed_.notify_all();
  return removed;
}

std::optional<HeldJob> HeldJobs::begin_ending(const std::string& key) {
  MutexLock lock(mutex_);
  const auto found = jobs_.find(key);
  if (found == jobs_.end()) return std::nullopt;
  found->second.ending = true;
  return found->second;
}

std::vector<TaskRef> HeldJobs::refs() const {
  MutexLock lock(mutex_);
  std::vector<TaskRef> refs;
  refs.reserve(jobs_.size());
  for (const auto& [key, job] : jobs_) {
    if (!job.lost) refs.push_back(job.ref);
  }
  return refs;
}

std::vector<TaskRef> HeldJobs::mark_lost(const std::vector<TaskRef>& asked,
                                         const std::vector<TaskRef>& still_ours) {
  std::set<std::string> ours;
  for (const TaskRef& ref : still_ours) ours.insert(start_key(ref));
  std::vector<TaskRef> lost;
  MutexLock lock(mutex_);
  for (const TaskRef& ref : asked) {
    const std::string key = start_key(ref);
    if (ours.contains(key)) continue;
    const auto found = jobs_.find(key);
    if (found == jobs_.end() || found->second.ending || found->second.lost) continue;
    found->second.lost = true;
    lost.push_back(ref);
  }
  return lost;
}

std::vector<DeliveryTag> HeldJobs::ack_older(SteadyTime before) {
  std::vector<DeliveryTag> tags;
  MutexLock lock(mutex_);
  for (auto& [key, job] : jobs_) {
    if (job.acked || job.received >= before) continue;
    job.acked = true;
    tags.push_back(job.tag);
  }
  return tags;
}

std::size_t HeldJobs::size() const {
  MutexLock lock(mutex_);
  return jobs_.size();
}

bool HeldJobs::wait_empty(Clock& clock, SteadyTime until) {
  MutexLock lock(mutex_);
  while (!jobs_.empty() && clock.steady_now() < until) lock.wait_until(clock, changed_, until);
  return jobs_.empty();
}

}  // namespace sluice::worker
