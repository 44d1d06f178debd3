#include "common/rabbitmq/broker_control.h"

#include <algorithm>
#include <type_traits>

#include "common/rabbitmq/amqp_connection.h"

namespace sluice {

using rabbitmq::AmqpConnection;
using rabbitmq::QueueInfo;

namespace {
constexpr std::uint16_t kChannel = 1;
constexpr std::chrono::milliseconds kLongestCall{60'000};

// Nobody reads this connection between calls, so it can't answer heartbeats; each call finds out by itself
// whether the connection lives, and is bounded by the RPC's time limit.
RabbitmqConfig without_heartbeat(RabbitmqConfig config) {
  config.heartbeat = std::chrono::seconds(0);
  config.connection_name += " control";
  return config;
}
}  // namespace

class BrokerControl::Impl {
 public:
  Impl(RabbitmqConfig config, const Clock& clock)
      : config_(without_heartbeat(std::move(config))), clock_(clock) {}

  // Runs `work` on a living connection with an open channel. A connection that died while idle is replaced
  // once: every operation here may be repeated.
  template <class Work>
  std::invoke_result_t<const Work&, AmqpConnection&> run(Deadline deadline, const Work& work)
      EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    for (int attempt = 1;; ++attempt) {
      if (deadline.passed(clock_)) return fail(ErrorCode::kDeadline, "the deadline passed first");
      const bool reused = ready(deadline);
      if (!connection_) {
        auto opened = connect(deadline);
        if (!opened) return fail(opened.error());
      }
      connection_->limit_calls(time_left(deadline));
      auto outcome = work(*connection_);
      if (outcome) return outcome;
      if (outcome.error().code == ErrorCode::kUnavailable) {
        connection_.reset();
        if (reused && attempt == 1) continue;
      } else {
        channel_open_ = false;  // A refusal closes the channel.
      }
      return outcome;
    }
  }

 private:
  // True if the connection of an earlier call can be used.
  bool ready(Deadline deadline) REQUIRES(mutex_) {
    if (!connection_) return false;
    connection_->limit_calls(time_left(deadline));
    for (;;) {
      const auto event = connection_->next_event();
      if (!event) break;
      if (!std::holds_alternative<std::monostate>(*event)) continue;
      if (!channel_open_ && !connection_->open_channel(kChannel)) break;
      channel_open_ = true;
      return true;
    }
    connection_.reset();
    return false;
  }

  std::chrono::milliseconds time_left(Deadline deadline) const {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline.remaining(clock_));
    return std::clamp(left, std::chrono::milliseconds(1), kLongestCall);
  }

  Status connect(Deadline deadline) REQUIRES(mutex_) {
    RabbitmqConfig bounded = config_;
    bounded.connect_timeout = std::min(time_left(deadline), bounded.connect_timeout);
    bounded.rpc_timeout = time_left(deadline);
    SLUICE_ASSIGN(connection_, AmqpConnection::open(bounded));
    if (const Status opened = connection_->open_channel(kChannel); !opened) {
      connection_.reset();
      return opened;
    }
    channel_open_ = true;
    return {};
  }

  const RabbitmqConfig config_;
  const Clock& clock_;
  Mutex mutex_;
  std::unique_ptr<AmqpConnection> connection_ GUARDED_BY(mutex_);
  bool channel_open_ GUARDED_BY(mutex_) = false;
};

BrokerControl::BrokerControl(RabbitmqConfig config, const Clock& clock)
    : impl_(std::make_unique<Impl>(std::move(config), clock)) {}

BrokerControl::~BrokerControl() = default;

Status BrokerControl::declare(const Topology& topology, Deadline deadline) {
  return impl_->run(deadline,
                    [&](AmqpConnection& connection) { return connection.declare(kChannel, topology); });
}

Status BrokerControl::declare(const BoundQueue& queue, Deadline deadline) {
  return impl_->run(deadline,
                    [&](AmqpConnection& connection) { return connection.declare(kChannel, queue); });
}

Status BrokerControl::verify(const Topology& topology, Deadline deadline) {
  return impl_->run(deadline, [&](AmqpConnection& connection) -> Status {
    // A passive declaration tells a missing thing and creates none, but looks at no arguments; a plain one of
    // what exists compares them and changes nothing.
    for (const ExchangeSpec& exchange : topology.exchanges()) {
      SLUICE_TRY(connection.declare_exchange(kChannel, exchange, true));
      SLUICE_TRY(connection.declare_exchange(kChannel, exchange, false));
    }
    for (const BoundQueue& queue : topology.queues()) {
      SLUICE_TRY(connection.declare_queue(kChannel, queue.queue, true));
      SLUICE_TRY(connection.declare_queue(kChannel, queue.queue, false));
    }
    return {};
  });
}

Result<QueueDepth> BrokerControl::depth(std::string_view queue, Deadline deadline) {
  QueueSpec spec;
  spec.name = queue;
  return impl_->run(deadline, [&](AmqpConnection& connection) -> Result<QueueDepth> {
    SLUICE_ASSIGN(const QueueInfo info, connection.declare_queue(kChannel, spec, true));
    return QueueDepth{info.messages, info.consumers};
  });
}

Result<std::uint64_t> BrokerControl::purge(std::string_view queue, Deadline deadline) {
  return impl_->run(
      deadline, [&](AmqpConnection& connection) { return connection.purge(kChannel, std::string(queue)); });
}

Status BrokerControl::remove(std::string_view queue, Deadline deadline) {
  return impl_->run(deadline, [&](AmqpConnection& connection) {
    return connection.remove_queue(kChannel, std::string(queue));
  });
}

}  // namespace sluice
