// Sender over libcurl's multi interface: one thread, one event loop, any number of transfers.
//
// http and https alone; no redirects, no proxies, no netrc, no cookies; certificates verified; the guard sees
// the address of each connection before it is opened; answers are read up to a limit and no further.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "callback/guard/address_guard.h"
#include "callback/sender/resolver.h"
#include "callback/sender/sender.h"
#include "common/base/clock.h"
#include "common/log/log.h"

namespace sluice::callback {

struct SenderConfig {
  std::chrono::milliseconds connect_timeout{10'000};  // Name, TCP and TLS together.
  std::chrono::milliseconds total_timeout{20'000};    // Until the answer's last byte.
  std::size_t response_bytes_max = 64 * 1024;         // More is not read: the status decides.
  std::size_t header_bytes_max = 64 * 1024;           // More is a failed attempt.
  std::string tls_ca_file;                            // Trusted instead of the system's CAs; empty: those.
  GuardConfig guard;
};

class CurlSender final : public Sender {
 public:
  // `resolver` and `clock` must outlive the sender.
  CurlSender(SenderConfig config, Resolver& resolver, const Clock& clock, Log log);
  ~CurlSender() override;
  CurlSender(const CurlSender&) = delete;
  CurlSender& operator=(const CurlSender&) = delete;

  // kInternal: libcurl can't be set up.
  Status start();
  void send(SendRequest request, Done done) override;
  // Ends what is under way as kCancelled and joins. May be called twice, or before start(); what is sent
  // afterwards is cancelled at once.
  void stop();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::callback
