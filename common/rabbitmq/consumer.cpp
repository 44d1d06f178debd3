#include "common/rabbitmq/consumer.h"

#include <pthread.h>

#include <algorithm>
#include <deque>
#include <thread>
#include <variant>

#include "common/base/mutex.h"
#include "common/rabbitmq/amqp_connection.h"
#include "common/rabbitmq/socket_watchdog.h"
#include "common/rabbitmq/unacked.h"
#include "common/rabbitmq/wake_fd.h"

namespace sluice {

using rabbitmq::AmqpConnection;
using rabbitmq::SocketWatchdog;
using rabbitmq::Unacked;
using rabbitmq::WakeFd;

namespace {

constexpr std::uint16_t kControlChannel = 1;
constexpr std::uint16_t kLastChannel = 2000;  // RabbitMQ allows 2047.
constexpr auto kSettled = std::chrono::seconds(5);
constexpr auto kHeartbeatWrite = std::chrono::seconds(10);  // In which a heartbeat must get out.
constexpr int kAnswers = 2;  // A subscription is given up after this many times the limit of a single answer.
constexpr auto kGoodbye = std::chrono::seconds(2);

}  // namespace

class Consumer::Impl {
 public:
  Impl(RabbitmqConfig config, ConsumerConfig consumer, OnDelivery on_delivery, Clock& clock, Rng& rng,
       Log log, OnSubscribed on_subscribed)
      : config_(std::move(config)),
        topology_(consumer.topology),
        exchanges_(std::move(consumer.exchanges)),
        on_delivery_(std::move(on_delivery)),
        on_subscribed_(std::move(on_subscribed)),
        clock_(clock),
        rng_(rng),
        log_(log.with({{"component", "rabbitmq_consumer"}})),
        backoff_(config_.reconnect, rng),
        watchdog_(clock) {
    for (Subscription& subscription : consumer.subscriptions) add_lane(std::move(subscription));
  }

  void start() {
    MutexLock lock(mutex_);
    if (started_ || stopping_) return;
    started_ = true;
    thread_ = std::thread([this] { run(); });
  }

  void stop() {
    std::thread joinable;
    {
      MutexLock lock(mutex_);
      stopping_ = true;
      joinable.swap(thread_);
    }
    wake_.wake();
    changed_.notify_all();
    if (joinable.joinable()) joinable.join();
  }

  void ack(std::span<const DeliveryTag> tags) {
    {
      MutexLock lock(mutex_);
      acks_.insert(acks_.end(), tags.begin(), tags.end());
    }
    wake_.wake();
  }

  void reject(const DeliveryTag& tag, bool requeue) {
    {
      MutexLock lock(mutex_);
      rejects_.push_back({tag, requeue});
    }
    wake_.wake();
  }

  void subscribe(Subscription subscription) {
    {
      MutexLock lock(mutex_);
      changes_.push_back(std::move(subscription));
    }
    wake_.wake();
  }

  void set_prefetch(std::string_view queue, int prefetch) {
    {
      MutexLock lock(mutex_);
      changes_.push_back(NewPrefetch{std::string(queue), prefetch});
    }
    wake_.wake();
  }

  bool connected() const {
    MutexLock lock(mutex_);
    return stats_.connected;
  }

  bool wait_connected(Deadline deadline) {
    MutexLock lock(mutex_);
    while (!stats_.connected) {
      if (stopping_ || deadline.passed(clock_)) return false;
      lock.wait_until(clock_, changed_, deadline.at());
    }
    return true;
  }

  ConsumerStats stats() const {
    MutexLock lock(mutex_);
    return stats_;
  }

 private:
  struct RejectOne {
    DeliveryTag tag;
    bool requeue;
  };
  struct NewPrefetch {
    std::string queue;
    int prefetch;
  };

  // One subscription, on a channel of its own: what the broker closes a channel for ends no other one.
  struct Lane {
    Lane(Subscription s, Backoff b) : spec(std::move(s)), backoff(b) {}
    Subscription spec;
    std::uint16_t channel = 0;  // 0 = it gets a fresh one.
    Backoff backoff;
    SteadyTime next_try{};
    bool channel_open = false;
    bool asked = false;  // To be subscribed, at `asked_at`; the answer is open.
    SteadyTime asked_at{};
    bool subscribed = false;
    int subscribed_prefetch = 0;  // What the subscription was asked with.
    bool wants_subscription() const { return !subscribed && !asked && spec.prefetch > 0; }
    std::uint64_t epoch = 0;  // Of the channel: tags of an older one are void.
    std::string queue;        // The broker's name for it.
    std::string consumer_tag;
    Unacked unacked;
  };

