#include "producer/openai/completion_waits.h"

#include <algorithm>
#include <utility>

#include "common/base/mutex.h"
#include "common/http/body_json.h"
#include "producer/openai/completion_answers.h"

namespace sluice::producer {

namespace {
// Before a row that can't be read is read again, however early headers are to be.
constexpr std::chrono::milliseconds kLeastWait{10};
}  // namespace

struct CompletionWaits::Wait {
  Wait(Asked a, JobId i, http::Responder p)
      : asked(std::move(a)), id(std::move(i)), responder(std::move(p)) {}
  const Asked asked;
  const JobId id;
  const http::Responder responder;

  Mutex mutex;
  bool over GUARDED_BY(mutex) = false;  // Answered, or nobody is there to be.
  std::optional<http::ResponseStream> stream GUARDED_BY(mutex);
  std::optional<Waiters::Ticket> ended GUARDED_BY(mutex);
  std::optional<Waiters::Ticket> early GUARDED_BY(mutex);
  SteadyTime early_at GUARDED_BY(mutex){};
};

CompletionWaits::WaitPtr CompletionWaits::add(Asked asked, const JobId& id, http::Responder responder) {
  auto wait = std::make_shared<Wait>(std::move(asked), id, std::move(responder));
  const auto ticket = waiters_.add(wait->asked.tenant, id, clock_.steady_now() + config_.longest,
                                   [this, wait](const Result<Job>& job) { on_ended(wait, job); });
  if (!ticket) return nullptr;
  {
    MutexLock lock(wait->mutex);
    wait->ended = ticket;
  }
  wait_for_early(wait, config_.early_headers);
  wait->responder.on_disconnect([this, weak = std::weak_ptr<Wait>(wait)] {
    if (const WaitPtr left = weak.lock()) leave(left);
  });
  return wait;
}

void CompletionWaits::answer(const WaitPtr& wait, const Job& job, std::string_view cache) {
  finish(wait, job, cache);
  give_up(wait);
}

void CompletionWaits::leave(const WaitPtr& wait) {
  bool over = false;
  {
    MutexLock lock(wait->mutex);
    over = wait->over;
  }
  if (!over && wait->asked.on_left) wait->asked.on_left();
  // A client that only ended its side of the connection still reads.
  if (wait->responder.gone()) give_up(wait);
}

void CompletionWaits::give_up(const WaitPtr& wait) {
  std::optional<Waiters::Ticket> ended;
  std::optional<Waiters::Ticket> early;
  {
    MutexLock lock(wait->mutex);
    wait->over = true;
    ended = wait->ended;
    early = wait->early;
  }
  if (ended) waiters_.remove(*ended, "left");
  if (early) waiters_.remove(*early, "left");
}

void CompletionWaits::wait_for_early(const WaitPtr& wait, std::chrono::milliseconds time) {
  const SteadyTime at = clock_.steady_now() + time;
  {
    MutexLock lock(wait->mutex);
    wait->early_at = at;
  }
  const auto ticket = waiters_.add(wait->asked.tenant, wait->id, at,
                                   [this, wait](const Result<Job>& job) { on_early(wait, job); });
  MutexLock lock(wait->mutex);
  wait->early = ticket;  // None: too many wait; then the header comes with the answer.
}

void CompletionWaits::on_early(const WaitPtr& wait, const Result<Job>& job) {
  if (job && is_final(job->state)) {
    finish(wait, *job);
    return;
  }
  {
    MutexLock lock(wait->mutex);
    if (wait->over || clock_.steady_now() < wait->early_at) return;  // Early even for that: all waits end.
  }
  if (!job) {
    // Its row can't be read just now, or isn't there yet.
    wait_for_early(wait, std::max(config_.early_headers, kLeastWait));
    return;
  }
  http::Response head = of_session(http::Response::json(200, ""), wait->asked.session);
  head.headers.set(kJobHeader, wait->id.value);
  http::StreamOptions options;
  options.heartbeat = " ";
  // Without the lock: a client that leaves at this moment has give_up() run within these calls.
  auto stream = wait->responder.stream(std::move(head), std::move(options));
  if (!stream) return;
  metrics_.early_headers.add();
  stream->write(" ");
  bool over = false;
  {
    MutexLock lock(wait->mutex);
    over = wait->over;
    if (!over) wait->stream = stream;
  }
  if (over) {
    stream->abort();
  } else if (wait->responder.gone()) {
    give_up(wait);  // Who had ended its side before isn't told of again.
  }
}

void CompletionWaits::on_ended(const WaitPtr& wait, const Result<Job>& job) {
  if (job && is_final(job->state)) {
    finish(wait, *job);
    return;
  }
  std::optional<http::ResponseStream> stream;
  {
    MutexLock lock(wait->mutex);
    if (wait->over) return;
    wait->over = true;
    stream = std::move(wait->stream);
  }
  if (stream) {
    stream->abort();
  } else {
    wait->responder.send(of_session(not_finished_answer(wait->asked.surface, wait->id), wait->asked.session));
  }
}

void CompletionWaits::finish(const WaitPtr& wait, const Job& job, std::string_view cache) {
  std::optional<http::ResponseStream> stream;
  {
    MutexLock lock(wait->mutex);
    if (wait->over) return;
    wait->over = true;
    stream = std::move(wait->stream);
  }
  const Surface surface = wait->asked.surface;
  tell(*wait, std::move(stream),
       answer_is_gone(job) ? no_such_completion(surface)
                           : final_answer(surface, job, wait->asked.request.get(), cache));
}

void CompletionWaits::tell(const Wait& wait, std::optional<http::ResponseStream> stream,
                           http::Response answer) {
  answer = of_session(std::move(answer), wait.asked.session);
  if (!stream) {
    wait.responder.send(std::move(answer));
  } else if (answer.status == 200) {
    http::end_with(*stream, std::move(answer.body));
  } else {
    stream->abort();
  }
}

}  // namespace sluice::producer
