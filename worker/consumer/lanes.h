// Deliveries that wait to be claimed, one line for each priority, and whose turn it is.
//
// Turns are given by weight (smooth weighted round robin): a line that has something gets its share of every
// few places, so low never starves, and what was prefetched from low holds no place that high could have.
//
// Not safe for concurrent use.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

#include "common/base/clock.h"
#include "common/job/job.h"
#include "common/rabbitmq/message.h"
#include "common/store/job_store.h"

namespace sluice::worker {

using LaneWeights = std::array<int, kPriorities>;  // In the order of Priority.
inline constexpr LaneWeights kLaneWeights = {8, 4, 1};

// A message that names a start, until it is acked.
struct TaskDelivery {
  DeliveryTag tag;
  TaskRef task;
  Priority lane = Priority::kNormal;
  SteadyTime received{};
  bool express = false;  // To be claimed for a place that only express work has.
};

class Lanes {
 public:
  explicit Lanes(LaneWeights weights = kLaneWeights) : weights_(weights) {}

  // The first of a newer subscription (DeliveryTag::epoch) drops what came by the older one to the same line:
  // the broker delivers that anew.
  void push(TaskDelivery delivery);
  // Takes up to `max` in their turns, none of a lower class than `least`.
  std::vector<TaskDelivery> take(std::size_t max, Priority least = Priority::kLow);
  // What could not be claimed now: first in its line again, in the same order.
  void put_back(std::vector<TaskDelivery> deliveries);
  // Takes what was received before `before`.
  std::vector<TaskDelivery> take_older(SteadyTime before);
  std::vector<TaskDelivery> take_all();
  std::size_t size() const;

 private:
  const LaneWeights weights_;
  LaneWeights credit_{};
  std::array<std::deque<TaskDelivery>, kPriorities> lines_;
  std::array<std::uint64_t, kPriorities> epochs_{};
};

}  // namespace sluice::worker