  bool stopping() const {
    MutexLock lock(mutex_);
    return stopping_;
  }

  // The I/O thread, and what only it calls (and the constructor).

  void add_lane(Subscription subscription) {
    lanes_.push_back(std::make_unique<Lane>(std::move(subscription), Backoff(config_.reconnect, rng_)));
  }

  void run() {
    pthread_setname_np(pthread_self(), "amqp-consumer");
    while (!stopping()) {
      if (!connection_ && !connect()) {
        wake_.wait(-1, false, next_attempt_ - clock_.steady_now());
        continue;
      }
      if (const Status status = step(); !status) lose(status.error());
    }
    if (connection_) {
      const SocketWatchdog::Guard guard(watchdog_, connection_->fd(), clock_.steady_now() + kGoodbye);
      if (send_acks()) connection_->close_politely();
    }
    lose(Error{ErrorCode::kCancelled, "stopped"});
  }

  bool connect() {
    if (clock_.steady_now() < next_attempt_) return false;
    auto opened = AmqpConnection::open(config_);
    Status status;
    if (!opened) status = fail(opened.error());
    if (status) {
      const SocketWatchdog::Guard guard(watchdog_, (*opened)->fd(),
                                        clock_.steady_now() + 2 * config_.rpc_timeout);
      status = set_up(**opened);
    }
    if (!status) {
      next_attempt_ = clock_.steady_now() + backoff_.next();
      log_.warn_limited("rabbitmq_connect_failed", {{"error", status.error().message}});
      return false;
    }
    connection_ = std::move(*opened);
    control_open_ = true;
    connected_at_ = clock_.steady_now();
    last_channel_ = kControlChannel;
    for (const auto& lane : lanes_) {
      lane->channel = 0;
      lane->next_try = {};
    }
    MutexLock lock(mutex_);
    ++stats_.connects;
    return true;
  }

  Status set_up(AmqpConnection& connection) {
    SLUICE_TRY(connection.open_channel(kControlChannel));
    if (topology_ != nullptr) SLUICE_TRY(connection.send_declare(kControlChannel, *topology_));
    for (const ExchangeSpec& exchange : exchanges_) {
      SLUICE_TRY(connection.send_declare(kControlChannel, exchange));
    }
    // The lanes' channels are others, and what is sent on them is not kept waiting by this one.
    return connection.catch_up(kControlChannel);
  }

  // One round: what was asked for, subscriptions, acks, what came, wait. An error means that the connection
  // is lost.
  Status step() {
    SLUICE_TRY(apply_changes());
    SLUICE_TRY(subscribe_lanes());
    SLUICE_TRY(guarded_acks());
    SLUICE_TRY(read_events());
    const bool all = std::all_of(lanes_.begin(), lanes_.end(), [](const auto& lane) {
      return lane->subscribed || lane->spec.prefetch == 0;
    });
    note_connected(all);
    SteadyTime until = clock_.steady_now() + rabbitmq::heartbeat_pause(connection_->heartbeat());
    for (const auto& lane : lanes_) {
      if (lane->wants_subscription()) until = std::min(until, lane->next_try);
      if (lane->asked) until = std::min(until, lane->asked_at + kAnswers * config_.rpc_timeout);
    }
    wake_.wait(connection_->fd(), false, until - clock_.steady_now());
    return {};
  }

  void note_connected(bool connected) {
    bool changed;
    {
      MutexLock lock(mutex_);
      changed = stats_.connected != connected;
      stats_.connected = connected;
    }
    if (changed) changed_.notify_all();
  }

