#include "worker/batcher/admission.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace sluice::worker {

void Admission::put_back(std::vector<Work> works) {
  if (!works.empty()) refused_ = works.front().request.key;
  for (auto work = works.rbegin(); work != works.rend(); ++work) {
    (work->express ? express_ : waiting_).push_front(std::move(*work));
  }
}

bool Admission::fits(const Running& running, const Work& work) const {
  // Into an empty engine anything may go: the engine itself says if it is too much.
  if (running.jobs == 0) return true;
  if (running.alone || work.alone) return false;
  const bool placed = work.express ? running.express < limits_.express_max
                                   : running.jobs - running.express < limits_.jobs_max;
  return placed && (limits_.tokens_max == 0 || running.tokens + work.kv_tokens <= limits_.tokens_max);
}

namespace {
void add(Running& running, const Work& work) {
  ++running.jobs;
  running.express += work.express ? 1 : 0;
  running.tokens += work.kv_tokens;
  running.alone = work.alone;
}
}  // namespace

// How many from the front of the line could join those that run.
std::size_t Admission::ready_to_join(const Running& running, const std::deque<Work>& waiting) const {
  Running after = running;
  std::size_t count = 0;
  for (const Work& work : waiting) {
    if (!fits(after, work)) break;
    add(after, work);
    ++count;
  }
  return count;
}

Running Admission::take(Running running, std::deque<Work>& waiting, std::vector<Work>& group) const {
  while (!waiting.empty() && fits(running, waiting.front())) {
    add(running, waiting.front());
    group.push_back(std::move(waiting.front()));
    waiting.pop_front();
  }
  return running;
}

bool Admission::holds_up(const Running& running) const {
  if (waiting_.empty() || running.jobs == 0) return false;
  const Work& first = waiting_.front();
  if (running.jobs - running.express >= limits_.jobs_max) return false;
  return first.request.key == refused_ || !fits(running, first);
}

std::vector<Work> Admission::next(const Running& running, SteadyTime now) {
  std::vector<Work> group;
  Running after = holds_up(running) ? running : take(running, express_, group);
  if (waiting_.empty()) return group;
  const std::size_t count = ready_to_join(after, waiting_);
  const bool fills_up = after.jobs - after.express + count >= limits_.jobs_max || count < waiting_.size();
  const bool lingered = now - waiting_.front().offered >= limits_.linger;
  if (running.jobs > 0 && !fills_up && !lingered) return group;
  take(after, waiting_, group);
  return group;
}

std::optional<SteadyTime> Admission::due(const Running& running) const {
  if (waiting_.empty() || ready_to_join(running, waiting_) == 0) return std::nullopt;
  return waiting_.front().offered + std::chrono::duration_cast<SteadyTime::duration>(limits_.linger);
}

std::optional<Work> Admission::remove(std::string_view key) {
  for (std::deque<Work>* const line : {&express_, &waiting_}) {
    const auto found =
        std::find_if(line->begin(), line->end(), [key](const Work& work) { return work.request.key == key; });
    if (found == line->end()) continue;
    Work work = std::move(*found);
    line->erase(found);
    return work;
  }
  return std::nullopt;
}

std::vector<Work> Admission::take_all() {
  std::vector<Work> all;
  for (std::deque<Work>* const line : {&express_, &waiting_}) {
    std::move(line->begin(), line->end(), std::back_inserter(all));
    line->clear();
  }
  return all;
}

}  // namespace sluice::worker
