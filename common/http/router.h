// Which handler answers which request, and what is asked of a request before its body is read.
//
//   Router router;
//   router.add(Method::kPost, "/v1/jobs", {.body_max = 8'000'000, .authenticate = check_key, .handler =
//   submit});
//
// Filled once, then handed to the Server and read by all its threads. Handlers, authenticators and admission
// hooks must therefore be safe for concurrent use.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/http/body_sink.h"
#include "common/http/message.h"
#include "common/http/responder.h"

namespace sluice::http {

// Looks at a request whose body hasn't been read. An answer refuses the request: the body is then never read,
// and the connection is closed after the answer unless there is no body. It must not throw.
using Authenticate = std::function<std::optional<Response>(RequestHead&)>;  // May set `principal`.
using Admit = std::function<std::optional<Response>(const RequestHead&)>;   // 413, 415, 429, 503 …
// Answers through the responder, at once or later, from any thread. If it throws, the answer is 500.
using Handler = std::function<void(Request, Responder)>;

// Where a route's functions run.
enum class RunOn {
  kStage,  // The server's bounded pool of handler threads: may block for a while. Full: 503 with Retry-After.
  kIoThread,  // The connection's own thread: only for what never blocks and is over in microseconds.
};

struct Route {
  std::size_t body_max = 0;  // Bytes; a longer body is 413 before it is read, or as soon as it shows.
  // If not empty, the route lives by its body: a request without one is 411, and one that declares another
  // media type is 415 (parameters are ignored; a request that declares none is taken at the route's word).
  std::string content_type;
  Authenticate authenticate;  // Optional. Runs first.
  Admit admit;                // Optional. Runs second.
  Handler handler;
  OpenBody open_body;  // Instead of `handler`, for bodies that are taken in pieces. Always on the stage.
  RunOn gate_on = RunOn::kStage;     // authenticate and admit.
  RunOn handler_on = RunOn::kStage;  // handler.
};

class Router {
 public:
  Router();
  ~Router();
  Router(Router&&) noexcept;
  Router& operator=(Router&&) noexcept;

  // `pattern` is a path whose segments are text or `{name}` (one segment, not empty). Text beats `{name}`
  // where both match. HEAD is answered by GET's route, OPTIONS by the server. A pattern that is added twice
  // aborts.
  void add(Method method, std::string pattern, Route route);

  // Every method and pattern that was added, in the order of their patterns.
  std::vector<std::pair<Method, std::string>> routes() const;

  struct Match {
    const Route* route = nullptr;          // Null: 404, or 405 if `allow` is not empty.
    const std::string* pattern = nullptr;  // Set if the path is known.
    std::string allow;                     // Methods that the path knows, for Allow.
    std::vector<std::pair<std::string, std::string>> path_params;
    bool bad_escape = false;  // A path parameter can't be decoded: 400.
  };
  // `path` is still escaped; segments are decoded after they were told apart, so %2F never makes a new one.
  Match match(Method method, std::string_view path) const;

 private:
  struct Node;
  std::unique_ptr<Node> root_;
};

}  // namespace sluice::http