  Status apply_changes() {
    std::deque<std::variant<Subscription, NewPrefetch>> changes;
    {
      MutexLock lock(mutex_);
      changes.swap(changes_);
    }
    for (auto& change : changes) {
      if (auto* added = std::get_if<Subscription>(&change)) {
        if (find_lane(added->queue.queue.name) == nullptr) add_lane(std::move(*added));
        continue;
      }
      const auto& wanted = std::get<NewPrefetch>(change);
      Lane* lane = find_lane(wanted.queue);
      if (lane == nullptr || lane->spec.prefetch == wanted.prefetch) continue;
      lane->spec.prefetch = wanted.prefetch;
    }
    return {};
  }

  Lane* find_lane(std::string_view queue) {
    for (const auto& lane : lanes_) {
      if (!queue.empty() && (lane->spec.queue.queue.name == queue || lane->queue == queue)) return lane.get();
    }
    return nullptr;
  }

  SocketWatchdog::Guard guard_rpc() {
    return SocketWatchdog::Guard(watchdog_, connection_->fd(), clock_.steady_now() + 2 * config_.rpc_timeout);
  }

  // A refusal closed the lane's channel: it is tried again later. A lost connection is the caller's.
  Status refused_or_lost(Lane& lane, Status status) {
    if (status) return {};
    if (status.error().code == ErrorCode::kUnavailable) return status;
    close_lane(lane);
    log_.warn_limited("rabbitmq_subscription_refused",
                      {{"queue", lane.spec.queue.queue.name}, {"error", status.error().message}});
    return {};
  }

  void close_lane(Lane& lane) {
    lane.channel_open = false;
    lane.asked = false;
    lane.subscribed = false;
    lane.unacked.clear();
    lane.next_try = clock_.steady_now() + lane.backoff.next();
  }

  Status subscribe_lanes() {
    for (const auto& lane : lanes_) {
      if (lane->subscribed && lane->subscribed_prefetch != lane->spec.prefetch)
        SLUICE_TRY(unsubscribe_lane(*lane));
      if (lane->asked && clock_.steady_now() >= lane->asked_at + kAnswers * config_.rpc_timeout) {
        SLUICE_TRY(give_up_lane(*lane));
      }
      if (!lane->wants_subscription() || clock_.steady_now() < lane->next_try) continue;
      const SocketWatchdog::Guard guard = guard_rpc();
      SLUICE_TRY(subscribe_lane(*lane));
    }
    return {};
  }

  // The prefetch of a subscription is fixed: to change it, one ends and, unless paused, another begins.
  // Deliveries under way belong to the channel and stay valid.
  Status unsubscribe_lane(Lane& lane) {
    const SocketWatchdog::Guard guard = guard_rpc();
    SLUICE_TRY(refused_or_lost(lane, connection_->cancel(lane.channel, lane.consumer_tag)));
    lane.subscribed = false;
    lane.next_try = {};
    return {};
  }

  // Asks for everything and waits for nothing: what is refused closes the lane's channel.
  Status subscribe_lane(Lane& lane) {
    if (!lane.channel_open) {
      if (lane.channel == 0) {
        if (last_channel_ == kLastChannel) {
          return fail(ErrorCode::kUnavailable, "out of channels: connecting anew");
        }
        lane.channel = ++last_channel_;
      }
      SLUICE_TRY(connection_->open_channel(lane.channel));
      lane.channel_open = true;
      lane.epoch = ++epochs_;
      lane.unacked.clear();
    }
    if (lane.spec.queue.queue.name.empty()) {
      SLUICE_TRY(make_nameless(lane));
      if (lane.queue.empty()) return {};
    } else {
      lane.queue = lane.spec.queue.queue.name;
      SLUICE_TRY(connection_->send_declare(lane.channel, lane.spec.queue));
    }
    lane.consumer_tag = "sluice-" + std::to_string(++subscriptions_);
    lane.subscribed_prefetch = lane.spec.prefetch;
    SLUICE_TRY(connection_->send_prefetch(lane.channel, lane.spec.prefetch));
    SLUICE_TRY(connection_->subscribe(lane.channel, lane.queue, lane.consumer_tag, lane.spec.exclusive));
    lane.asked = true;
    lane.asked_at = clock_.steady_now();
    return {};
  }

