// What running jobs say, as they say it, to any number of watchers.
//
// Workers tell the live text through Redis (common/live); one thread reads it for all watched jobs. States
// come from there and from the jobs' rows, looked at together a few times a second; the end comes through
// Waiters. Without Redis a watcher still hears of states within that time, and gets the text at the end.
//
// What a watcher is told of a job's answer never overlaps and has no holes: offsets sort out what is told
// again (a second attempt, a resumed watch), and what was told live is checked against the result, which also
// completes it. If a later attempt says something else than what a watcher was told already, it hears so.
//
// Safe for concurrent use. Callbacks run on the feed's own thread, one at a time, and must be quick; they may
// call watch() and remove(). What is given to the constructor must outlive the feed, and the waiters must be
// stopped before the feed is.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "common/base/clock.h"
#include "common/base/loop.h"
#include "common/base/mutex.h"
#include "common/log/log.h"
#include "common/store/live_store.h"
#include "producer/live/live_answer.h"
#include "producer/live/live_streams.h"
#include "producer/metrics/producer_metrics.h"
#include "producer/wait/waiters.h"

namespace sluice::producer {

// The next of an answer. The views hold whole characters and are valid during the call.
struct TextPiece {
  TextPlace at;  // Of the first byte of each.
  std::string_view reasoning;
  std::string_view text;
  std::int64_t tokens = 0;  // Generated so far; 0 = not known.
};

// Where a job stands. Times and tokens of its row are in the glance beside it.
struct LiveState {
  JobState state = JobState::kQueued;
  int attempt = 0;          // Starts so far.
  std::int64_t tokens = 0;  // Generated so far; 0 = not known.
  // Grows with every change of state: queued, running, queued again …
  std::int64_t order() const { return 2 * std::int64_t{attempt} - (state == JobState::kRunning ? 1 : 0); }
};

struct FeedCallbacks {
  // May be empty, like all but `on_final`.
  std::function<void(const TextPiece&)> on_text;
  // How it stands: at first, at each change, and each time its row was looked at. The end is on_final's.
  std::function<void(const JobGlance&, const LiveState&)> on_state;
  // A later attempt (or a redrive) says something else than what this watcher was told. No text comes any
  // more; on_final will.
  std::function<void()> on_mismatch;
  // Last, once: the ended job, its text told completely before. An error: kCancelled, the producer stops;
  // kNotFound, there is no such job; kExhausted, too many wait.
  std::function<void(const Result<Job>&)> on_final;
};

struct FeedConfig {
  int watchers_max = 10'000;  // Each is an open answer to a client.
  // Between two reads: fewer make smoother text, more cost Redis less.
  std::chrono::milliseconds read_every{20};
  // Jobs that said nothing for so long are read with every look only: they wait, or compute their prompt.
  std::chrono::milliseconds quiet_after{2'000};
  // At the rows of watched jobs. A newcomer's own is looked at before, with others that came within
  // `read_every`.
  std::chrono::milliseconds look_every{250};
  std::chrono::milliseconds ask_every{10'000};
  std::chrono::milliseconds redis_timeout{500};
  std::chrono::milliseconds store_timeout{2'000};
};

class TokenFeed {
 public:
  using Ticket = std::uint64_t;

  TokenFeed(Waiters& waiters, LiveStore& store, LiveStreams& streams, FeedConfig config, Clock& clock,
            Log log, LiveMetrics metrics);
  ~TokenFeed();
  TokenFeed(const TokenFeed&) = delete;
  TokenFeed& operator=(const TokenFeed&) = delete;

  void start();
  // Everybody who still watches hears on_final(kCancelled). Nobody watches after that. May be called twice.
  void stop();

  // What the job of `tenant` says in `generation`, from `from` on. It may have ended already, and may be
  // about to be accepted. `told` is live_hash() of what came before `from` (thoughts first), if that is to be
  // checked. Nullopt: too many watch, or it is stopping; no callback runs.
  std::optional<Ticket> watch(const TenantId& tenant, const JobId& id, std::int64_t generation,
                              TextPlace from, FeedCallbacks callbacks,
                              std::optional<std::uint32_t> told = std::nullopt) EXCLUDES(mutex_);
  // True: on_final has not run and will not; a callback that runs at this moment may still come to its end.
  bool remove(Ticket ticket) EXCLUDES(mutex_);

  std::size_t size() const EXCLUDES(mutex_);
  // Whether watch() would take one more; for those who must know before they begin an answer.
  bool has_room() const EXCLUDES(mutex_);

  // One turn of the reading thread, and of the one that looks at rows; for tests.
  Duration read_once();
  Duration look_once();

 private:
  struct Watcher;
  struct Channel;
  using Key = std::pair<std::string, std::int64_t>;  // Job and generation.
  struct Ended {
    Key key;
    std::uint64_t wait = 0;  // Which of the channel's waits this ends.
    Result<Job> job;
  };
  // What the reading thread is to do.
  struct Inbox {
    std::vector<std::shared_ptr<Watcher>> added;
    std::vector<std::shared_ptr<Watcher>> removed;
    std::vector<Ended> ended;
    std::vector<JobGlance> glances;
  };

  void take_in(std::shared_ptr<Watcher> watcher);
  void drop(const Watcher& watcher);
  void wait_for_end(Channel& channel);
  void end(Ended&& ended);
  void finish(Channel& channel, const Result<Job>& job);
  void apply(const JobGlance& glance);
  void ask();
  void read();
  void take(Channel& channel, const LiveText& entry);
  void tell(Channel& channel);
  void tell(const Channel& channel, Watcher& watcher);
  void tell_state(const Channel& channel);
  void cut(Channel& channel, const TextPlace& place);
  void lose(Watcher& watcher);
  void forget(const Key& key);
  void publish_looked_at();

  Waiters& waiters_;
  LiveStore& store_;
  LiveStreams& streams_;
  const FeedConfig config_;
  Clock& clock_;
  const Log log_;
  const LiveMetrics metrics_;

  mutable Mutex mutex_;
  std::unordered_map<Ticket, std::shared_ptr<Watcher>> watchers_ GUARDED_BY(mutex_);
  Inbox inbox_ GUARDED_BY(mutex_);
  std::vector<JobId> looked_at_ GUARDED_BY(mutex_);  // What look_once() asks about,
  std::vector<JobId> newcomers_ GUARDED_BY(mutex_);  // and what of it was never looked at.
  Ticket last_ticket_ GUARDED_BY(mutex_) = 0;
  bool stopping_ GUARDED_BY(mutex_) = false;

  // The reading thread's own.
  std::map<Key, std::unique_ptr<Channel>> channels_;
  SteadyTime read_at_{};
  SteadyTime read_quiet_at_{};
  SteadyTime ask_again_at_{};
  std::uint64_t last_wait_ = 0;
  bool looked_at_changed_ = false;
  std::vector<JobId> joined_;  // Newcomers that the looking thread doesn't know of yet.
  // The looking thread's own.
  SteadyTime look_at_{};
  SteadyTime look_all_at_{};
  Loop reader_;
  Loop looker_;
};

}  // namespace sluice::producer
