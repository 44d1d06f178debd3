// What a receiver is sent about an event: an event object as OpenAI's webhooks have it, with the job as
// `data`.
//
//   {"id": "evt_…", "object": "event", "type": "job.succeeded", "created_at": 1700000000, "sequence": 1,
//   "data": {…}}
//
// `sequence` is the job's generation: of two events about one job the higher is the later. Built once, when
// the event is decided, and kept with it, so that every attempt carries the same bytes whatever becomes of
// the job.
//
// The end of a batch or of a response is told as OpenAI does: `data` is its id alone; `sequence` is its
// revision or generation.
//
// Pure; safe for concurrent use.
#pragma once

#include <optional>
#include <string>

#include "callback/delivery/delivery.h"
#include "common/job/job.h"

namespace sluice::callback {

struct PayloadConfig {
  std::size_t result_bytes_max =
      256 * 1024;          // A larger result is left out: `result` is null, `result_url` says where.
  std::string public_url;  // What `result_url` begins with ("https://sluice.example"); empty: a path alone.
};

// `job` as it is now; nullopt: its row is gone. A job that was redriven since (another generation) is told as
// far as it is still known: its status by the event's type, and no result.
std::string event_payload(const EventRecord& event, const std::optional<Job>& job,
                          const PayloadConfig& config);

// Whether the event is about a batch or a response.
bool tells_id_alone(const EventRecord& event);
std::string id_event_payload(const EventRecord& event);

}  // namespace sluice::callback