  // The broker makes up a name, so its answer must be waited for; such a queue has no leader to lose.
  Status make_nameless(Lane& lane) {
    if (!control_open_) SLUICE_TRY(connection_->open_channel(kControlChannel));
    control_open_ = true;
    lane.queue.clear();
    const Status declared = connection_->declare(kControlChannel, lane.spec.queue, &lane.queue);
    if (declared || declared.error().code == ErrorCode::kUnavailable) return declared;
    control_open_ = false;
    lane.queue.clear();
    lane.next_try = clock_.steady_now() + lane.backoff.next();
    log_.warn_limited("rabbitmq_declaration_refused", {{"error", declared.error().message}});
    return {};
  }

  // A queue without a leader gives no answer. Its channel is given up, so that whatever it might still
  // deliver there goes back; the other lanes go on.
  Status give_up_lane(Lane& lane) {
    const SocketWatchdog::Guard guard = guard_rpc();
    SLUICE_TRY(connection_->abandon(lane.channel));
    close_lane(lane);
    lane.channel = 0;
    log_.warn_limited("rabbitmq_subscription_timeout", {{"queue", lane.queue}});
    return {};
  }

  Status guarded_acks() {
    {
      MutexLock lock(mutex_);
      if (acks_.empty() && rejects_.empty()) return {};
    }
    const SocketWatchdog::Guard guard = guard_rpc();
    return send_acks();
  }

  Status send_acks() {
    std::vector<DeliveryTag> acks;
    std::deque<RejectOne> rejects;
    {
      MutexLock lock(mutex_);
      acks.swap(acks_);
      rejects.swap(rejects_);
    }
    std::size_t acked = 0, rejected = 0;
    for (const auto& lane : lanes_) {
      std::vector<std::uint64_t> numbers;
      for (const DeliveryTag& tag : acks) {
        if (is_current(*lane, tag)) numbers.push_back(tag.number);
      }
      if (numbers.empty()) continue;
      std::size_t known = 0;
      for (const Unacked::Ack& ack : lane->unacked.take(numbers, known)) {
        SLUICE_TRY(connection_->ack(lane->channel, ack.number, ack.multiple));
      }
      acked += known;
    }
    for (const RejectOne& one : rejects) {
      for (const auto& lane : lanes_) {
        if (!is_current(*lane, one.tag) || !lane->unacked.remove(one.tag.number)) continue;
        SLUICE_TRY(connection_->reject(lane->channel, one.tag.number, one.requeue));
        ++rejected;
      }
    }
    MutexLock lock(mutex_);
    stats_.acked += acked;
    stats_.rejected += rejected;
    stats_.stale_acks += acks.size() + rejects.size() - acked - rejected;
    return {};
  }

  static bool is_current(const Lane& lane, const DeliveryTag& tag) {
    return lane.channel_open && lane.channel == tag.channel && lane.epoch == tag.epoch;
  }

  Lane* lane_of(std::uint16_t channel) {
    for (const auto& lane : lanes_) {
      if (lane->channel == channel) return lane.get();
    }
    return nullptr;
  }

  Status read_events() {
    const SocketWatchdog::Guard guard(watchdog_, connection_->fd(), clock_.steady_now() + kHeartbeatWrite);
    // Bounded, so that acks go out also while deliveries keep coming.
    for (int count = 0; count < 1000; ++count) {
      SLUICE_ASSIGN(rabbitmq::Event event, connection_->next_event());
      if (std::holds_alternative<std::monostate>(event)) return {};
      if (auto* delivery = std::get_if<Delivery>(&event)) {
        deliver(std::move(*delivery));
      } else if (const auto* subscribed = std::get_if<rabbitmq::Subscribed>(&event)) {
        if (Lane* lane = lane_of(subscribed->channel)) note_subscribed(*lane);
      } else if (const auto* cancelled = std::get_if<rabbitmq::Cancelled>(&event)) {
        if (Lane* lane = lane_of(cancelled->channel)) {
          lane->subscribed = false;
          lane->next_try = {};
          log_.warn_limited("rabbitmq_subscription_cancelled", {{"queue", lane->queue}});
        }
        MutexLock lock(mutex_);
        ++stats_.cancelled;
      } else if (const auto* closed = std::get_if<rabbitmq::ChannelClosed>(&event)) {
        if (Lane* lane = lane_of(closed->channel)) {
          close_lane(*lane);
          log_.warn_limited("rabbitmq_channel_closed",
                            {{"queue", lane->queue}, {"error", closed->error.message}});
        } else if (closed->channel == kControlChannel) {
          control_open_ = false;
        }
      }
    }
    wake_.wake();
    return {};
  }

