#include "producer/live/token_feed.h"

#include <algorithm>
#include <span>

namespace sluice::producer {

namespace {

constexpr std::size_t kLookMax = 500;  // Jobs in one look.
constexpr std::chrono::seconds kIdle{5};
// A wait that ends for its time alone is begun anew.
constexpr std::chrono::seconds kWait{60};
// After Redis refused to be asked.
constexpr std::chrono::seconds kAskAgain{1};

}  // namespace

struct TokenFeed::Watcher {
  Ticket ticket = 0;
  TenantId tenant;
  JobId id;
  std::int64_t generation = 1;
  FeedCallbacks callbacks;
  std::optional<std::uint32_t> told;  // To be checked as soon as what it is of is known.
  std::atomic<bool> gone{false};
  // The reading thread's own.
  TextPlace at;       // The next byte to tell.
  bool lost = false;  // What it was told is not what the job says now.

  Key key() const { return {id.value, generation}; }
};

struct TokenFeed::Channel {
  Key key;
  TenantId tenant;
  JobId id;
  LiveAnswer answer;
  std::string read_up_to = "0";
  std::optional<JobGlance> glance;
  LiveState state;
  std::optional<Waiters::Ticket> waiter;
  std::uint64_t wait = 0;
  SteadyTime ask_at{};
  SteadyTime spoke_at{};  // Or began to be watched.
  std::map<Ticket, std::shared_ptr<Watcher>> watchers;
  bool news = false;
  std::int64_t tokens = 0;  // Of the result; 0 = there is none yet.

  // Whether anybody wants to hear of its state.
  bool is_looked_at() const {
    return std::any_of(watchers.begin(), watchers.end(),
                       [](const auto& entry) { return entry.second->callbacks.on_state != nullptr; });
  }
};

TokenFeed::TokenFeed(Waiters& waiters, LiveStore& store, LiveStreams& streams, FeedConfig config,
                     Clock& clock, Log log, LiveMetrics metrics)
    : waiters_(waiters),
      store_(store),
      streams_(streams),
      config_(config),
      clock_(clock),
      log_(std::move(log)),
      metrics_(std::move(metrics)),
      reader_("live-text", clock, [this] { return read_once(); }),
      looker_("live-state", clock, [this] { return look_once(); }) {}

TokenFeed::~TokenFeed() {
  stop();
}

void TokenFeed::start() {
  reader_.start();
  looker_.start();
}

void TokenFeed::stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  looker_.stop();
  reader_.stop();
  for (auto& [key, channel] : channels_) {
    if (channel->waiter) waiters_.remove(*channel->waiter, "stop");
  }
  channels_.clear();
  std::unordered_map<Ticket, std::shared_ptr<Watcher>> left;
  {
    MutexLock lock(mutex_);
    left.swap(watchers_);
    metrics_.watchers.set(0);
  }
  for (auto& [ticket, watcher] : left)
    watcher->callbacks.on_final(fail(ErrorCode::kCancelled, "the producer is stopping"));
}

std::optional<TokenFeed::Ticket> TokenFeed::watch(const TenantId& tenant, const JobId& id,
                                                  std::int64_t generation, TextPlace from,
                                                  FeedCallbacks callbacks,
                                                  std::optional<std::uint32_t> told) {
  auto watcher = std::make_shared<Watcher>();
  watcher->tenant = tenant;
  watcher->id = id;
  watcher->generation = generation;
  watcher->callbacks = std::move(callbacks);
  watcher->told = told;
  watcher->at = from;
  Ticket ticket = 0;
  {
    MutexLock lock(mutex_);
    if (stopping_ || watchers_.size() >= static_cast<std::size_t>(config_.watchers_max)) return std::nullopt;
    ticket = watcher->ticket = ++last_ticket_;
    watchers_.emplace(ticket, watcher);
    inbox_.added.push_back(std::move(watcher));
    metrics_.watchers.set(static_cast<double>(watchers_.size()));
  }
  reader_.wake();
  return ticket;
}

