#include "worker/batcher/admission.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace sluice::worker {

void Admission::put_back(std::vector<Work> works) {
  waiting_.insert(waiting_.begin(), std::make_move_iterator(works.begin()),
                  std::make_move_iterator(works.end()));
}

bool Admission::fits(const Running& running, const Work& work) const {
  // Into an empty engine anything may go: the engine itself says if it is too much.
  if (running.jobs == 0) return true;
  if (running.alone || work.alone || running.jobs >= limits_.jobs_max) return false;
  return limits_.tokens_max == 0 || running.tokens + work.kv_tokens <= limits_.tokens_max;
}

// How many from the front of the line could join those that run.
std::size_t Admission::ready_to_join(const Running& running) const {
  Running after = running;
  std::size_t count = 0;
  for (const Work& work : waiting_) {
    if (!fits(after, work)) break;
    ++after.jobs;
    after.tokens += work.kv_tokens;
    after.alone = work.alone;
    ++count;
  }
  return count;
}

std::vector<Work> Admission::next(const Running& running, SteadyTime now) {
  std::vector<Work> group;
  if (waiting_.empty()) return group;
  const std::size_t count = ready_to_join(running);
  const bool fills_up = running.jobs + count >= limits_.jobs_max || count < waiting_.size();
  const bool lingered = now - waiting_.front().offered >= limits_.linger;
  if (running.jobs > 0 && !fills_up && !lingered) return group;
  const auto end = waiting_.begin() + static_cast<std::ptrdiff_t>(count);
  group.assign(std::make_move_iterator(waiting_.begin()), std::make_move_iterator(end));
  waiting_.erase(waiting_.begin(), end);
  return group;
}

std::optional<SteadyTime> Admission::due(const Running& running) const {
  if (waiting_.empty() || ready_to_join(running) == 0) return std::nullopt;
  return waiting_.front().offered + std::chrono::duration_cast<SteadyTime::duration>(limits_.linger);
}

std::optional<Work> Admission::remove(std::string_view key) {
  const auto found = std::find_if(waiting_.begin(), waiting_.end(),
                                  [key](const Work& work) { return work.request.key == key; });
  if (found == waiting_.end()) return std::nullopt;
  Work work = std::move(*found);
  waiting_.erase(found);
  return work;
}

std::vector<Work> Admission::take_all() {
  std::vector<Work> all(std::make_move_iterator(waiting_.begin()), std::make_move_iterator(waiting_.end()));
  waiting_.clear();
  return all;
}

}  // namespace sluice::worker
