// What all connections of one server share.
#pragma once

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/http/config.h"
#include "common/http/header_scan.h"
#include "common/http/router.h"
#include "common/http/server.h"
#include "common/http/stage.h"
#include "common/http/stream_queue.h"
#include "common/metrics/metrics.h"

namespace sluice::http {

class Connection;

struct ServerMetrics {
  explicit ServerMetrics(metrics::Registry& registry);

  metrics::CounterFamily requests;   // route, method, status
  metrics::HistogramFamily seconds;  // route
  metrics::CounterFamily refused;    // reason
  metrics::Gauge connections;
  metrics::Counter connections_accepted;
  metrics::Counter clients_left;  // Before their answer.
  metrics::Counter response_fields_left_out;
  metrics::Gauge handler_queue;
  metrics::Gauge body_bytes;
  metrics::Gauge streams;
  metrics::Gauge stream_bytes;
  metrics::Counter tls_reload_failures;
  metrics::CounterFamily streams_cut;  // reason
};

// Counts connections, all and by address. Safe for concurrent use.
class ConnectionBook {
 public:
  ConnectionBook(int total_max, int per_address_max)
      : total_max_(total_max), per_address_max_(per_address_max) {}

  // Null: taken in. Else the reason why not.
  const char* admit(Connection* connection, const std::string& address_key);
  void remove(Connection* connection, const std::string& address_key);
  // No more are taken in. Returns those that are there.
  std::vector<std::shared_ptr<Connection>> close();
  std::vector<std::shared_ptr<Connection>> all();
  // False: `until` has come and some are left.
  bool wait_until_empty(std::chrono::steady_clock::time_point until);
  void wait_until_empty();

 private:
  std::vector<std::shared_ptr<Connection>> all_locked() REQUIRES(mutex_);

  const int total_max_;
  const int per_address_max_;
  Mutex mutex_;
  std::condition_variable emptied_;
  bool closed_ GUARDED_BY(mutex_) = false;
  std::unordered_set<Connection*> connections_ GUARDED_BY(mutex_);
  std::unordered_map<std::string, int> by_address_ GUARDED_BY(mutex_);
};

struct Core {
  Core(ServerConfig server_config, Router server_router, metrics::Registry& registry, Clock& server_clock,
       Rng& rng, AccessLog log);

  const ServerConfig config;
  const HeaderLimits header_limits;
  const Router router;
  Clock& clock;
  const AccessLog access_log;
  ServerMetrics metrics;
  boost::asio::io_context io;
  Stage stage;
  ConnectionBook book;
  std::atomic<bool> stopping{false};
  const StreamQueue::Total stream_bytes = std::make_shared<std::atomic<std::size_t>>(0);

  std::string next_request_id();
  // Room for `bytes` of bodies, or false if all bodies together would be too large.
  bool reserve_body(std::size_t bytes);
  void release_body(std::size_t bytes);
  std::size_t body_bytes() const { return body_bytes_.load(std::memory_order_relaxed); }

 private:
  const std::uint64_t id_seed_;
  std::atomic<std::uint64_t> id_count_{0};
  std::atomic<std::size_t> body_bytes_{0};
};

}  // namespace sluice::http
