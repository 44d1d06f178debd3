// The deliveries of one channel that were not acked yet. Pure; internal to this folder and its tests. Not
// safe for concurrent use.
#pragma once

#include <cstdint>
#include <set>
#include <vector>

namespace sluice::rabbitmq {

class Unacked {
 public:
  struct Ack {
    std::uint64_t number;
    bool multiple;  // With all before it.
    bool operator==(const Ack&) const = default;
  };

  void add(std::uint64_t number) { numbers_.insert(number); }
  // Takes a delivery out that is rejected on its own. False: there is none of this number.
  bool remove(std::uint64_t number) { return numbers_.erase(number) == 1; }
  void clear() { numbers_.clear(); }
  std::size_t size() const { return numbers_.size(); }

  // Takes the given ones out and returns the fewest acks that say so: one for an unbroken run from the oldest
  // on, single ones for the rest. Unknown numbers are left out; `known` tells how many there were.
  std::vector<Ack> take(const std::vector<std::uint64_t>& acked, std::size_t& known);

 private:
  std::set<std::uint64_t> numbers_;
};

}  // namespace sluice::rabbitmq
