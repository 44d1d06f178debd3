#include "common/rabbitmq/unacked.h"

namespace sluice::rabbitmq {

std::vector<Unacked::Ack> Unacked::take(const std::vector<std::uint64_t>& acked, std::size_t& known) {
  std::set<std::uint64_t> wanted;
  for (const std::uint64_t number : acked) {
    if (numbers_.contains(number)) wanted.insert(number);
  }
  known = wanted.size();
  std::vector<Ack> acks;
  std::uint64_t run_end = 0;
  std::size_t run = 0;
  // Only what is acked may stand before the end of a multiple ack: the first gap ends the run.
  while (!wanted.empty() && *wanted.begin() == *numbers_.begin()) {
    run_end = *wanted.begin();
    ++run;
    wanted.erase(wanted.begin());
    numbers_.erase(numbers_.begin());
  }
  if (run > 0) acks.push_back({run_end, run > 1});
  for (const std::uint64_t number : wanted) {
    numbers_.erase(number);
    acks.push_back({number, false});
  }
  return acks;
}

}  // namespace sluice::rabbitmq
