// Server-sent events (WHATWG HTML, "text/event-stream") on a streamed answer.
//
//   std::optional<ResponseStream> stream = open_sse(responder);
//   if (stream && stream->write(sse_event({.id = "7", .event = "status", .data = json})) == Kept::kFull) …
//
// A silent stream sends a comment every `stream_heartbeat`, so that proxies and clients don't give it up; the
// server's own timer does that, no thread.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "common/http/responder.h"

namespace sluice::http {

// The header of the answer: media type, no caching, and no buffering in a proxy. For further fields.
Response sse_head();

// Begins the stream; empty: an answer was given before.
std::optional<ResponseStream> open_sse(const Responder& responder, Response head = sse_head(),
                                       std::size_t queue_bytes_max = 1 << 20);

struct SseEvent {
  std::string_view id = {};     // Empty: the client's last id stays as it is.
  std::string_view event = {};  // Empty: "message".
  std::string_view data = {};   // May have several lines, ended by LF, CR LF or CR; all arrive as LF.
};
// The event's text. A line end in `id` or `event` would end the field: they are cut there; so is an id at a
// NUL, which clients would ignore.
std::string sse_event(const SseEvent& event);

}  // namespace sluice::http
