#include "common/http/core.h"

#include <array>

#include "common/http/connection.h"

namespace sluice::http {

ServerMetrics::ServerMetrics(metrics::Registry& registry)
    : requests(registry.counter_family("sluice_http_requests_total",
                                       "Requests answered, by route, method and class of status",
                                       {"route", "method", "status"})),
      seconds(registry.histogram_family("sluice_http_request_seconds",
                                        "From a request's first byte to its answer's last",
                                        metrics::request_seconds_buckets(), {"route"})),
      refused(registry.counter_family(
          "sluice_http_refused_total",
          "Requests and connections that the server itself turned down, by reason", {"reason"})),
      connections(registry.gauge("sluice_http_connections", "Open connections")),
      connections_accepted(
          registry.counter("sluice_http_connections_accepted_total", "Connections taken in")),
      clients_left(registry.counter("sluice_http_clients_left_total",
                                    "Clients that left before their answer was there")),
      response_fields_left_out(registry.counter("sluice_http_response_fields_left_out_total",
                                                "Header fields of answers that held a forbidden byte")),
      handler_queue(registry.gauge("sluice_http_handler_queue", "Requests that wait for a handler thread")),
      body_bytes(registry.gauge("sluice_http_body_bytes", "Bytes of request bodies held, or about to be")),
      streams(registry.gauge("sluice_http_streams", "Answers that go out in pieces now")),
      stream_bytes(
          registry.gauge("sluice_http_stream_bytes", "Bytes of such answers that wait for their clients")),
      tls_reload_failures(registry.counter("sluice_http_tls_reload_failures_total",
                                           "Changed certificates or keys that could not be used")),
      streams_cut(registry.counter_family("sluice_http_streams_cut_total",
                                          "Streams that did not reach their end, by reason", {"reason"})) {}

const char* ConnectionBook::admit(Connection* connection, const std::string& address_key) {
  MutexLock lock(mutex_);
  if (closed_) return "stopping";
  if (connections_.size() >= static_cast<std::size_t>(total_max_)) return "too_many_connections";
  int& of_address = by_address_[address_key];
  if (of_address >= per_address_max_) return "too_many_connections_of_address";
  ++of_address;
  connections_.insert(connection);
  return nullptr;
}

void ConnectionBook::remove(Connection* connection, const std::string& address_key) {
  MutexLock lock(mutex_);
  if (connections_.erase(connection) == 0) return;
  const auto of_address = by_address_.find(address_key);
  if (--of_address->second == 0) by_address_.erase(of_address);
  if (connections_.empty()) emptied_.notify_all();
}

std::vector<std::shared_ptr<Connection>> ConnectionBook::all_locked() {
  std::vector<std::shared_ptr<Connection>> found;
  found.reserve(connections_.size());
  for (Connection* connection : connections_) {
    // One whose last owner is about to go has closed itself already.
    if (std::shared_ptr<Connection> alive = connection->weak_from_this().lock())
      found.push_back(std::move(alive));
  }
  return found;
}

std::vector<std::shared_ptr<Connection>> ConnectionBook::close() {
  MutexLock lock(mutex_);
  closed_ = true;
  return all_locked();
}

std::vector<std::shared_ptr<Connection>> ConnectionBook::all() {
  MutexLock lock(mutex_);
  return all_locked();
}

bool ConnectionBook::wait_until_empty(std::chrono::steady_clock::time_point until) {
  SystemClock clock;
  MutexLock lock(mutex_);
  while (!connections_.empty()) {
    if (clock.steady_now() >= until) return false;
    lock.wait_until(clock, emptied_, until);
  }
  return true;
}

void ConnectionBook::wait_until_empty() {
  MutexLock lock(mutex_);
  while (!connections_.empty()) lock.wait(emptied_);
}

Core::Core(ServerConfig server_config, Router server_router, metrics::Registry& registry, Clock& server_clock,
           Rng& rng, AccessLog log)
    : config(std::move(server_config)),
      header_limits{config.header_bytes_max, config.target_bytes_max, config.header_count_max},
      router(std::move(server_router)),
      clock(server_clock),
      access_log(std::move(log)),
      metrics(registry),
      io(config.io_threads),
      stage("http-handler", config.handler_threads, static_cast<std::size_t>(config.handler_queue_max)),
      book(config.connections_max, config.connections_per_address_max),
      id_seed_(rng.next()) {}

std::string Core::next_request_id() {
  // A bijection of a counter (the finisher of splitmix64): never the same twice, and nobody reads our load
  // off it.
  std::uint64_t x = id_seed_ + id_count_.fetch_add(1, std::memory_order_relaxed) * 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  x ^= x >> 31;
  std::string id = "req_0000000000000000";
  for (std::size_t i = id.size(); x != 0; x >>= 4) id[--i] = "0123456789abcdef"[x & 15];
  return id;
}

bool Core::reserve_body(std::size_t bytes) {
  const std::size_t before = body_bytes_.fetch_add(bytes, std::memory_order_relaxed);
  if (before + bytes <= config.bodies_bytes_max) return true;
  body_bytes_.fetch_sub(bytes, std::memory_order_relaxed);
  return false;
}

void Core::release_body(std::size_t bytes) {
  body_bytes_.fetch_sub(bytes, std::memory_order_relaxed);
}

}  // namespace sluice::http
