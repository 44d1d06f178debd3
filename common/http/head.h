// From a header whose bytes HeaderScan has let through to a RequestHead: Beast's parser takes it apart, and
// what must never be ambiguous (how long the body is, which host is meant) is checked on what the parser
// found.
#pragma once

#include <cstdint>
#include <string_view>

#include "common/http/message.h"
#include "common/http/refusal.h"

namespace sluice::http {

// How the request goes on after its header.
struct Framing {
  bool http11 = false;
  bool keep_alive = false;  // The client allows another request on this connection.
  bool chunked = false;
  bool expects_continue = false;  // 100-continue.
};

struct ParsedHead {
  RequestHead head;  // Without peer, id, pattern, path parameters and principal.
  Framing framing;
  bool options_for_server = false;  // OPTIONS *
};

// `header` ends with the empty line. True: `parsed` is filled. False: `refusal` says why; the connection must
// be closed after the answer, for nobody knows where the next request starts.
bool parse_head(std::string_view header, ParsedHead& parsed, Refusal& refusal);

}  // namespace sluice::http
