#include "worker/consumer/intake.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>
#include <utility>

#include "common/base/failpoint.h"
#include "common/store/task_message.h"

namespace sluice::worker {

namespace {

// Whatever changes wakes the loop; this is only the bound of one wait.
constexpr Duration kIdle = std::chrono::seconds(1);

TaskRef next_start(TaskRef task) {
  ++task.attempt;
  return task;
}

double seconds(Duration duration) {
  return std::chrono::duration<double>(duration).count();
}

}  // namespace

Intake::Intake(IntakeConfig config, JobStore& store, const Engine& engine, const QueueWatch& queue,
               Batcher& batcher, Completer& completer, HeldJobs& held, LiveWriter& live, TaskSource& source,
               Clock& clock, Rng& rng, Log log, WorkerMetrics metrics)
    : config_(std::move(config)),
      store_(store),
      engine_(engine),
      queue_(queue),
      batcher_(batcher),
      completer_(completer),
      held_(held),
      live_(live),
      source_(source),
      clock_(clock),
      log_(std::move(log)),
      metrics_(std::move(metrics)),
      lanes_(config_.weights),
      backoff_(config_.retry, rng),
      loop_("intake", clock, [this] { return run_once(); }) {}

void Intake::deliver(Priority lane, Delivery&& delivery) {
  metrics_.deliveries.with({priority_name(lane)}).add();
  {
    MutexLock lock(mutex_);
    inbox_.push_back({lane, std::move(delivery), clock_.steady_now()});
  }
  loop_.wake();
}

void Intake::hold(bool holding) {
  holding_ = holding;
  loop_.wake();
}

Duration Intake::run_once() {
  receive();
  if (holding_) {
    give_back_all();
    return kIdle;
  }
  give_back_old();
  const SteadyTime now = clock_.steady_now();
  if (now < retry_at_) return retry_at_ - now;
  if (held_.size() == 0) alone_ = false;
  if (alone_) return kIdle;
  return isolated_.empty() ? claim_waiting() : claim_isolated();
}

void Intake::receive() {
  std::vector<Received> received;
  {
    MutexLock lock(mutex_);
    received.swap(inbox_);
  }
  for (Received& message : received) {
    SLUICE_FAILPOINT("worker.after_receive");
    auto task = task_from_json(message.delivery.body);
    if (!task) {
      metrics_.malformed.add();
      log_.error("task_message_malformed", {{"queue", message.delivery.queue},
                                            {"message_id", message.delivery.message_id},
                                            {"message", task.error().message}});
      source_.reject(message.delivery.tag);
      continue;
    }
    lanes_.push({message.delivery.tag, std::move(*task), message.lane, message.at});
  }
}

void Intake::give_back_old() {
  const auto age = std::chrono::duration_cast<SteadyTime::duration>(config_.message_age_max);
  for (const TaskDelivery& delivery : lanes_.take_older(clock_.steady_now() - age)) {
    metrics_.given_back.add();
    source_.give_back(delivery.tag);
  }
}

void Intake::give_back_all() {
  for (const TaskDelivery& delivery : lanes_.take_all()) {
    metrics_.given_back.add();
    source_.give_back(delivery.tag);
  }
  // Their messages name starts that are over; the rows are queued and will be published anew.
  for (const TaskDelivery& delivery : isolated_) drop(delivery);
  isolated_.clear();
}

Duration Intake::claim_waiting() {
  const int holdable = static_cast<int>(config_.held_max) - static_cast<int>(held_.size());
  const int places = std::min(batcher_.room(), holdable);
  const bool express = places <= 0;  // The engine is full: then whoever can't wait for a place has others.
  const int room = express ? std::min(batcher_.express_room(), holdable) : places;
  if (room <= 0 || lanes_.size() == 0) return kIdle;
  std::vector<TaskDelivery> taken =
      lanes_.take(static_cast<std::size_t>(room), express ? Priority::kNormal : Priority::kLow);
  if (taken.empty()) return kIdle;
  for (TaskDelivery& delivery : taken) delivery.express = express;
  drop_duplicates(taken);
  // A job that was never started lost no start either: those go together.
  const auto started = std::stable_partition(taken.begin(), taken.end(),
                                             [](const TaskDelivery& d) { return d.task.attempt == 0; });
  std::deque<TaskDelivery> again(std::make_move_iterator(started), std::make_move_iterator(taken.end()));
  taken.erase(started, taken.end());
  Claiming claimed = taken.empty() ? Claiming::kDone : claim(taken);
  while (claimed == Claiming::kDone && !again.empty() && isolated_.empty() && !alone_) {
    taken.assign(1, std::move(again.front()));
    again.pop_front();
    claimed = claim(taken);
  }
  if (claimed == Claiming::kStoreDown) {
    taken.insert(taken.end(), std::make_move_iterator(again.begin()), std::make_move_iterator(again.end()));
    lanes_.put_back(std::move(taken));
    return back_off();
  }
  backoff_.reset();
  lanes_.put_back({std::make_move_iterator(again.begin()), std::make_move_iterator(again.end())});
  return Duration::zero();
}

Duration Intake::claim_isolated() {
  if (held_.size() > 0) return kIdle;
  std::vector<TaskDelivery> one(1, isolated_.front());
  if (claim(one) == Claiming::kStoreDown) return back_off();
  backoff_.reset();
  isolated_.pop_front();
  return Duration::zero();
}

// Claims all of `deliveries`, which have no start held here. kStoreDown: they are left for another try.
Intake::Claiming Intake::claim(std::vector<TaskDelivery>& deliveries) {
  std::vector<TaskRef> tasks;
  tasks.reserve(deliveries.size());
  for (const TaskDelivery& delivery : deliveries) tasks.push_back(delivery.task);
  const SteadyTime begin = clock_.steady_now();
  auto claimed = store_.claim(tasks, config_.worker_id, Deadline::in(clock_, config_.store_timeout));
  metrics_.claim_seconds.observe(seconds(clock_.steady_now() - begin));
  if (!claimed) return claim_refused(deliveries, claimed.error());
  SLUICE_FAILPOINT("worker.after_claim");
  metrics_.claim_jobs.observe(static_cast<double>(claimed->size()));

  std::map<std::string, const TaskDelivery*> by_start;
  for (const TaskDelivery& delivery : deliveries) by_start[start_key(next_start(delivery.task))] = &delivery;
  // First the ordinary ones: whether another can be alone shows only then.
  std::stable_partition(claimed->begin(), claimed->end(),
                        [this](const ClaimedJob& job) { return job.lapsed_starts < config_.suspect_lapses; });
  for (ClaimedJob& job : *claimed) {
    const auto found = by_start.find(start_key(job.ref));
    if (found == by_start.end()) {
      // Never asked for: not held, so not kept alive either.
      log_.error("claim_unasked", {{"job_id", job.ref.id.value}, {"attempt", job.ref.attempt}});
      continue;
    }
    const TaskDelivery delivery = *found->second;
    by_start.erase(found);
    take_in(std::move(job), delivery);
  }
  for (const auto& [key, delivery] : by_start) {
    metrics_.duplicates.add();
    drop(*delivery);
  }
  return Claiming::kDone;
}

Intake::Claiming Intake::claim_refused(std::vector<TaskDelivery>& deliveries, const Error& error) {
  metrics_.store_errors.with({"claim"}).add();
  log_.warn_limited(
      "claim_failed",
      {{"code", error_code_name(error.code)}, {"message", error.message}, {"jobs", deliveries.size()}});
  if (error.code != ErrorCode::kInvalid && error.code != ErrorCode::kCorrupt) return Claiming::kStoreDown;
  if (deliveries.size() == 1) {
    // Its row, if there is one, stays queued and is published again after a while.
    log_.error("claim_impossible",
               {{"job_id", deliveries.front().task.id.value}, {"message", error.message}});
    drop(deliveries.front());
    return Claiming::kDone;
  }
  const auto middle = deliveries.begin() + static_cast<std::ptrdiff_t>(deliveries.size() / 2);
  std::vector<TaskDelivery> first(deliveries.begin(), middle);
  std::vector<TaskDelivery> second(middle, deliveries.end());
  if (claim(first) == Claiming::kStoreDown) return Claiming::kStoreDown;
  if (claim(second) == Claiming::kStoreDown) {
    deliveries = std::move(second);
    return Claiming::kStoreDown;
  }
  return Claiming::kDone;
}

void Intake::take_in(ClaimedJob&& job, const TaskDelivery& delivery) {
  const bool is_suspect = job.lapsed_starts >= config_.suspect_lapses;
  if (is_suspect && held_.size() > 0) {
    isolate_later(job, delivery);
    return;
  }
  for (const std::string& key : held_.add(HeldJob{job.ref, delivery.tag, false, delivery.received})) {
    batcher_.cancel(key);
  }
  metrics_.queue_wait_seconds.observe(static_cast<double>(job.queued_ms) / 1000.0);
  JobEnd end{start_key(job.ref), Released{}};
  if (job.model != config_.model) {
    end.how = failure_of(Error{ErrorCode::kInternal, "This worker serves another model."});
    completer_.push(std::move(end));
    return;
  }
  auto work = prepare_work(engine_, job, queue_.deep());
  if (!work) {
    end.how = failure_of(work.error());
    completer_.push(std::move(end));
    return;
  }
  work->alone = is_suspect;
  work->express = delivery.express && !is_suspect;
  if (is_suspect) {
    alone_ = true;
    metrics_.isolated.add();
    log_.info(
        "job_isolated",
        {{"job_id", job.ref.id.value}, {"attempt", job.ref.attempt}, {"lapsed_starts", job.lapsed_starts}});
  }
  // Before the engine has it, so that no word is missed.
  live_.begin(end.key, job.ref, work->streamed);
  if (batcher_.offer(std::move(*work))) return;
  live_.end(end.key);
  completer_.push(std::move(end));
}

void Intake::isolate_later(const ClaimedJob& job, const TaskDelivery& delivery) {
  // Its message stays unacked until it has had its turn, so this start ends without one.
  held_.add(HeldJob{job.ref, delivery.tag, true, delivery.received});
  completer_.push(JobEnd{start_key(job.ref), Released{}});
  TaskDelivery later = delivery;
  later.task = job.ref;
  isolated_.push_back(std::move(later));
}

void Intake::drop_duplicates(std::vector<TaskDelivery>& deliveries) {
  std::set<std::string> starts;
  std::erase_if(deliveries, [&](const TaskDelivery& delivery) {
    std::string start = start_key(next_start(delivery.task));
    if (!held_.has(start) && starts.insert(std::move(start)).second) return false;
    metrics_.duplicates.add();
    drop(delivery);
    return true;
  });
}

void Intake::drop(const TaskDelivery& delivery) {
  source_.ack(std::span(&delivery.tag, 1));
  metrics_.acks.add();
}

Duration Intake::back_off() {
  const Duration pause = backoff_.next();
  retry_at_ = clock_.steady_now() + std::chrono::duration_cast<SteadyTime::duration>(pause);
  return pause;
}

}  // namespace sluice::worker