bool TokenFeed::remove(Ticket ticket) {
  {
    MutexLock lock(mutex_);
    const auto found = watchers_.find(ticket);
    if (found == watchers_.end()) return false;
    found->second->gone = true;
    inbox_.removed.push_back(std::move(found->second));
    watchers_.erase(found);
    metrics_.watchers.set(static_cast<double>(watchers_.size()));
  }
  reader_.wake();
  return true;
}

std::size_t TokenFeed::size() const {
  MutexLock lock(mutex_);
  return watchers_.size();
}

bool TokenFeed::has_room() const {
  MutexLock lock(mutex_);
  return !stopping_ && watchers_.size() < static_cast<std::size_t>(config_.watchers_max);
}

Duration TokenFeed::read_once() {
  Inbox inbox;
  {
    MutexLock lock(mutex_);
    std::swap(inbox, inbox_);
  }
  for (std::shared_ptr<Watcher>& watcher : inbox.added) take_in(std::move(watcher));
  for (const std::shared_ptr<Watcher>& watcher : inbox.removed) drop(*watcher);
  for (const JobGlance& glance : inbox.glances) apply(glance);
  for (Ended& ended : inbox.ended) end(std::move(ended));
  if (looked_at_changed_) publish_looked_at();
  if (channels_.empty()) return kIdle;
  ask();
  const SteadyTime now = clock_.steady_now();
  if (now >= read_at_) {
    read();
    read_at_ = now + config_.read_every;
  }
  return std::max(read_at_ - clock_.steady_now(), Duration::zero());
}

Duration TokenFeed::look_once() {
  const SteadyTime now = clock_.steady_now();
  const bool all = now >= look_all_at_;
  if (!all && now < look_at_) return std::min(look_at_, look_all_at_) - now;
  std::vector<JobId> ids;
  {
    MutexLock lock(mutex_);
    std::vector<JobId> newcomers = std::exchange(newcomers_, {});
    if (looked_at_.empty()) return kIdle;
    ids = all ? looked_at_ : std::move(newcomers);
  }
  for (std::size_t at = 0; at < ids.size(); at += kLookMax) {
    const auto part = std::span(ids).subspan(at, std::min(kLookMax, ids.size() - at));
    auto glances = store_.glance(part, Deadline::in(clock_, config_.store_timeout));
    if (!glances) {
      log_.warn_limited("live_look_failed", {{"error", glances.error().message}});
      break;
    }
    MutexLock lock(mutex_);
    std::move(glances->begin(), glances->end(), std::back_inserter(inbox_.glances));
  }
  const SteadyTime done = clock_.steady_now();
  if (!ids.empty()) {
    look_at_ = done + config_.read_every;
    reader_.wake();
  }
  if (all) look_all_at_ = done + config_.look_every;
  return std::max(look_all_at_ - done, Duration::zero());
}

void TokenFeed::publish_looked_at() {
  looked_at_changed_ = false;
  std::vector<JobId> ids;
  for (const auto& [key, channel] : channels_) {
    if (channel->is_looked_at()) ids.push_back(channel->id);
  }
  const std::vector<JobId> newcomers = std::exchange(joined_, {});
  {
    MutexLock lock(mutex_);
    looked_at_ = std::move(ids);
    newcomers_.insert(newcomers_.end(), newcomers.begin(), newcomers.end());
  }
  // For them alone: whoever only reads text, or leaves, changes nothing that can't wait for the next look.
  if (!newcomers.empty()) looker_.wake();
}

void TokenFeed::take_in(std::shared_ptr<Watcher> watcher) {
  if (watcher->gone) return;
  std::unique_ptr<Channel>& slot = channels_[watcher->key()];
  const bool fresh = slot == nullptr;
  if (fresh) {
    slot = std::make_unique<Channel>();
    slot->key = watcher->key();
    slot->tenant = watcher->tenant;
    slot->id = watcher->id;
    slot->spoke_at = clock_.steady_now();
    metrics_.jobs.set(static_cast<double>(channels_.size()));
  } else if (slot->tenant != watcher->tenant) {
    // Somebody else's job is no job.
    {
      MutexLock lock(mutex_);
      if (watchers_.erase(watcher->ticket) == 0) return;
    }
    watcher->callbacks.on_final(fail(ErrorCode::kNotFound, "no job with id " + watcher->id.value));
    return;
  }
  Channel& channel = *slot;
  Watcher& added = *watcher;
  if (added.callbacks.on_state && !channel.is_looked_at()) {
    joined_.push_back(channel.id);
    looked_at_changed_ = true;
  }
  channel.watchers.emplace(added.ticket, std::move(watcher));
  tell(channel, added);
  if (channel.glance && added.callbacks.on_state) added.callbacks.on_state(*channel.glance, channel.state);
  if (fresh) wait_for_end(channel);
}

