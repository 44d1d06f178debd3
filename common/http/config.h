// What the HTTP server may be asked to stand. Every limit is a setting.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

namespace sluice::config {
class Settings;
}

namespace sluice::http {

struct ServerConfig {
  std::string address = "127.0.0.1";  // Numeric; "0.0.0.0" or "::" for every interface.
  std::uint16_t port = 8080;          // 0 picks a free one.
  // PEM files: the certificate with its chain, and its key. Both set: TLS 1.2 and newer, and nothing else.
  std::string tls_cert;
  std::string tls_key;
  int io_threads = 2;            // They never block: one for each core that may serve HTTP.
  int handler_threads = 8;       // They may block: how many requests work at the same time.
  int handler_queue_max = 4096;  // Requests that wait for a handler thread; more are 503.
  int listen_backlog = 4096;

  std::size_t header_bytes_max = 16 * 1024;  // Request line and fields; more is 431.
  int header_count_max = 100;                // Fields; more is 431.
  std::size_t target_bytes_max = 8 * 1024;   // More is 414.

  // Bodies held at one time, all connections together; a request that would need more is 503.
  std::size_t bodies_bytes_max = 256 * 1024 * 1024;

  // Bytes of streamed answers that wait for their clients, all connections together. Beyond it each stream
  // may keep one piece only.
  std::size_t streams_bytes_max = 256 * 1024 * 1024;

  std::chrono::milliseconds header_timeout{
      10'000};  // From the first byte of a request to the end of its header.
  // From the end of the header to the end of the body. Of a body that is taken in pieces: for the next piece;
  // what came faster than the least rate is saved up, to no more than this.
  std::chrono::milliseconds body_timeout{60'000};
  std::size_t upload_bytes_per_second_min = 4096;
  std::chrono::milliseconds write_timeout{30'000};  // Longest wait for the client to take more of the answer.
  std::chrono::milliseconds stream_heartbeat{
      15'000};                                     // A stream that is silent for so long says that it lives.
  std::chrono::milliseconds idle_timeout{75'000};  // Between requests. Longer than a proxy's own (60 s).
  std::chrono::milliseconds stop_grace{10'000};    // Running requests get this long at stop.

  int connections_max = 10'000;
  int connections_per_address_max = 8'000;
  int requests_per_connection_max = 100'000;  // Then `Connection: close`: balances long-lived clients.
};

// Binds every field under `prefix`: "http" gives --http-port, SLUICE_HTTP_PORT, http_port.
void bind(config::Settings& settings, ServerConfig& config, const std::string& prefix = "http");

}  // namespace sluice::http
