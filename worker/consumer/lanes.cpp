#include "worker/consumer/lanes.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace sluice::worker {

void Lanes::push(TaskDelivery delivery) {
  const auto lane = static_cast<std::size_t>(delivery.lane);
  if (delivery.tag.epoch > epochs_[lane]) {
    epochs_[lane] = delivery.tag.epoch;
    std::erase_if(lines_[lane],
                  [epoch = epochs_[lane]](const TaskDelivery& d) { return d.tag.epoch < epoch; });
  }
  lines_[lane].push_back(std::move(delivery));
}

std::vector<TaskDelivery> Lanes::take(std::size_t max, Priority least) {
  std::vector<TaskDelivery> taken;
  while (taken.size() < max) {
    // Each waiting line earns its weight; the richest goes and pays what all earned.
    std::size_t best = lines_.size();
    int earned = 0;
    for (std::size_t i = 0; i <= static_cast<std::size_t>(least); ++i) {
      if (lines_[i].empty()) {
        credit_[i] = 0;
        continue;
      }
      credit_[i] += weights_[i];
      earned += weights_[i];
      if (best == lines_.size() || credit_[i] > credit_[best]) best = i;
    }
    if (best == lines_.size()) break;
    credit_[best] -= earned;
    taken.push_back(std::move(lines_[best].front()));
    lines_[best].pop_front();
  }
  return taken;
}

void Lanes::put_back(std::vector<TaskDelivery> deliveries) {
  for (auto it = deliveries.rbegin(); it != deliveries.rend(); ++it) {
    lines_[static_cast<std::size_t>(it->lane)].push_front(std::move(*it));
  }
}

std::vector<TaskDelivery> Lanes::take_older(SteadyTime before) {
  std::vector<TaskDelivery> taken;
  for (auto& line : lines_) {
    const auto young = std::stable_partition(line.begin(), line.end(),
                                             [before](const TaskDelivery& d) { return d.received < before; });
    taken.insert(taken.end(), std::make_move_iterator(line.begin()), std::make_move_iterator(young));
    line.erase(line.begin(), young);
  }
  return taken;
}

std::vector<TaskDelivery> Lanes::take_all() {
  return take_older(SteadyTime::max());
}

std::size_t Lanes::size() const {
  std::size_t sum = 0;
  for (const auto& line : lines_) sum += line.size();
  return sum;
}

}  // namespace sluice::worker
