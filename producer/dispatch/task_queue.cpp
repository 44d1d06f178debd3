#include "producer/dispatch/task_queue.h"

#include <algorithm>

namespace sluice::producer {

namespace {
// Workers that have just come take a first queue's worth at once and say nothing by it.
constexpr int kStarvedMin = 2;
}  // namespace

std::int64_t TaskQueue::room() const {
  return ready < 0 ? 0 : std::max<std::int64_t>(0, depth - ready - published - reserved);
}

void TaskQueue::measured(std::int64_t ready_now) {
  starved = ready_now == 0 && published > 0 && backlog() ? starved + 1 : 0;
  if (starved >= kStarvedMin) {
    depth = std::min(depth_max, depth * 2);
  } else if (ready_now > depth / 2) {
    depth = std::max(depth_min, depth - std::max<std::int64_t>(1, depth / 8));
  }
  ready = ready_now;
  published = 0;
}

}  // namespace sluice::producer
