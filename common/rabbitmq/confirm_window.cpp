#include "common/rabbitmq/confirm_window.h"

#include <algorithm>
#include <charconv>
#include <string>
#include <utility>

namespace sluice::rabbitmq {

std::uint64_t ConfirmWindow::add(SteadyTime now, SteadyTime deadline, Done done) {
  sent_.push_back({now, deadline, std::move(done), std::nullopt});
  ++unsettled_;
  earliest_ = std::min(earliest_, deadline);
  return first_ + sent_.size() - 1;
}

void ConfirmWindow::settle(Sent& sent, bool positive) {
  if (!sent.done) return;
  const Done done = std::exchange(sent.done, nullptr);
  --unsettled_;
  if (!positive) {
    done(fail(ErrorCode::kExhausted, "the broker refused the message: its queue is at its limit or failing"));
  } else if (sent.returned) {
    done(fail(*sent.returned));
  } else {
    done({});
  }
}

void ConfirmWindow::confirm(std::uint64_t number, bool multiple, bool positive) {
  if (number < first_ || number >= first_ + sent_.size()) return;
  const std::size_t last = number - first_;
  for (std::size_t i = multiple ? 0 : last; i <= last; ++i) settle(sent_[i], positive);
  forget_settled();
}

void ConfirmWindow::forget_settled() {
  while (!sent_.empty() && !sent_.front().done) {
    sent_.pop_front();
    ++first_;
  }
  if (unsettled_ == 0) earliest_ = SteadyTime::max();
}

void ConfirmWindow::returned(std::string_view correlation_id, std::string_view reason) {
  std::uint64_t number = 0;
  const auto parsed =
      std::from_chars(correlation_id.data(), correlation_id.data() + correlation_id.size(), number);
  if (parsed.ec != std::errc() || number < first_ || number >= first_ + sent_.size()) return;
  sent_[number - first_].returned = Error{ErrorCode::kNotFound, "unroutable: " + std::string(reason)};
}

void ConfirmWindow::fail_all(const Error& error) {
  std::deque<Sent> ended;
  ended.swap(sent_);
  first_ = 1;
  unsettled_ = 0;
  earliest_ = SteadyTime::max();
  for (const Sent& sent : ended) {
    if (sent.done) sent.done(fail(error));
  }
}

std::optional<SteadyTime> ConfirmWindow::expire(SteadyTime now) {
  if (now < earliest_) return std::nullopt;
  // The one with that deadline may be settled long since: look for the earliest that is not.
  std::optional<SteadyTime> newest;
  SteadyTime next = SteadyTime::max();
  for (Sent& sent : sent_) {
    if (!sent.done) continue;
    if (now < sent.deadline) {
      next = std::min(next, sent.deadline);
      continue;
    }
    newest = std::max(newest.value_or(sent.at), sent.at);
    --unsettled_;
    std::exchange(sent.done, nullptr)(fail(ErrorCode::kOutcomeUnknown, "no confirm by the deadline"));
  }
  earliest_ = next;
  forget_settled();
  return newest;
}

}  // namespace sluice::rabbitmq
