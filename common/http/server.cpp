#include "common/http/server.h"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <thread>
#include <utility>
#include <vector>

#include "common/base/check.h"
#include "common/http/connection.h"
#include "common/http/core.h"
#include "common/http/tls.h"

namespace sluice::http {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

constexpr std::chrono::milliseconds kAcceptPauseMin{20};
constexpr std::chrono::milliseconds kAcceptPauseMax{1000};

bool out_of_resources(const error_code& fault) {
  return fault == asio::error::no_descriptors || fault == asio::error::no_memory ||
         fault == asio::error::no_buffer_space || fault == boost::system::errc::too_many_files_open_in_system;
}

// What the limit for each address counts by: an IPv4 address, or the /64 that one IPv6 client may roam in.
std::string address_key(const asio::ip::address& address) {
  if (address.is_v4()) {
    const auto bytes = address.to_v4().to_bytes();
    return std::string(bytes.begin(), bytes.end());
  }
  const auto bytes = address.to_v6().to_bytes();
  return std::string(bytes.begin(), bytes.begin() + 8);
}

// An IPv4 client of a dual-stack listener is an IPv4 client.
asio::ip::address plain_address(const asio::ip::address& address) {
  if (address.is_v6() && address.to_v6().is_v4_mapped()) {
    return asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6());
  }
  return address;
}

}  // namespace

class Server::Impl {
 public:
  Impl(ServerConfig config, Router router, metrics::Registry& registry, Clock& clock, Rng& rng,
       AccessLog access_log)
      : core_(std::make_shared<Core>(std::move(config), std::move(router), registry, clock, rng,
                                     std::move(access_log))),
        acceptor_(asio::make_strand(core_->io)),
        accept_timer_(acceptor_.get_executor()),
        gauges_hook_(registry.on_expose([core = core_.get()] {
          core->metrics.handler_queue.set(static_cast<double>(core->stage.waiting()));
          core->metrics.body_bytes.set(static_cast<double>(core->body_bytes()));
          core->metrics.stream_bytes.set(static_cast<double>(core->stream_bytes->load()));
        })) {}

  Status start() {
    SLUICE_CHECK(!started_);
    error_code fault;
    const asio::ip::address address = asio::ip::make_address(core_->config.address, fault);
    if (fault) return fail(ErrorCode::kInvalid, core_->config.address + " is no numeric address");
    if (core_->config.tls_cert.empty() != core_->config.tls_key.empty()) {
      return fail(ErrorCode::kInvalid, "TLS needs both a certificate and its key");
    }
    if (!core_->config.tls_cert.empty()) {
      SLUICE_ASSIGN(tls_, TlsContext::load(core_->config.tls_cert, core_->config.tls_key));
    }
    const tcp::endpoint endpoint(address, core_->config.port);
    const auto step = [&fault, &endpoint](const char* what) -> Status {
      if (!fault) return {};
      return fail(ErrorCode::kUnavailable, std::string("can't ") + what + " " +
                                               endpoint.address().to_string() + ":" +
                                               std::to_string(endpoint.port()) + ": " + fault.message());
    };
    acceptor_.open(endpoint.protocol(), fault);
    SLUICE_TRY(step("open a socket for"));
    acceptor_.set_option(asio::socket_base::reuse_address(true), fault);
    if (address.is_v6()) acceptor_.set_option(asio::ip::v6_only(false), fault);
    acceptor_.bind(endpoint, fault);
    SLUICE_TRY(step("bind"));
    acceptor_.listen(core_->config.listen_backlog, fault);
    SLUICE_TRY(step("listen on"));
    port_ = acceptor_.local_endpoint(fault).port();
    SLUICE_TRY(step("listen on"));

    started_ = true;
    core_->stage.start();
    for (int i = 0; i < core_->config.io_threads; ++i) {
      threads_.emplace_back([this] { core_->io.run(); });
      pthread_setname_np(threads_.back().native_handle(), "http-io");
    }
    asio::post(acceptor_.get_executor(), [this] { accept(); });
    return {};
  }

  std::uint16_t port() const { return port_; }

  void stop() {
    if (stopped_) return;
    stopped_ = true;
    core_->stopping = true;
    if (!started_) {
      work_.reset();
      return;
    }
    asio::post(acceptor_.get_executor(), [this] {
      error_code ignored;
      acceptor_.close(ignored);
      accept_timer_.cancel();
    });
    for (const auto& connection : core_->book.close()) connection->stop();
    if (!core_->book.wait_until_empty(std::chrono::steady_clock::now() + core_->config.stop_grace)) {
      for (const auto& connection : core_->book.all()) connection->abort();
      core_->book.wait_until_empty();
    }
    core_->stage.stop();
    work_.reset();
    for (std::thread& thread : threads_) thread.join();
  }

 private:
  void accept() {
    if (!acceptor_.is_open()) return;
    acceptor_.async_accept(asio::make_strand(core_->io), [this](error_code fault, tcp::socket socket) {
      if (!acceptor_.is_open()) return;
      if (out_of_resources(fault)) return pause_accepting();
      accept_pause_ = kAcceptPauseMin;
      // Other faults concern one client that left already.
      if (!fault) take_in(std::move(socket));
      accept();
    });
  }

  // Descriptors or memory are used up: trying again at once would burn a core and change nothing.
  void pause_accepting() {
    core_->metrics.refused.with({"accept_paused"}).add();
    accept_timer_.expires_after(accept_pause_);
    accept_pause_ = std::min(2 * accept_pause_, kAcceptPauseMax);
    accept_timer_.async_wait([this](error_code fault) {
      if (!fault) accept();
    });
  }

  void take_in(tcp::socket socket) {
    error_code fault;
    const tcp::endpoint peer = socket.remote_endpoint(fault);
    if (fault) return;
    socket.non_blocking(true, fault);
    if (fault) return;
    socket.set_option(tcp::no_delay(true), fault);
    const asio::ip::address address = plain_address(peer.address());
    const std::string key = address_key(address);
    SSL_CTX* tls = nullptr;
    if (tls_) {
      bool failed = false;
      tls = tls_->current(core_->clock.steady_now(), failed);
      if (failed) core_->metrics.tls_reload_failures.add();
    }
    const auto connection =
        std::make_shared<Connection>(core_, std::move(socket), tls, address.to_string(), key);
    if (const char* reason = core_->book.admit(connection.get(), key)) {
      core_->metrics.refused.with({reason}).add();
      connection->turn_away();
      return;
    }
    core_->metrics.connections.add();
    core_->metrics.connections_accepted.add();
    connection->start();
  }

  const std::shared_ptr<Core> core_;
  std::unique_ptr<TlsContext> tls_;  // Null: plain.
  tcp::acceptor acceptor_;
  asio::steady_timer accept_timer_;
  std::chrono::milliseconds accept_pause_ = kAcceptPauseMin;
  asio::executor_work_guard<asio::io_context::executor_type> work_{core_->io.get_executor()};
  std::vector<std::thread> threads_;
  std::uint16_t port_ = 0;
  bool started_ = false;
  bool stopped_ = false;
  metrics::CollectHook gauges_hook_;
};

Server::Server(ServerConfig config, Router router, metrics::Registry& registry, Clock& clock, Rng& rng,
               AccessLog access_log)
    : impl_(std::make_unique<Impl>(std::move(config), std::move(router), registry, clock, rng,
                                   std::move(access_log))) {}

Server::~Server() {
  stop();
}

Status Server::start() {
  return impl_->start();
}

std::uint16_t Server::port() const {
  return impl_->port();
}

void Server::stop() {
  impl_->stop();
}

}  // namespace sluice::http
