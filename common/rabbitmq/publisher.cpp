#include "common/rabbitmq/publisher.h"

#include <pthread.h>

#include <algorithm>
#include <deque>
#include <thread>

#include "common/base/mutex.h"
#include "common/rabbitmq/amqp_connection.h"
#include "common/rabbitmq/confirm_window.h"
#include "common/rabbitmq/socket_watchdog.h"
#include "common/rabbitmq/wake_fd.h"

namespace sluice {

using rabbitmq::AmqpConnection;
using rabbitmq::ConfirmWindow;
using rabbitmq::SocketWatchdog;
using rabbitmq::WakeFd;

namespace {

constexpr std::uint16_t kChannel = 1;
constexpr std::size_t kNameMax = 255;             // AMQP's short string.
constexpr std::size_t kSendAtOnce = 64;           // Messages between two looks at what the broker says.
constexpr auto kDrain = std::chrono::seconds(1);  // For confirms on the way, when stopping.
constexpr auto kSettled = std::chrono::seconds(5);
constexpr auto kHeartbeatWrite = std::chrono::seconds(10);  // In which a heartbeat must get out.
constexpr auto kGrace = std::chrono::milliseconds(250);

Status check_names(const Message& message) {
  for (const std::string* name :
       {&message.exchange, &message.routing_key, &message.content_type, &message.message_id, &message.type}) {
    if (name->size() > kNameMax)
      return fail(ErrorCode::kInvalid, "a name of more than 255 bytes in a message");
  }
  for (const auto& [key, value] : message.headers) {
    if (key.size() > kNameMax) return fail(ErrorCode::kInvalid, "a header's name of more than 255 bytes");
  }
  return {};
}

// Where publish_all waits for its messages. Shared with the I/O thread, which may outlast the wait.
struct Batch {
  explicit Batch(std::size_t count) : left(count) {
    statuses.resize(count, fail(ErrorCode::kOutcomeUnknown, "no confirm by the deadline"));
  }
  void settle(std::size_t index, Status status) {
    {
      MutexLock lock(mutex);
      statuses[index] = std::move(status);
      if (--left > 0) return;
    }
    settled.notify_all();
  }

  Mutex mutex;
  std::condition_variable settled;
  std::vector<Status> statuses GUARDED_BY(mutex);
  std::size_t left GUARDED_BY(mutex);
};

}  // namespace

class Publisher::Impl {
 public:
  Impl(RabbitmqConfig config, PublisherConfig limits, Clock& clock, Rng& rng, Log log)
      : config_(std::move(config)),
        limits_(limits),
        clock_(clock),
        log_(log.with({{"component", "rabbitmq_publisher"}})),
        backoff_(config_.reconnect, rng),
        watchdog_(clock) {}

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

  void publish(Message message, Deadline deadline, Done done) {
    Status refused = check_names(message);
    if (refused) {
      MutexLock lock(mutex_);
      refused = admit();
      if (refused) waiting_.push_back({std::move(message), deadline.at(), std::move(done)});
    }
    if (refused) {
      wake_.wake();
    } else {
      done(std::move(refused));
    }
  }

  std::vector<Status> publish_all(std::vector<Message> messages, Deadline deadline) {
    const auto batch = std::make_shared<Batch>(messages.size());
    if (messages.empty()) return {};
    std::vector<std::pair<std::size_t, Status>> refused;
    {
      MutexLock lock(mutex_);
      for (std::size_t i = 0; i < messages.size(); ++i) {
        Status admitted = check_names(messages[i]);
        if (admitted) admitted = admit();
        if (!admitted) {
          refused.emplace_back(i, std::move(admitted));
          continue;
        }
        waiting_.push_back({std::move(messages[i]), deadline.at(),
                            [batch, i](Status status) { batch->settle(i, std::move(status)); }});
      }
    }
    wake_.wake();
    for (auto& [index, status] : refused) batch->settle(index, std::move(status));
    // The I/O thread ends each message at its deadline; the grace lets its own words arrive.
    const SteadyTime until = deadline.at() + kGrace;
    MutexLock lock(batch->mutex);
    while (batch->left > 0 && clock_.steady_now() < until) lock.wait_until(clock_, batch->settled, until);
    return batch->statuses;
  }

  bool ready() const {
    MutexLock lock(mutex_);
    return stats_.connected && !stats_.blocked;
  }

  bool wait_ready(Deadline deadline) {
    MutexLock lock(mutex_);
    while (!(stats_.connected && !stats_.blocked)) {
      if (stopping_ || deadline.passed(clock_)) return false;
      lock.wait_until(clock_, changed_, deadline.at());
    }
    return true;
  }

  PublisherStats stats() const {
    MutexLock lock(mutex_);
    return stats_;
  }

 private:
  struct Waiting {
    Message message;
    SteadyTime deadline;
    Done done;
  };

