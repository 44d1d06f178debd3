// Shows unhandled dead letters in the queue tasks.dead, for RabbitMQ's own tools.
//
// A letter is marked as perhaps shown, published, confirmed, then marked as shown; after a death in between
// it is published again. Once letters that are shown have been handled, or there may be second copies, a pass
// takes each message of the queue once: one that tells of an unhandled letter is published anew, confirmed,
// before it is acked; others, and second copies, are only acked. So a pass that is broken off loses nothing,
// and the next one puts right what it left. A queue that lost all it had (purged, broker wiped) is filled
// again.
//
// Done by whoever owns shard 0; two owners for a moment cost copies. Runs on the loop's own thread.
// Everything given to the constructor must outlive it.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "common/base/clock.h"
#include "common/base/loop.h"
#include "common/log/log.h"
#include "common/store/dead_letter_mirror.h"
#include "producer/dispatch/broker.h"
#include "producer/metrics/producer_metrics.h"

namespace sluice::producer {

// The queue's messages, taken off it.
class DeadQueueReader {
 public:
  virtual ~DeadQueueReader() = default;
  // Up to `max` messages; none: nothing came until the deadline.
  virtual std::vector<Delivery> take(std::size_t max, Deadline deadline) = 0;
  virtual void ack(const DeliveryTag& tag) = 0;
};
// Begins to take. What was not acked when the reader is destroyed goes back to the queue.
using OpenDeadQueue = std::function<std::unique_ptr<DeadQueueReader>()>;

struct DeadMirrorConfig {
  std::chrono::milliseconds look_every{1'000};
  std::chrono::milliseconds compact_every{10'000};  // At least this long between two passes.
  std::chrono::milliseconds check_every{30'000};    // Whether the queue has lost everything.
  std::chrono::milliseconds retry_after{2'000};
  std::chrono::milliseconds call_timeout{10'000};
  std::chrono::milliseconds message_timeout{5'000};  // The next message of a pass comes sooner.
  int batch_max = 100;
};

class DeadMirror {
 public:
  using OwnedShards = std::function<std::vector<int>()>;

  DeadMirror(DeadLetterMirror& store, Broker& broker, OpenDeadQueue open, OwnedShards owned,
             DeadMirrorConfig config, Clock& clock, Log log, LoopMetrics metrics);

  void start() { loop_.start(); }
  void stop() { loop_.stop(); }
  // One turn of the loop; for tests.
  Duration run_once();

 private:
  enum class Done { kNothing, kSome, kFailed };
  Done send_letters();
  Done compact();
  Done check_queue();
  // Publishes what is still to be shown and acks all; false: some could not be published.
  bool pass_on(DeadQueueReader& reader, std::vector<Delivery> deliveries,
               std::unordered_set<std::string>& seen);
  bool publish(std::vector<Message> messages);
  Done failed(const char* what, const std::string& error);
  Deadline call_deadline() const { return Deadline::in(clock_, config_.call_timeout); }

  DeadLetterMirror& store_;
  Broker& broker_;
  const OpenDeadQueue open_;
  const OwnedShards owned_;
  const DeadMirrorConfig config_;
  Clock& clock_;
  const Log log_;
  const LoopMetrics metrics_;
  SteadyTime compact_at_{};
  SteadyTime check_at_{};
  bool was_empty_ = false;
  bool second_copies_ = false;  // Something was sent again.
  Loop loop_;
};

// What tasks.dead shows of a letter. No prompt stands in it.
Message dead_letter_message(const DeadLetter& letter);

}  // namespace sluice::producer