  void note_subscribed(Lane& lane) {
    lane.asked = false;
    lane.subscribed = true;
    lane.backoff.reset();
    if (on_subscribed_) on_subscribed_(lane.queue);
  }

  void deliver(Delivery delivery) {
    Lane* lane = lane_of(delivery.tag.channel);
    if (lane == nullptr || !lane->channel_open) return;
    delivery.tag.epoch = lane->epoch;
    delivery.queue = lane->queue;
    lane->unacked.add(delivery.tag.number);
    {
      MutexLock lock(mutex_);
      ++stats_.delivered;
    }
    on_delivery_(std::move(delivery));
  }

  void lose(const Error& why) {
    const bool was_connected = connection_ != nullptr;
    connection_.reset();
    control_open_ = false;
    for (const auto& lane : lanes_) {
      lane->channel_open = false;
      lane->asked = false;
      lane->subscribed = false;
      lane->unacked.clear();
    }
    note_connected(false);
    if (!was_connected || stopping()) return;
    if (clock_.steady_now() - connected_at_ > kSettled) backoff_.reset();
    next_attempt_ = clock_.steady_now() + backoff_.next();
    log_.warn_limited("rabbitmq_connection_lost", {{"error", why.message}});
  }

  const RabbitmqConfig config_;
  const Topology* const topology_;
  const std::vector<ExchangeSpec> exchanges_;
  const OnDelivery on_delivery_;
  const OnSubscribed on_subscribed_;
  Clock& clock_;
  Rng& rng_;
  const Log log_;
  WakeFd wake_;

  mutable Mutex mutex_;
  std::condition_variable changed_;  // connected or stopping.
  std::vector<DeliveryTag> acks_ GUARDED_BY(mutex_);
  std::deque<RejectOne> rejects_ GUARDED_BY(mutex_);
  std::deque<std::variant<Subscription, NewPrefetch>> changes_ GUARDED_BY(mutex_);
  ConsumerStats stats_ GUARDED_BY(mutex_);
  bool started_ GUARDED_BY(mutex_) = false;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::thread thread_ GUARDED_BY(mutex_);

  // Of the I/O thread alone.
  Backoff backoff_;
  SteadyTime next_attempt_{};
  SteadyTime connected_at_{};
  std::unique_ptr<AmqpConnection> connection_;
  bool control_open_ = false;
  std::uint16_t last_channel_ = 0;
  std::vector<std::unique_ptr<Lane>> lanes_;
  std::uint64_t epochs_ = 0;
  std::uint64_t subscriptions_ = 0;
  SocketWatchdog watchdog_;
};

Consumer::Consumer(RabbitmqConfig config, ConsumerConfig consumer, OnDelivery on_delivery, Clock& clock,
                   Rng& rng, Log log, OnSubscribed on_subscribed)
    : impl_(std::make_unique<Impl>(std::move(config), std::move(consumer), std::move(on_delivery), clock, rng,
                                   std::move(log), std::move(on_subscribed))) {}

Consumer::~Consumer() {
  impl_->stop();
}

void Consumer::start() {
  impl_->start();
}

void Consumer::stop() {
  impl_->stop();
}

void Consumer::ack(const DeliveryTag& tag) {
  impl_->ack(std::span(&tag, 1));
}

void Consumer::ack(std::span<const DeliveryTag> tags) {
  impl_->ack(tags);
}

void Consumer::reject(const DeliveryTag& tag, bool requeue) {
  impl_->reject(tag, requeue);
}

void Consumer::subscribe(Subscription subscription) {
  impl_->subscribe(std::move(subscription));
}

void Consumer::set_prefetch(std::string_view queue, int prefetch) {
  impl_->set_prefetch(queue, prefetch);
}

bool Consumer::connected() const {
  return impl_->connected();
}

bool Consumer::wait_connected(Deadline deadline) {
  return impl_->wait_connected(deadline);
}

ConsumerStats Consumer::stats() const {
  return impl_->stats();
}

}  // namespace sluice
