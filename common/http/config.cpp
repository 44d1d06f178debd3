#include "common/http/config.h"

#include "common/config/settings.h"

namespace sluice::http {

void bind(config::Settings& settings, ServerConfig& config, const std::string& prefix) {
  using namespace std::chrono_literals;
  const auto name = [&prefix](const char* rest) { return prefix + "-" + rest; };
  settings.add(name("address"), config.address,
               "Numeric address to listen on; 0.0.0.0 or :: for every interface");
  settings.add(name("port"), config.port, "Port to listen on; 0 picks a free one");
  settings.add(name("tls-cert"), config.tls_cert,
               "PEM file of the certificate and its chain; with the key: TLS 1.2 or newer only");
  settings.add(name("tls-key"), config.tls_key, "PEM file of the certificate's key, without a passphrase");
  settings
      .add(name("io-threads"), config.io_threads,
           "Threads that read and write; one for each core that may serve HTTP")
      .range(1, 256);
  settings.add(name("handler-threads"), config.handler_threads, "Requests that work at the same time")
      .range(1, 1024);
  settings
      .add(name("handler-queue-max"), config.handler_queue_max,
           "Requests that wait for a handler thread; more are 503")
      .range(1, 1'000'000);
  settings.add(name("listen-backlog"), config.listen_backlog, "Connections that wait to be accepted")
      .range(1, 65535);
  settings.add_size(name("header-bytes-max"), config.header_bytes_max, "Request line and fields; more is 431")
      .range(512, 1 << 20);
  settings.add(name("header-count-max"), config.header_count_max, "Header fields; more is 431")
      .range(1, 10'000);
  settings.add_size(name("target-bytes-max"), config.target_bytes_max, "Path and query; more is 414")
      .range(64, 1 << 20);
  settings
      .add_size(name("bodies-bytes-max"), config.bodies_bytes_max,
                "Bodies held at one time, all requests together; more is 503")
      .range(1 << 20, std::size_t{1} << 40);
  settings
      .add_size(name("streams-bytes-max"), config.streams_bytes_max,
                "Bytes of streamed answers that wait for their clients, all together")
      .range(1 << 20, std::size_t{1} << 40);
  settings
      .add(name("header-timeout"), config.header_timeout,
           "From the first byte of a request to the end of its header")
      .range(10ms, 1h);
  settings.add(name("body-timeout"), config.body_timeout, "From the end of the header to the end of the body")
      .range(10ms, 24h);
  settings
      .add_size(name("upload-bytes-per-second-min"), config.upload_bytes_per_second_min,
                "Slower bodies that are taken in pieces end after the body timeout")
      .range(1, 1 << 30);
  settings.add(name("write-timeout"), config.write_timeout, "For an answer; plus 1 s for each 64 KiB of it")
      .range(10ms, 1h);
  settings
      .add(name("stream-heartbeat"), config.stream_heartbeat,
           "A stream that is silent for so long says that it lives")
      .range(10ms, 1h);
  settings.add(name("idle-timeout"), config.idle_timeout, "Between requests; longer than the proxy's own")
      .range(10ms, 24h);
  settings.add(name("stop-grace"), config.stop_grace, "Running requests get this long at stop")
      .range(0ms, 1h);
  settings.add(name("connections-max"), config.connections_max, "Connections in all").range(1, 1'000'000);
  settings
      .add(name("connections-per-address-max"), config.connections_per_address_max,
           "Connections of one address")
      .range(1, 1'000'000);
  settings
      .add(name("requests-per-connection-max"), config.requests_per_connection_max,
           "Requests until a connection is closed, which balances long-lived clients")
      .range(1, 1'000'000'000);
}

}  // namespace sluice::http
