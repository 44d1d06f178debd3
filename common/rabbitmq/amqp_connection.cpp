#include "common/rabbitmq/amqp_connection.h"

#include <amqp.h>
#include <amqp_framing.h>
#include <amqp_tcp_socket.h>
#include <poll.h>
#include <sys/time.h>

#include <algorithm>
#include <chrono>
#include <vector>

#include "common/rabbitmq/amqp_values.h"

namespace sluice::rabbitmq {

namespace {

timeval timeval_of(std::chrono::milliseconds time) {
  return {time.count() / 1000, static_cast<suseconds_t>(time.count() % 1000 * 1000)};
}

std::string reason_of(const amqp_method_t& method, int& code) {
  if (method.id == AMQP_CHANNEL_CLOSE_METHOD) {
    const auto& close = *static_cast<amqp_channel_close_t*>(method.decoded);
    code = close.reply_code;
    return string_of(close.reply_text);
  }
  if (method.id == AMQP_CONNECTION_CLOSE_METHOD) {
    const auto& close = *static_cast<amqp_connection_close_t*>(method.decoded);
    code = close.reply_code;
    return string_of(close.reply_text);
  }
  code = 0;
  return "unexpected answer";
}

// The broker's reply codes, for a channel that it closed.
ErrorCode code_of(int reply_code) {
  switch (reply_code) {
    case AMQP_NOT_FOUND:
      return ErrorCode::kNotFound;
    case AMQP_PRECONDITION_FAILED:  // Exists with other arguments, or an ack came too late.
    case AMQP_RESOURCE_LOCKED:      // Another connection's exclusive queue.
      return ErrorCode::kConflict;
    case AMQP_RESOURCE_ERROR:
      return ErrorCode::kExhausted;
    case AMQP_ACCESS_REFUSED:
    case AMQP_COMMAND_INVALID:
    case AMQP_SYNTAX_ERROR:
      return ErrorCode::kInvalid;
    default:
      return ErrorCode::kInternal;
  }
}

}  // namespace

void AmqpConnection::Free::operator()(amqp_connection_state_t_* state) const {
  amqp_destroy_connection(state);
}

AmqpConnection::AmqpConnection(const RabbitmqConfig& config)
    : config_(config), state_(amqp_new_connection()) {}

AmqpConnection::~AmqpConnection() = default;

Result<std::unique_ptr<AmqpConnection>> AmqpConnection::open(const RabbitmqConfig& config) {
  std::unique_ptr<AmqpConnection> connection(new AmqpConnection(config));
  if (!connection->state_) return fail(ErrorCode::kUnavailable, "rabbitmq: no memory for a connection");
  SLUICE_TRY(connection->log_in());
  return connection;
}

Status AmqpConnection::log_in() {
  amqp_connection_state_t state = state_.get();
  amqp_socket_t* socket = amqp_tcp_socket_new(state);
  if (socket == nullptr) return fail(ErrorCode::kUnavailable, "rabbitmq: no memory for a socket");
  const timeval connect_timeout = timeval_of(config_.connect_timeout);
  const timeval rpc_timeout = timeval_of(config_.rpc_timeout);
  amqp_set_handshake_timeout(state, &connect_timeout);
  amqp_set_rpc_timeout(state, &rpc_timeout);
  const int opened = amqp_socket_open_noblock(socket, config_.host.c_str(), config_.port, &connect_timeout);
  if (opened != AMQP_STATUS_OK) {
    return fail(ErrorCode::kUnavailable, std::string("rabbitmq: connecting: ") + amqp_error_string2(opened));
  }
  // Without these the broker keeps quiet about memory alarms and deleted queues.
  ValuePool pool;
  const AmqpTable capabilities = {
      {"connection.blocked", true}, {"consumer_cancel_notify", true}, {"authentication_failure_close", true}};
  amqp_table_entry_t entries[2];
  entries[0] = entry_of("capabilities", pool.table(capabilities));
  entries[1] = entry_of("connection_name", config_.connection_name);
  const amqp_table_t properties{2, entries};
  const amqp_rpc_reply_t reply = amqp_login_with_properties(
      state, config_.vhost.c_str(), AMQP_DEFAULT_MAX_CHANNELS, AMQP_DEFAULT_FRAME_SIZE,
      static_cast<int>(config_.heartbeat.count()), &properties, AMQP_SASL_METHOD_PLAIN, config_.user.c_str(),
      config_.password.reveal().c_str());
  if (reply.reply_type == AMQP_RESPONSE_NORMAL) return {};
  lost_ = true;
  std::string why = amqp_error_string2(reply.library_error);
  if (reply.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION) {
    int code = 0;
    why = reason_of(reply.reply, code);
  }
  return fail(ErrorCode::kUnavailable, "rabbitmq: logging in: " + why);
}

Status AmqpConnection::rpc_status(std::uint16_t channel, std::string_view what) {
  const amqp_rpc_reply_t reply = amqp_get_rpc_reply(state_.get());
  if (reply.reply_type == AMQP_RESPONSE_NORMAL) return {};
  std::string message = "rabbitmq: " + std::string(what) + ": ";
  if (reply.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION) {
    int code = 0;
    message += reason_of(reply.reply, code);
    if (reply.reply.id == AMQP_CHANNEL_CLOSE_METHOD) {
      amqp_channel_close_ok_t ok{};
      SLUICE_TRY(send_status(amqp_send_method(state_.get(), channel, AMQP_CHANNEL_CLOSE_OK_METHOD, &ok)));
      arriving_.erase(channel);
      return fail(code_of(code), std::move(message));
    }
  } else {
    message += amqp_error_string2(reply.library_error);
  }
  lost_ = true;
  return fail(ErrorCode::kUnavailable, std::move(message));
}

Status AmqpConnection::send_status(int status) {
  if (status == AMQP_STATUS_OK) return {};
  lost_ = true;
  return fail(ErrorCode::kUnavailable, std::string("rabbitmq: sending: ") + amqp_error_string2(status));
}

Status AmqpConnection::open_channel(std::uint16_t channel) {
  amqp_channel_open(state_.get(), channel);
  return rpc_status(channel, "opening a channel");
}

Status AmqpConnection::select_confirms(std::uint16_t channel) {
  amqp_confirm_select(state_.get(), channel);
  return rpc_status(channel, "asking for confirms");
}

Status AmqpConnection::catch_up(std::uint16_t channel) {
  // Any call that changes nothing would do.
  amqp_basic_qos(state_.get(), channel, 0, 0, 0);
  return rpc_status(channel, "declaring");
}

Status AmqpConnection::declare_exchange(std::uint16_t channel, const ExchangeSpec& exchange, bool passive) {
  amqp_exchange_declare(state_.get(), channel, bytes_of(exchange.name), bytes_of(exchange.type),
                        passive ? 1 : 0, exchange.durable ? 1 : 0, 0, 0, amqp_empty_table);
  return rpc_status(channel, "exchange " + exchange.name);
}

Result<QueueInfo> AmqpConnection::declare_queue(std::uint16_t channel, const QueueSpec& queue, bool passive) {
  ValuePool pool;
  const amqp_queue_declare_ok_t* answer =
      amqp_queue_declare(state_.get(), channel, bytes_of(queue.name), passive ? 1 : 0, queue.durable ? 1 : 0,
                         queue.exclusive ? 1 : 0, queue.auto_delete ? 1 : 0,
                         passive ? amqp_empty_table : pool.table(queue.arguments));
  SLUICE_TRY(rpc_status(channel, "queue " + queue.name));
  return QueueInfo{string_of(answer->queue), answer->message_count, answer->consumer_count};
}

Status AmqpConnection::bind(std::uint16_t channel, const BindingSpec& binding) {
  amqp_queue_bind(state_.get(), channel, bytes_of(binding.queue), bytes_of(binding.exchange),
                  bytes_of(binding.routing_key), amqp_empty_table);
  return rpc_status(channel, "binding " + binding.queue + " to " + binding.exchange);
}

Status AmqpConnection::cancel(std::uint16_t channel, const std::string& consumer_tag) {
  amqp_basic_cancel(state_.get(), channel, bytes_of(consumer_tag));
  return rpc_status(channel, "ending a subscription");
}

Result<std::uint64_t> AmqpConnection::purge(std::uint16_t channel, const std::string& queue) {
  const amqp_queue_purge_ok_t* answer = amqp_queue_purge(state_.get(), channel, bytes_of(queue));
  SLUICE_TRY(rpc_status(channel, "purging " + queue));
  return answer->message_count;
}

Status AmqpConnection::remove_queue(std::uint16_t channel, const std::string& queue) {
  amqp_queue_delete(state_.get(), channel, bytes_of(queue), 0, 0);
  return rpc_status(channel, "deleting " + queue);
}

Status AmqpConnection::declare(std::uint16_t channel, const BoundQueue& queue, std::string* name) {
  SLUICE_ASSIGN(const QueueInfo info, declare_queue(channel, queue.queue, false));
  for (BindingSpec binding : queue.bindings) {
    binding.queue = info.name;
    SLUICE_TRY(bind(channel, binding));
  }
  if (name != nullptr) *name = info.name;
  return {};
}

Status AmqpConnection::declare(std::uint16_t channel, const Topology& topology) {
  for (const ExchangeSpec& exchange : topology.exchanges())
    SLUICE_TRY(declare_exchange(channel, exchange, false));
  for (const BoundQueue& queue : topology.queues()) SLUICE_TRY(declare(channel, queue));
  return {};
}

Status AmqpConnection::publish(std::uint16_t channel, const Message& message,
                               const std::string& correlation_id) {
  ValuePool pool;
  amqp_basic_properties_t properties{};
  properties._flags = AMQP_BASIC_CONTENT_TYPE_FLAG | AMQP_BASIC_DELIVERY_MODE_FLAG;
  properties.content_type = bytes_of(message.content_type);
  properties.delivery_mode = message.persistent ? 2 : 1;
  if (!correlation_id.empty()) {
    properties._flags |= AMQP_BASIC_CORRELATION_ID_FLAG;
    properties.correlation_id = bytes_of(correlation_id);
  }
  if (!message.message_id.empty()) {
    properties._flags |= AMQP_BASIC_MESSAGE_ID_FLAG;
    properties.message_id = bytes_of(message.message_id);
  }
  if (!message.type.empty()) {
    properties._flags |= AMQP_BASIC_TYPE_FLAG;
    properties.type = bytes_of(message.type);
  }
  if (!message.headers.empty()) {
    properties._flags |= AMQP_BASIC_HEADERS_FLAG;
    properties.headers = pool.table(message.headers);
  }
  return send_status(amqp_basic_publish(state_.get(), channel, bytes_of(message.exchange),
                                        bytes_of(message.routing_key), message.mandatory ? 1 : 0, 0,
                                        &properties, bytes_of(message.body)));
}

Status AmqpConnection::send_declare(std::uint16_t channel, const ExchangeSpec& exchange) {
  amqp_exchange_declare_t request{};
  request.exchange = bytes_of(exchange.name);
  request.type = bytes_of(exchange.type);
  request.durable = exchange.durable ? 1 : 0;
  request.nowait = 1;
  request.arguments = amqp_empty_table;
  return send_status(amqp_send_method(state_.get(), channel, AMQP_EXCHANGE_DECLARE_METHOD, &request));
}

Status AmqpConnection::send_declare(std::uint16_t channel, const BoundQueue& queue) {
  ValuePool pool;
  amqp_queue_declare_t request{};
  request.queue = bytes_of(queue.queue.name);
  request.durable = queue.queue.durable ? 1 : 0;
  request.exclusive = queue.queue.exclusive ? 1 : 0;
  request.auto_delete = queue.queue.auto_delete ? 1 : 0;
  request.nowait = 1;
  request.arguments = pool.table(queue.queue.arguments);
  SLUICE_TRY(send_status(amqp_send_method(state_.get(), channel, AMQP_QUEUE_DECLARE_METHOD, &request)));
  for (const BindingSpec& binding : queue.bindings) {
    amqp_queue_bind_t bind{};
    bind.queue = bytes_of(queue.queue.name);
    bind.exchange = bytes_of(binding.exchange);
    bind.routing_key = bytes_of(binding.routing_key);
    bind.nowait = 1;
    bind.arguments = amqp_empty_table;
    SLUICE_TRY(send_status(amqp_send_method(state_.get(), channel, AMQP_QUEUE_BIND_METHOD, &bind)));
  }
  return {};
}

Status AmqpConnection::send_declare(std::uint16_t channel, const Topology& topology) {
  for (const ExchangeSpec& exchange : topology.exchanges()) SLUICE_TRY(send_declare(channel, exchange));
  for (const BoundQueue& queue : topology.queues()) SLUICE_TRY(send_declare(channel, queue));
  return {};
}

Status AmqpConnection::send_prefetch(std::uint16_t channel, int prefetch) {
  amqp_basic_qos_t request{};
  request.prefetch_count = static_cast<std::uint16_t>(std::clamp(prefetch, 1, 65535));
  return send_status(amqp_send_method(state_.get(), channel, AMQP_BASIC_QOS_METHOD, &request));
}

Status AmqpConnection::subscribe(std::uint16_t channel, const std::string& queue,
                                 const std::string& consumer_tag, bool exclusive) {
  amqp_basic_consume_t request{};
  request.queue = bytes_of(queue);
  request.consumer_tag = bytes_of(consumer_tag);
  request.exclusive = exclusive ? 1 : 0;
  request.arguments = amqp_empty_table;
  return send_status(amqp_send_method(state_.get(), channel, AMQP_BASIC_CONSUME_METHOD, &request));
}

Status AmqpConnection::abandon(std::uint16_t channel) {
  amqp_channel_close_t request{};
  request.reply_code = AMQP_REPLY_SUCCESS;
  request.reply_text = amqp_cstring_bytes("abandoned");
  arriving_.erase(channel);
  return send_status(amqp_send_method(state_.get(), channel, AMQP_CHANNEL_CLOSE_METHOD, &request));
}

Status AmqpConnection::ack(std::uint16_t channel, std::uint64_t number, bool multiple) {
  return send_status(amqp_basic_ack(state_.get(), channel, number, multiple ? 1 : 0));
}

Status AmqpConnection::reject(std::uint16_t channel, std::uint64_t number, bool requeue) {
  return send_status(amqp_basic_reject(state_.get(), channel, number, requeue ? 1 : 0));
}

Result<Event> AmqpConnection::next_event() {
  for (;;) {
    amqp_frame_t frame;
    const timeval at_once{0, 0};
    const int status = amqp_simple_wait_frame_noblock(state_.get(), &frame, &at_once);
    if (status == AMQP_STATUS_TIMEOUT) return Event{};
    if (status != AMQP_STATUS_OK) {
      lost_ = true;
      return fail(ErrorCode::kUnavailable, std::string("rabbitmq: ") + amqp_error_string2(status));
    }
    auto event = take_frame(frame);
    // Everything was copied out of the frame.
    amqp_maybe_release_buffers(state_.get());
    if (!event || !std::holds_alternative<std::monostate>(*event)) return event;
  }
}

Result<Event> AmqpConnection::take_frame(const amqp_frame_t_& frame) {
  if (frame.frame_type == AMQP_FRAME_METHOD) return take_method(frame);
  const auto found = arriving_.find(frame.channel);
  if (found == arriving_.end()) return Event{};
  Assembly& assembly = found->second;
  if (frame.frame_type == AMQP_FRAME_HEADER) {
    const auto& properties = *static_cast<amqp_basic_properties_t*>(frame.payload.properties.decoded);
    assembly.has_header = true;
    assembly.body_left = frame.payload.properties.body_size;
    if (auto* delivery = std::get_if<Delivery>(&assembly.message)) {
      read_properties(properties, *delivery);
      delivery->body.reserve(std::min<std::uint64_t>(assembly.body_left, 1 << 20));
    } else if ((properties._flags & AMQP_BASIC_CORRELATION_ID_FLAG) != 0) {
      std::get<Returned>(assembly.message).correlation_id = string_of(properties.correlation_id);
    }
  } else if (frame.frame_type == AMQP_FRAME_BODY && assembly.has_header) {
    const amqp_bytes_t piece = frame.payload.body_fragment;
    if (auto* delivery = std::get_if<Delivery>(&assembly.message)) {
      delivery->body.append(static_cast<const char*>(piece.bytes), piece.len);
    }
    assembly.body_left -= std::min<std::uint64_t>(assembly.body_left, piece.len);
  }
  if (!assembly.has_header || assembly.body_left > 0) return Event{};
  return finish_content(frame.channel);
}

Event AmqpConnection::finish_content(std::uint16_t channel) {
  auto node = arriving_.extract(channel);
  if (auto* delivery = std::get_if<Delivery>(&node.mapped().message)) return std::move(*delivery);
  return std::get<Returned>(std::move(node.mapped().message));
}

Result<Event> AmqpConnection::take_method(const amqp_frame_t_& frame) {
  const amqp_method_t& method = frame.payload.method;
  switch (method.id) {
    case AMQP_BASIC_ACK_METHOD: {
      const auto& ack = *static_cast<amqp_basic_ack_t*>(method.decoded);
      return Confirm{ack.delivery_tag, ack.multiple != 0, true};
    }
    case AMQP_BASIC_NACK_METHOD: {
      const auto& nack = *static_cast<amqp_basic_nack_t*>(method.decoded);
      return Confirm{nack.delivery_tag, nack.multiple != 0, false};
    }
    case AMQP_BASIC_RETURN_METHOD: {
      const auto& back = *static_cast<amqp_basic_return_t*>(method.decoded);
      arriving_[frame.channel] = Assembly{Returned{"", string_of(back.reply_text)}};
      return Event{};
    }
    case AMQP_BASIC_DELIVER_METHOD: {
      const auto& deliver = *static_cast<amqp_basic_deliver_t*>(method.decoded);
      Delivery delivery;
      delivery.tag = {0, frame.channel, deliver.delivery_tag};
      delivery.exchange = string_of(deliver.exchange);
      delivery.routing_key = string_of(deliver.routing_key);
      delivery.redelivered = deliver.redelivered != 0;
      arriving_[frame.channel] = Assembly{std::move(delivery)};
      return Event{};
    }
    case AMQP_BASIC_CONSUME_OK_METHOD:
      return Subscribed{frame.channel};
    case AMQP_BASIC_CANCEL_METHOD:
      return Cancelled{frame.channel};
    case AMQP_CONNECTION_BLOCKED_METHOD:
      return Blocked{true};
    case AMQP_CONNECTION_UNBLOCKED_METHOD:
      return Blocked{false};
    case AMQP_CHANNEL_CLOSE_METHOD: {
      int code = 0;
      std::string reason = reason_of(method, code);
      amqp_channel_close_ok_t ok{};
      SLUICE_TRY(
          send_status(amqp_send_method(state_.get(), frame.channel, AMQP_CHANNEL_CLOSE_OK_METHOD, &ok)));
      arriving_.erase(frame.channel);
      return ChannelClosed{frame.channel, Error{code_of(code), "rabbitmq: " + std::move(reason)}};
    }
    case AMQP_CONNECTION_CLOSE_METHOD: {
      int code = 0;
      std::string reason = reason_of(method, code);
      amqp_connection_close_ok_t ok{};
      amqp_send_method(state_.get(), 0, AMQP_CONNECTION_CLOSE_OK_METHOD, &ok);
      lost_ = true;
      return fail(ErrorCode::kUnavailable, "rabbitmq closed the connection: " + std::move(reason));
    }
    default:
      return Event{};
  }
}

void AmqpConnection::limit_calls(std::chrono::milliseconds longest) {
  const timeval limit = timeval_of(longest);
  amqp_set_rpc_timeout(state_.get(), &limit);
}

std::chrono::seconds AmqpConnection::heartbeat() const {
  return std::chrono::seconds(amqp_get_heartbeat(state_.get()));
}

int AmqpConnection::fd() const {
  return amqp_get_sockfd(state_.get());
}

bool AmqpConnection::writable() const {
  pollfd wanted{fd(), POLLOUT, 0};
  return poll(&wanted, 1, 0) > 0;
}

void AmqpConnection::close_politely() {
  if (lost_) return;
  limit_calls(std::chrono::milliseconds(1000));
  amqp_connection_close(state_.get(), AMQP_REPLY_SUCCESS);
  lost_ = true;
}

}  // namespace sluice::rabbitmq
