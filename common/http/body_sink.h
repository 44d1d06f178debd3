// For bodies that are too large to be held: a route's sink takes them piece by piece, as they come.
//
//   route.open_body = [](const RequestHead& head) -> OpenedBody { return std::make_unique<Upload>(head); };
//
// All calls to one sink come on handler threads, one after the other, and may block for a while. No thread is
// held between two pieces, and while one is worked on nothing but a small read-ahead is taken from the
// client. Exactly one of finish() and aborted() is called, then the sink is destroyed.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <tl/expected.hpp>

#include "common/http/message.h"
#include "common/http/responder.h"

namespace sluice::http {

class BodySink {
 public:
  virtual ~BodySink() = default;
  // The next piece: never empty, at most 64 KiB, valid during the call. An answer refuses the request: the
  // rest of the body isn't read, and aborted() follows.
  virtual std::optional<Response> take(std::string_view piece) = 0;
  // The body is complete. Answers through the responder, at once or later. The request's `body` is empty. If
  // it throws, the answer is 500.
  virtual void finish(Request request, Responder responder) = 0;
  // The body never became complete: the client left or was too slow, the body was refused, or the server
  // stops. No answer can be given any more. Must not throw.
  virtual void aborted() = 0;
};

// The sink, or the answer that refuses the request before its body is asked for.
using OpenedBody = tl::expected<std::unique_ptr<BodySink>, Response>;
// Runs on a handler thread, after authentication, admission and the route's own limits.
using OpenBody = std::function<OpenedBody(const RequestHead&)>;

}  // namespace sluice::http