void TokenFeed::drop(const Watcher& watcher) {
  const auto found = channels_.find(watcher.key());
  if (found == channels_.end() || found->second->watchers.erase(watcher.ticket) == 0) return;
  looked_at_changed_ = true;
  if (found->second->watchers.empty()) forget(found->first);
}

void TokenFeed::forget(const Key& key) {
  const auto found = channels_.find(key);
  if (found->second->waiter) waiters_.remove(*found->second->waiter, "left");
  channels_.erase(found);
  looked_at_changed_ = true;
  metrics_.jobs.set(static_cast<double>(channels_.size()));
}

// Waits first, then has the job read: an end between the two is seen by one of them.
void TokenFeed::wait_for_end(Channel& channel) {
  const bool first = channel.wait == 0;
  channel.wait = ++last_wait_;
  channel.waiter = waiters_.add(channel.tenant, channel.id, clock_.steady_now() + kWait,
                                [this, key = channel.key, wait = channel.wait](Result<Job> job) {
                                  {
                                    MutexLock lock(mutex_);
                                    inbox_.ended.push_back({key, wait, std::move(job)});
                                  }
                                  reader_.wake();
                                });
  if (!channel.waiter) {
    finish(channel, fail(ErrorCode::kExhausted, "too many wait"));
  } else if (first) {
    waiters_.notify(channel.id);
  }
}

void TokenFeed::end(Ended&& ended) {
  const auto found = channels_.find(ended.key);
  if (found == channels_.end()) return;
  Channel& channel = *found->second;
  if (ended.wait == channel.wait) channel.waiter.reset();
  const bool over = ended.job ? is_final(ended.job->state) && ended.job->generation >= ended.key.second
                              : ended.job.error().code == ErrorCode::kNotFound;
  if (over) {
    finish(channel, ended.job);
  } else if (!channel.waiter) {
    wait_for_end(channel);
  }
}

// Tells what is left of the text, then the end, and forgets the channel.
void TokenFeed::finish(Channel& channel, const Result<Job>& job) {
  // What an erased job has left isn't what it said.
  if (job && job->result && !job->erased) {
    const auto place = channel.answer.complete(job->result->text, job->result->reasoning_content);
    if (place) cut(channel, *place);
    for (auto& [ticket, watcher] : channel.watchers) {
      // Told more than the job has ever said.
      if (!watcher->lost && !channel.answer.covers(watcher->at)) lose(*watcher);
    }
    channel.tokens = job->result->completion_tokens;
    tell(channel);
  }
  const std::map<Ticket, std::shared_ptr<Watcher>> watchers = std::move(channel.watchers);
  forget(Key(channel.key));
  for (const auto& [ticket, watcher] : watchers) {
    {
      MutexLock lock(mutex_);
      if (watchers_.erase(ticket) == 0) continue;
      metrics_.watchers.set(static_cast<double>(watchers_.size()));
    }
    watcher->callbacks.on_final(job);
  }
}

void TokenFeed::apply(const JobGlance& glance) {
  // Of a job that runs again after its end, the channels of earlier generations hear, too.
  for (auto at = channels_.lower_bound({glance.id.value, 0});
       at != channels_.end() && at->first.first == glance.id.value; ++at) {
    Channel& channel = *at->second;
    if (channel.tenant != glance.tenant || is_final(glance.state)) continue;
    channel.glance = glance;
    LiveState seen{glance.state, glance.attempt, channel.answer.tokens()};
    // The live text may have told of a start that the row was read before.
    if (seen.order() >= channel.state.order()) channel.state = seen;
    tell_state(channel);
  }
}

