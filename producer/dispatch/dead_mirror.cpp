#include "producer/dispatch/dead_mirror.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "common/base/failpoint.h"
#include "common/rabbitmq/topology.h"

namespace sluice::producer {

namespace {

constexpr int kShard = 0;  // Its owner does this for all.
constexpr int kStaleMax = 10'000;
constexpr int kForgetMax = 1'000;

}  // namespace

Message dead_letter_message(const DeadLetter& letter) {
  Message message;
  message.exchange = kTasksExchange;
  message.routing_key = kDeadQueue;
  message.message_id = letter_ref_text({letter.job_id, letter.generation});
  message.type = "dead_letter";
  message.body = nlohmann::json{{"job_id", letter.job_id.value},
                                {"generation", letter.generation},
                                {"tenant", letter.tenant.value},
                                {"model", letter.model},
                                {"reason", dead_reason_name(letter.reason)},
                                {"fingerprint", letter.fingerprint},
                                {"error", {{"code", letter.error_code}, {"message", letter.error_message}}},
                                {"attempts", letter.attempts},
                                {"died_at", letter.died_us / 1'000'000}}
                     .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  return message;
}

DeadMirror::DeadMirror(DeadLetterMirror& store, Broker& broker, OpenDeadQueue open, OwnedShards owned,
                       DeadMirrorConfig config, Clock& clock, Log log, LoopMetrics metrics)
    : store_(store),
      broker_(broker),
      open_(std::move(open)),
      owned_(std::move(owned)),
      config_(config),
      clock_(clock),
      log_(std::move(log)),
      metrics_(std::move(metrics)),
      loop_("dead_mirror", clock, [this] { return run_once(); }) {}

Duration DeadMirror::run_once() {
  const std::vector<int> owned = owned_();
  if (std::find(owned.begin(), owned.end(), kShard) == owned.end() || !broker_.ready())
    return config_.look_every;
  const Done sent = send_letters();
  if (sent == Done::kFailed) return config_.retry_after;
  if (sent == Done::kSome) return Duration::zero();
  const SteadyTime now = clock_.steady_now();
  if (now >= compact_at_) {
    const Done compacted = compact();
    compact_at_ = clock_.steady_now() + config_.compact_every;
    if (compacted == Done::kFailed) return config_.retry_after;
  }
  if (now >= check_at_) {
    const Done checked = check_queue();
    if (checked == Done::kFailed) return config_.retry_after;
    if (checked == Done::kSome) return Duration::zero();
    check_at_ = clock_.steady_now() + config_.check_every;
  }
  return config_.look_every;
}

DeadMirror::Done DeadMirror::send_letters() {
  const auto sending = store_.begin_sending(config_.batch_max, call_deadline());
  if (!sending) return failed("letters_not_chosen", sending.error().message);
  if (sending->letters.empty()) return Done::kNothing;
  second_copies_ = second_copies_ || sending->again;
  std::vector<Message> messages;
  std::vector<LetterRef> refs;
  for (const DeadLetter& letter : sending->letters) {
    messages.push_back(dead_letter_message(letter));
    refs.push_back({letter.job_id, letter.generation});
  }
  if (!publish(std::move(messages))) return failed("letters_not_sent", "the broker took not all of them");
  SLUICE_FAILPOINT("mirror.after_publish");
  if (const Status marked = store_.mark_letters(refs, true, call_deadline()); !marked) {
    return failed("letters_not_marked", marked.error().message);
  }
  return Done::kSome;
}

DeadMirror::Done DeadMirror::compact() {
  const auto stale = store_.stale_letters(kStaleMax, call_deadline());
  if (!stale) return failed("stale_letters_failed", stale.error().message);
  if (stale->empty() && !second_copies_) return Done::kNothing;
  const auto depth = broker_.depth(std::string(kDeadQueue), call_deadline());
  if (!depth) return failed("dead_queue_not_measured", depth.error().message);
  // What is published anew goes to the end, behind these.
  std::uint64_t left = depth->ready;
  std::unordered_set<std::string> seen;
  if (left > 0) {
    const auto reader = open_();
    while (left > 0) {
      auto deliveries =
          reader->take(std::min<std::uint64_t>(left, static_cast<std::uint64_t>(config_.batch_max)),
                       Deadline::in(clock_, config_.message_timeout));
      if (deliveries.empty())
        break;  // Somebody else took them, or holds them: they come back, and stay stale.
      left -= deliveries.size();
      if (!pass_on(*reader, std::move(deliveries), seen)) {
        return failed("pass_broken_off", "the broker took not all of them");
      }
      SLUICE_FAILPOINT("mirror.in_pass");
    }
  }
  if (left > 0) return failed("pass_broken_off", "messages stayed away");
  if (const Status marked = store_.mark_letters(*stale, false, call_deadline()); !marked) {
    return failed("letters_not_marked", marked.error().message);
  }
  second_copies_ = false;
  log_.info("dead_queue_compacted", {{"messages", depth->ready}, {"kept", seen.size()}});
  return Done::kSome;
}

bool DeadMirror::pass_on(DeadQueueReader& reader, std::vector<Delivery> deliveries,
                         std::unordered_set<std::string>& seen) {
  std::vector<LetterRef> letters;
  for (const Delivery& delivery : deliveries) {
    if (auto letter = letter_ref_from(delivery.message_id)) letters.push_back(std::move(*letter));
  }
  const auto unhandled = store_.unhandled_letters(letters, call_deadline());
  if (!unhandled) return false;
  std::vector<Message> messages;
  for (Delivery& delivery : deliveries) {
    const auto letter = letter_ref_from(delivery.message_id);
    const bool shown = letter && std::find(unhandled->begin(), unhandled->end(), *letter) != unhandled->end();
    if (!shown || !seen.insert(delivery.message_id).second) continue;
    Message again;
    again.exchange = kTasksExchange;
    again.routing_key = kDeadQueue;
    again.message_id = delivery.message_id;
    again.type = delivery.type;
    again.body = std::move(delivery.body);
    messages.push_back(std::move(again));
  }
  if (!messages.empty() && !publish(std::move(messages))) return false;
  SLUICE_FAILPOINT("mirror.before_ack");
  for (const Delivery& delivery : deliveries) reader.ack(delivery.tag);
  return true;
}

DeadMirror::Done DeadMirror::check_queue() {
  const auto depth = broker_.depth(std::string(kDeadQueue), call_deadline());
  if (!depth) {
    // Deleted, or the broker was wiped.
    if (depth.error().code != ErrorCode::kNotFound)
      return failed("dead_queue_not_measured", depth.error().message);
    if (const Status made = broker_.declare_topology(call_deadline()); !made) {
      return failed("dead_queue_not_declared", made.error().message);
    }
  }
  const bool empty = !depth || (depth->ready == 0 && depth->consumers == 0);
  // Twice in a row: a tool that browses it holds its messages for a moment.
  if (!std::exchange(was_empty_, empty) || !empty) return Done::kNothing;
  was_empty_ = false;
  Done done = Done::kNothing;
  // All of them before one is sent: then the queue isn't empty any more.
  for (int forgotten = kForgetMax; forgotten == kForgetMax;) {
    const auto some = store_.forget_shown(kForgetMax, call_deadline());
    if (!some) return failed("letters_not_marked", some.error().message);
    forgotten = *some;
    if (forgotten > 0) done = Done::kSome;
  }
  if (done == Done::kSome) log_.warn("dead_queue_was_emptied", {});
  return done;
}

bool DeadMirror::publish(std::vector<Message> messages) {
  const auto answers = broker_.publish_all(std::move(messages), call_deadline());
  const bool missing = std::any_of(answers.begin(), answers.end(), [](const Status& answer) {
    return publish_outcome(answer) == PublishOutcome::kNoRoute;
  });
  if (missing && !broker_.declare_topology(call_deadline())) return false;
  return std::all_of(answers.begin(), answers.end(), [](const Status& answer) {
    return publish_outcome(answer) == PublishOutcome::kConfirmed;
  });
}

DeadMirror::Done DeadMirror::failed(const char* what, const std::string& error) {
  metrics_.loop_failures.with({"dead_mirror"}).add();
  log_.warn_limited(what, {{"error", error}});
  return Done::kFailed;
}

}  // namespace sluice::producer
