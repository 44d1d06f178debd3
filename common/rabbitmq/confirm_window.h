// The messages that were sent and not yet confirmed, by the number that the broker counts them with. Pure;
// internal to this folder and its tests. Not safe for concurrent use.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string_view>

#include "common/base/clock.h"
#include "common/base/result.h"

namespace sluice::rabbitmq {

class ConfirmWindow {
 public:
  using Done = std::function<void(Status)>;

  // The number of the next message on a channel, from 1.
  std::uint64_t add(SteadyTime now, SteadyTime deadline, Done done);
  // A positive confirm of a message that was returned ends it as kNotFound.
  void confirm(std::uint64_t number, bool multiple, bool positive);
  // The broker gave the message back; its confirm follows. `correlation_id` is its number as text.
  void returned(std::string_view correlation_id, std::string_view reason);
  // Ends all as `error`, and counts from 1 again: the channel is gone.
  void fail_all(const Error& error);

  std::size_t size() const { return unsettled_; }
  // No unconfirmed message has an earlier deadline (some may have a later one).
  SteadyTime earliest_deadline() const { return earliest_; }
  // Ends those past their deadline as kOutcomeUnknown; a confirm that comes later means nothing. Returns when
  // the newest of them was sent, if there were any.
  std::optional<SteadyTime> expire(SteadyTime now);

 private:
  struct Sent {
    SteadyTime at;
    SteadyTime deadline;
    Done done;  // Empty = settled.
    std::optional<Error> returned;
  };
  void settle(Sent& sent, bool positive);
  void forget_settled();

  std::deque<Sent> sent_;
  std::uint64_t first_ = 1;  // The number of sent_.front().
  std::size_t unsettled_ = 0;
  SteadyTime earliest_ = SteadyTime::max();
};

}  // namespace sluice::rabbitmq
