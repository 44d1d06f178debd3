// A server with a few routes on a free loopback port.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "common/http/error_response.h"
#include "common/http/server.h"
#include "common/http/service_endpoints.h"
#include "common/http/sse.h"
#include "raw_client.h"

namespace sluice::http {

// Something to wait for: counts up, and waits end after ten seconds.
class Signal {
 public:
  void raise();
  bool wait_for(int count);
  int count();

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int count_ = 0;
};

// Routes:
//   GET  /hello            "hello"
//   POST /echo             the body back; at most 1,000 bytes
//   POST /json             needs application/json
//   GET  /items/{id}       the id back
//   POST /private          needs X-Key: open; 10 bytes
//   GET  /wait             answered by finish_waits() only
//   GET  /stream           a stream in the hands of the test: stream(0) and so on
//   GET  /events           the same, as server-sent events
//   GET  /sized            the same, of ten bytes
//   GET  /pull             16 MB, made as they are asked for; `pulled_` counts the pieces
//   GET  /throw, /forget   a handler that throws, one that never answers
//   GET  /medium, /large   60 kB, 8 MiB
//   GET  /dirty            fields with CR and LF in them
//   GET  /inline           answered on the I/O thread
//   GET  /refused          admission says 429
class ServerFixture : public ::testing::Test {
 protected:
  ServerFixture();
  ~ServerFixture() override;

  virtual void add_routes(Router&) {}
  void start();  // With `config`, which a test may change before.
  RawClient connect() { return RawClient(server_->port()); }
  RawResponse ask(const std::string& bytes);  // On a connection of its own; status 0: no answer.
  void finish_waits();
  // Waits for the stream that request `index` of its kind has opened.
  ResponseStream& stream(int index);
  double metric(const std::string& line_start);

  static constexpr std::size_t kPulledBytes = 16'000'000;
  static constexpr std::string_view kHello = "GET /hello HTTP/1.1\r\nHost: t\r\n\r\n";

  SystemClock clock_;
  SeededRng rng_{7};
  metrics::Registry registry_;
  ServerConfig config_;
  std::unique_ptr<Server> server_;

  std::atomic<int> handled_{0};  // Calls of any handler.
  Signal waiting_;               // Raised by each /wait.
  Signal left_;                  // Raised when a client of /wait leaves.
  std::mutex waits_mutex_;
  std::vector<Responder> waits_;
  std::size_t stream_queue_bytes_ = 1 << 20;
  Signal streaming_;  // Raised by each stream.
  std::mutex streams_mutex_;
  std::vector<std::unique_ptr<ResponseStream>> streams_;
  std::atomic<int> pulled_{0};
  std::mutex log_mutex_;
  std::vector<std::string> log_;  // "GET /hello 200 code"
};

}  // namespace sluice::http