  Status admit() const REQUIRES(mutex_) {
    if (stopping_) return fail(ErrorCode::kCancelled, "the publisher is stopping");
    if (!stats_.connected) return fail(ErrorCode::kUnavailable, "not connected to the broker");
    if (stats_.blocked) return fail(ErrorCode::kUnavailable, "the broker has blocked publishers");
    if (waiting_.size() >= limits_.waiting_messages_max) {
      return fail(ErrorCode::kExhausted, "too many messages wait to be sent");
    }
    return {};
  }

  bool stopping() const {
    MutexLock lock(mutex_);
    return stopping_;
  }

  // The I/O thread, and what only it calls.

  void run() {
    pthread_setname_np(pthread_self(), "amqp-publisher");
    while (!stopping()) {
      if (!connection_ && !connect()) {
        wake_.wait(-1, false, next_attempt_ - clock_.steady_now());
        continue;
      }
      if (const Status status = step(); !status) lose(status.error());
    }
    fail_waiting(Error{ErrorCode::kCancelled, "the publisher is stopping"});
    drain();
    if (connection_) {
      const SocketWatchdog::Guard guard(watchdog_, connection_->fd(), clock_.steady_now() + kDrain);
      connection_->close_politely();
    }
    lose(Error{ErrorCode::kOutcomeUnknown, "stopped before the confirm"});
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
    connected_at_ = clock_.steady_now();
    {
      MutexLock lock(mutex_);
      stats_.connected = true;
      stats_.blocked = false;
      ++stats_.connects;
    }
    changed_.notify_all();
    log_.info("rabbitmq_connected");
    return true;
  }

  Status set_up(AmqpConnection& connection) {
    SLUICE_TRY(connection.open_channel(kChannel));
    if (limits_.topology != nullptr) SLUICE_TRY(connection.send_declare(kChannel, *limits_.topology));
    return connection.select_confirms(kChannel);
  }

  // One round: send, read, look at the clock, wait. An error means that the connection is lost.
  Status step() {
    bool stuck = false;
    SLUICE_TRY(send_waiting(stuck));
    SLUICE_TRY(read_events());
    const SteadyTime now = clock_.steady_now();
    const std::size_t before = window_.size();
    if (const auto sent = window_.expire(now)) {
      MutexLock lock(mutex_);
      stats_.unknown += before - window_.size();
      // While others are confirmed it is the queue that hangs; silence means that the broker or the network
      // does.
      if (last_confirm_ <= *sent) return fail(ErrorCode::kUnavailable, "no confirm by the deadline");
    }
    SteadyTime until =
        std::min(window_.earliest_deadline(), now + rabbitmq::heartbeat_pause(connection_->heartbeat()));
    bool more = false;
    {
      MutexLock lock(mutex_);
      stats_.in_flight = window_.size();
      more = !waiting_.empty();
    }
    if (more && stuck) until = std::min(until, expire_waiting(now));
    const bool full = window_.size() >= limits_.window_messages_max;
    if (more && !stuck && !full) return {};
    wake_.wait(connection_->fd(), more && !full, until - now);
    return {};
  }

  Status send_waiting(bool& stuck) {
    std::deque<Waiting> taken;
    {
      MutexLock lock(mutex_);
      const std::size_t room =
          limits_.window_messages_max - std::min(limits_.window_messages_max, window_.size());
      stuck = room == 0;
      const std::size_t count = std::min({room, kSendAtOnce, waiting_.size()});
      for (std::size_t i = 0; i < count; ++i) {
        taken.push_back(std::move(waiting_.front()));
        waiting_.pop_front();
      }
    }
    const SteadyTime now = clock_.steady_now();
    Status status;
    while (!taken.empty() && status) {
      if (taken.front().deadline <= now) {
        taken.front().done(fail(ErrorCode::kDeadline, "the deadline passed before the message was sent"));
        taken.pop_front();
        continue;
      }
      // In a memory alarm the broker stops reading: rather than hang in a send, wait in poll, where
      // connection.blocked can be read.
      if (!connection_->writable()) break;
      Waiting next = std::move(taken.front());
      taken.pop_front();
      const std::uint64_t number = window_.add(now, next.deadline, std::move(next.done));
      const SocketWatchdog::Guard guard(watchdog_, connection_->fd(), next.deadline);
      status = connection_->publish(kChannel, next.message, std::to_string(number));
    }
    if (!taken.empty()) {
      stuck = true;
      MutexLock lock(mutex_);
      for (; !taken.empty(); taken.pop_back()) waiting_.push_front(std::move(taken.back()));
    }
    return status;
  }

  Status read_events() {
    const SocketWatchdog::Guard guard(watchdog_, connection_->fd(), clock_.steady_now() + kHeartbeatWrite);
    for (;;) {
      SLUICE_ASSIGN(const rabbitmq::Event event, connection_->next_event());
      if (std::holds_alternative<std::monostate>(event)) return {};
      if (const auto* confirm = std::get_if<rabbitmq::Confirm>(&event)) {
        const std::size_t before = window_.size();
        last_confirm_ = clock_.steady_now();
        window_.confirm(confirm->number, confirm->multiple, confirm->positive);
        MutexLock lock(mutex_);
        (confirm->positive ? stats_.confirmed : stats_.refused) += before - window_.size();
      } else if (const auto* returned = std::get_if<rabbitmq::Returned>(&event)) {
        window_.returned(returned->correlation_id, returned->reason);
        MutexLock lock(mutex_);
        ++stats_.returned;
      } else if (const auto* blocked = std::get_if<rabbitmq::Blocked>(&event)) {
        note_blocked(blocked->blocked);
      } else if (const auto* closed = std::get_if<rabbitmq::ChannelClosed>(&event)) {
        // An exchange is gone, for one. Connecting anew declares it again.
        return fail(closed->error);
      }
    }
  }

