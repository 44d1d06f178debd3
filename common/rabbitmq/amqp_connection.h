// One AMQP connection, thinly over rabbitmq-c: set-up calls that wait for their answer, sends, and a reader
// that never blocks. Internal to this folder.
//
// Not safe for concurrent use; belongs to one thread. After any kUnavailable it is of no more use. A call
// that ends a channel (the broker refused it) leaves that channel closed: open it again before using it.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "common/base/result.h"
#include "common/rabbitmq/config.h"
#include "common/rabbitmq/message.h"
#include "common/rabbitmq/topology.h"

struct amqp_connection_state_t_;
struct amqp_frame_t_;

namespace sluice::rabbitmq {

// What the broker sends unasked.
struct Confirm {
  std::uint64_t number = 0;
  bool multiple = false;
  bool positive = true;
};
struct Returned {
  std::string correlation_id;
  std::string reason;
};
struct Blocked {
  bool blocked = false;
};
struct Subscribed {
  std::uint16_t channel = 0;
};
struct Cancelled {
  std::uint16_t channel = 0;
};
struct ChannelClosed {
  std::uint16_t channel = 0;
  Error error;
};
using Event =
    std::variant<std::monostate, Confirm, Returned, Delivery, Blocked, Subscribed, Cancelled, ChannelClosed>;

struct QueueInfo {
  std::string name;
  std::uint64_t messages = 0;
  std::uint64_t consumers = 0;
};

class AmqpConnection {
 public:
  // Connects and logs in. kUnavailable: says why.
  static Result<std::unique_ptr<AmqpConnection>> open(const RabbitmqConfig& config);
  ~AmqpConnection();
  AmqpConnection(const AmqpConnection&) = delete;
  AmqpConnection& operator=(const AmqpConnection&) = delete;

  // Each waits for its answer, at most the configured rpc_timeout. kUnavailable: the connection is lost.
  // kNotFound, kConflict, kInvalid: the broker refused it and closed the channel.
  Status open_channel(std::uint16_t channel);
  Status select_confirms(std::uint16_t channel);
  // Returns once the broker has gone through all that was sent on the channel before.
  Status catch_up(std::uint16_t channel);
  Status declare_exchange(std::uint16_t channel, const ExchangeSpec& exchange, bool passive);
  Result<QueueInfo> declare_queue(std::uint16_t channel, const QueueSpec& queue, bool passive);
  Status bind(std::uint16_t channel, const BindingSpec& binding);
  Status cancel(std::uint16_t channel, const std::string& consumer_tag);
  Result<std::uint64_t> purge(std::uint16_t channel, const std::string& queue);
  Status remove_queue(std::uint16_t channel, const std::string& queue);
  // Exchanges, queues in order with their bindings.
  Status declare(std::uint16_t channel, const BoundQueue& queue, std::string* name = nullptr);
  Status declare(std::uint16_t channel, const Topology& topology);

  // These only send. They block while the socket's buffer is full: guard them by a SocketWatchdog.
  Status publish(std::uint16_t channel, const Message& message, const std::string& correlation_id);
  // Declarations without an answer: what is refused comes as a ChannelClosed event, and a queue without a
  // leader costs no time. The queue needs a name.
  Status send_declare(std::uint16_t channel, const ExchangeSpec& exchange);
  Status send_declare(std::uint16_t channel, const BoundQueue& queue);
  Status send_declare(std::uint16_t channel, const Topology& topology);
  Status send_prefetch(std::uint16_t channel, int prefetch);
  // Answered by a Subscribed event, or by none, as from a queue without a leader: waiting for it here would
  // cost the whole connection, since that is how the library ends a call that takes too long.
  Status subscribe(std::uint16_t channel, const std::string& queue, const std::string& consumer_tag,
                   bool exclusive);
  // Closes a channel without waiting; its number must not be used again.
  Status abandon(std::uint16_t channel);
  Status ack(std::uint16_t channel, std::uint64_t number, bool multiple);
  Status reject(std::uint16_t channel, std::uint64_t number, bool requeue);

  // What came, without waiting for more; monostate = nothing yet. Also keeps heartbeats going: call it at
  // least every heartbeat / 3. kUnavailable: the connection is lost, or the broker closed it.
  Result<Event> next_event();

  // Bounds each call that waits for its answer, from now on.
  void limit_calls(std::chrono::milliseconds longest);
  // The interval of heartbeats that was agreed on; zero = none.
  std::chrono::seconds heartbeat() const;
  int fd() const;
  bool writable() const;  // The socket takes at least a few KiB without blocking.
  // Tells the broker goodbye instead of just hanging up.
  void close_politely();

 private:
  // A message that arrives in several frames on its channel.
  struct Assembly {
    std::variant<Delivery, Returned> message;
    bool has_header = false;
    std::uint64_t body_left = 0;
  };
  struct Free {
    void operator()(amqp_connection_state_t_* state) const;
  };
  explicit AmqpConnection(const RabbitmqConfig& config);
  Status log_in();
  Status rpc_status(std::uint16_t channel, std::string_view what);
  Status send_status(int status);
  Result<Event> take_frame(const amqp_frame_t_& frame);
  Result<Event> take_method(const amqp_frame_t_& frame);
  Event finish_content(std::uint16_t channel);

  const RabbitmqConfig config_;
  std::unique_ptr<amqp_connection_state_t_, Free> state_;
  std::map<std::uint16_t, Assembly> arriving_;
  bool lost_ = false;
};

}  // namespace sluice::rabbitmq
