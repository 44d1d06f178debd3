// The ids of a job's events: what a client that comes back with one (Last-Event-ID) was told already.
//
//   <generation>-<order of states>-<bytes of text>-<bytes of reasoning>-<hash of both>
//   <generation>-final
//
// Plain values; the functions are safe for concurrent use.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "producer/live/live_answer.h"

namespace sluice::producer {

struct EventMark {
  std::int64_t generation = 1;
  bool final = false;
  std::int64_t order = -1;  // LiveState::order() of the last state; -1: none was told.
  TextPlace place;
  std::uint32_t hash = kLiveHashBegin;  // live_hash() of what comes before the place.
  bool operator==(const EventMark&) const = default;
};

std::string event_mark_text(const EventMark& mark);
// Nullopt: not one of ours.
std::optional<EventMark> event_mark_from(std::string_view text);

}  // namespace sluice::producer