  void note_blocked(bool blocked) {
    {
      MutexLock lock(mutex_);
      stats_.blocked = blocked;
    }
    changed_.notify_all();
    log_.warn_limited(blocked ? "rabbitmq_blocked" : "rabbitmq_unblocked");
    if (blocked) fail_waiting(Error{ErrorCode::kUnavailable, "the broker has blocked publishers"});
  }

  // Ends what has waited too long; returns when the next one will have.
  SteadyTime expire_waiting(SteadyTime now) {
    std::vector<Done> expired;
    SteadyTime next = SteadyTime::max();
    {
      MutexLock lock(mutex_);
      for (auto one = waiting_.begin(); one != waiting_.end();) {
        if (one->deadline > now) {
          next = std::min(next, one->deadline);
          ++one;
          continue;
        }
        expired.push_back(std::move(one->done));
        one = waiting_.erase(one);
      }
    }
    for (const Done& done : expired) {
      done(fail(ErrorCode::kDeadline, "the deadline passed before the message was sent"));
    }
    return next;
  }

  void fail_waiting(const Error& error) {
    std::deque<Waiting> ended;
    {
      MutexLock lock(mutex_);
      ended.swap(waiting_);
    }
    for (const Waiting& one : ended) one.done(fail(error));
  }

  // Gives confirms that are on their way a little time.
  void drain() {
    const SteadyTime until = clock_.steady_now() + kDrain;
    while (connection_ && window_.size() > 0) {
      const SteadyTime now = clock_.steady_now();
      if (now >= until || !read_events()) return;
      if (window_.size() > 0) wake_.wait(connection_->fd(), false, until - now);
    }
  }

  void lose(const Error& why) {
    const bool was_connected = connection_ != nullptr;
    connection_.reset();
    const std::size_t unknown = window_.size();
    {
      MutexLock lock(mutex_);
      stats_.connected = false;
      stats_.blocked = false;
      stats_.in_flight = 0;
      stats_.unknown += unknown;
    }
    changed_.notify_all();
    window_.fail_all(Error{ErrorCode::kOutcomeUnknown, why.message});
    fail_waiting(Error{ErrorCode::kUnavailable, why.message});
    if (!was_connected || stopping()) return;
    // A connection that had lived earns a quick first attempt; one that is lost again and again does not.
    if (clock_.steady_now() - connected_at_ > kSettled) backoff_.reset();
    next_attempt_ = clock_.steady_now() + backoff_.next();
    log_.warn_limited("rabbitmq_connection_lost", {{"error", why.message}, {"unknown", unknown}});
  }

  const RabbitmqConfig config_;
  const PublisherConfig limits_;
  Clock& clock_;
  const Log log_;
  WakeFd wake_;

  mutable Mutex mutex_;
  std::condition_variable changed_;  // connected, blocked or stopping.
  std::deque<Waiting> waiting_ GUARDED_BY(mutex_);
  PublisherStats stats_ GUARDED_BY(mutex_);
  bool started_ GUARDED_BY(mutex_) = false;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::thread thread_ GUARDED_BY(mutex_);

  // Of the I/O thread alone.
  Backoff backoff_;
  SteadyTime next_attempt_{};
  SteadyTime connected_at_{};
  SteadyTime last_confirm_{};
  std::unique_ptr<AmqpConnection> connection_;
  ConfirmWindow window_;
  SocketWatchdog watchdog_;
};

Publisher::Publisher(RabbitmqConfig config, PublisherConfig limits, Clock& clock, Rng& rng, Log log)
    : impl_(std::make_unique<Impl>(std::move(config), limits, clock, rng, std::move(log))) {}

Publisher::~Publisher() {
  impl_->stop();
}

void Publisher::start() {
  impl_->start();
}

void Publisher::stop() {
  impl_->stop();
}

std::vector<Status> Publisher::publish_all(std::vector<Message> messages, Deadline deadline) {
  return impl_->publish_all(std::move(messages), deadline);
}

Status Publisher::publish(Message message, Deadline deadline) {
  std::vector<Message> one;
  one.push_back(std::move(message));
  return std::move(impl_->publish_all(std::move(one), deadline).front());
}

void Publisher::publish_async(Message message, Deadline deadline, Done done) {
  impl_->publish(std::move(message), deadline, std::move(done));
}

bool Publisher::ready() const {
  return impl_->ready();
}

bool Publisher::wait_ready(Deadline deadline) {
  return impl_->wait_ready(deadline);
}

PublisherStats Publisher::stats() const {
  return impl_->stats();
}

}  // namespace sluice
