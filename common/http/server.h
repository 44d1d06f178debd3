// The HTTP/1.1 server that every service of sluice listens with. Built for open networks: what is wrong with
// a request is found before its body is read, every wait has a limit, and nothing grows without bound.
//
//   http::Server server(config, std::move(router), registry, clock, rng, access_log);
//   SLUICE_TRY(server.start());
//   …
//   server.stop();
//
// start() and stop() are for one owner; stop() may be called twice or before start(). port() is safe from any
// thread after start(). `registry`, `clock` and `rng` must outlive the server; whatever the handlers use must
// outlive stop().
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/base/rng.h"
#include "common/http/config.h"
#include "common/http/router.h"
#include "common/metrics/metrics.h"

namespace sluice::http {

// One answered request. Never its body or its keys. The views are valid during the call only.
struct AccessRecord {
  std::string_view request_id;
  std::string_view method;   // "-" if the request could not be read that far.
  std::string_view pattern;  // The route's pattern, or "-".
  int status = 0;
  std::string_view
      code;  // Why the server itself refused it ("header_too_large", …); empty if a handler answered.
  std::chrono::nanoseconds duration{0};  // From the first byte of the request to the last of the answer.
  std::uint64_t bytes_in = 0;            // Of the body.
  std::uint64_t bytes_out = 0;           // Of the body.
  std::string_view peer_address;
};
// Called on I/O threads: must be safe for concurrent use and must not block.
using AccessLog = std::function<void(const AccessRecord&)>;

class Server {
 public:
  Server(ServerConfig config, Router router, metrics::Registry& registry, Clock& clock, Rng& rng,
         AccessLog access_log = {});
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Listens and serves. kUnavailable: the address can't be bound; kInvalid: it isn't an address,
  // or the certificate or key for TLS can't be used.
  Status start();
  // The port it listens on: the chosen one where the setting is 0.
  std::uint16_t port() const;
  // Stops accepting, lets running requests finish with `Connection: close` until `config.stop_grace` has
  // passed, then cuts what is left. Returns when every thread is joined and no handler runs any more.
  void stop();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::http