void TokenFeed::ask() {
  const SteadyTime now = clock_.steady_now();
  if (now < ask_again_at_) return;
  std::vector<JobId> ids;
  for (auto& [key, channel] : channels_) {
    if (channel->ask_at > now) continue;
    channel->ask_at = now + config_.ask_every;
    ids.push_back(channel->id);
  }
  if (ids.empty() || streams_.ask_for(ids, Deadline::in(clock_, config_.redis_timeout))) return;
  metrics_.redis_errors.add();
  ask_again_at_ = now + kAskAgain;
  for (auto& [key, channel] : channels_) channel->ask_at = std::min(channel->ask_at, ask_again_at_);
}

void TokenFeed::read() {
  std::vector<LiveStreams::Place> places;
  std::vector<Channel*> channels;
  const SteadyTime now = clock_.steady_now();
  const bool all = now >= read_quiet_at_;
  if (all) read_quiet_at_ = now + config_.look_every;
  for (auto& [key, channel] : channels_) {
    if (!all && now - channel->spoke_at >= config_.quiet_after) continue;
    places.push_back({live_text_key(channel->id, key.second), channel->read_up_to});
    channels.push_back(channel.get());
  }
  if (places.empty()) return;
  auto news = streams_.read(places, Deadline::in(clock_, config_.redis_timeout));
  if (!news) {
    metrics_.redis_errors.add();
    return;
  }
  for (LiveStreams::News& one : *news) {
    Channel& channel = *channels[one.place];
    channel.read_up_to = std::move(one.last);
    channel.spoke_at = now;
    for (const LiveText& entry : one.entries) take(channel, entry);
    tell(channel);
    if (std::exchange(channel.news, false)) tell_state(channel);
  }
}

void TokenFeed::take(Channel& channel, const LiveText& entry) {
  metrics_.entries.add();
  if (const auto place = channel.answer.take(entry)) cut(channel, *place);
  const LiveState seen{JobState::kRunning, entry.attempt, entry.tokens};
  channel.news = channel.news || seen.order() > channel.state.order();
  if (seen.order() >= channel.state.order()) channel.state = seen;
}

// Whoever was told more than the answer up to `place` was told something else than what is said now.
void TokenFeed::cut(Channel& channel, const TextPlace& place) {
  for (auto& [ticket, watcher] : channel.watchers) {
    if (watcher->at.text > place.text || watcher->at.reasoning > place.reasoning) lose(*watcher);
  }
}

void TokenFeed::lose(Watcher& watcher) {
  if (std::exchange(watcher.lost, true)) return;
  metrics_.mismatches.add();
  if (watcher.callbacks.on_mismatch && !watcher.gone) watcher.callbacks.on_mismatch();
}

void TokenFeed::tell(Channel& channel) {
  for (auto& [ticket, watcher] : channel.watchers) tell(channel, *watcher);
}

void TokenFeed::tell(const Channel& channel, Watcher& watcher) {
  const LiveAnswer& answer = channel.answer;
  if (watcher.lost || watcher.gone || !answer.covers(watcher.at)) return;
  if (watcher.told && *std::exchange(watcher.told, std::nullopt) != answer.hash_before(watcher.at)) {
    lose(watcher);
    return;
  }
  if (watcher.at == answer.end()) return;
  TextPiece piece;
  piece.at = watcher.at;
  piece.reasoning = std::string_view(answer.reasoning()).substr(watcher.at.reasoning);
  piece.text = std::string_view(answer.text()).substr(watcher.at.text);
  piece.tokens = channel.tokens > 0 ? channel.tokens : answer.tokens();
  watcher.at = answer.end();
  if (watcher.callbacks.on_text) watcher.callbacks.on_text(piece);
}

void TokenFeed::tell_state(const Channel& channel) {
  if (!channel.glance) return;
  for (const auto& [ticket, watcher] : channel.watchers) {
    if (watcher->callbacks.on_state && !watcher->gone)
      watcher->callbacks.on_state(*channel.glance, channel.state);
  }
}

}  // namespace sluice::producer
