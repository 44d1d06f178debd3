#include <algorithm>

#include "common/base/check.h"
#include "common/mysql/mysql.h"

namespace sluice {

namespace {
// Between runs of a transaction that met a deadlock: short, since the other side is done by then.
constexpr BackoffConfig kRetryPause{std::chrono::milliseconds(5), std::chrono::milliseconds(500), 0.5};
constexpr int kTransactionRunsMax = 12;
}  // namespace

MysqlPool::Lease::~Lease() {
  if (connection_) pool_->give_back(std::move(connection_));
}

MysqlPool::MysqlPool(MysqlConfig config, Clock& clock, Rng& rng, Log log)
    : config_(std::move(config)),
      clock_(clock),
      rng_(rng),
      log_(log.with({{"component", "mysql"}, {"host", config_.host}, {"port", config_.port}})),
      backoff_(config_.reconnect, rng),
      statements_(std::make_shared<std::atomic<std::uint64_t>>(0)) {}

MysqlPool::~MysqlPool() {
  MutexLock lock(mutex_);
  // A lease that outlives its pool would give its connection back to nothing.
  SLUICE_CHECK(open_ == static_cast<int>(idle_.size()));
}

std::unique_ptr<MysqlConnection> MysqlPool::take_idle(bool& needs_ping) {
  MutexLock lock(mutex_);
  if (idle_.empty()) return nullptr;
  Idle idle = std::move(idle_.back());  // The last used: the others may age and be found dead in peace.
  idle_.pop_back();
  needs_ping = idle.since < suspect_until_ || clock_.steady_now() - idle.since > config_.idle_check;
  return std::move(idle.connection);
}

Result<MysqlPool::Lease> MysqlPool::acquire(Deadline deadline) {
  bool waited = false;
  for (;;) {
    if (deadline.passed(clock_)) {
      if (!waited) return fail(ErrorCode::kDeadline, "the deadline passed before a connection was taken");
      MutexLock lock(mutex_);
      ++stats_.acquire_timeouts;
      return fail(ErrorCode::kExhausted, "every mysql connection stayed in use until the deadline");
    }
    bool needs_ping = false;
    if (auto connection = take_idle(needs_ping)) {
      if (!needs_ping || connection->ping(deadline)) return Lease(*this, std::move(connection));
      drop(std::move(connection));
      continue;
    }
    bool probe = false;
    {
      MutexLock lock(mutex_);
      if (!idle_.empty()) continue;
      if (down_ && (probing_ || clock_.steady_now() < next_probe_)) {
        return fail(ErrorCode::kUnavailable, "mysql can't be reached; trying again soon");
      }
      if (open_ >= config_.connections_max) {
        if (!waited) ++stats_.acquire_waits;
        waited = true;
        lock.wait_until(clock_, returned_, deadline.at());
        continue;
      }
      ++open_;
      probe = down_;
      if (probe) probing_ = true;
    }
    return connect_reserved(probe);
  }
}

// Opens the connection for which `open_` was raised.
Result<MysqlPool::Lease> MysqlPool::connect_reserved(bool probe) {
  auto opened = MysqlConnection::open(config_, clock_, statements_);
  bool back = false;
  {
    MutexLock lock(mutex_);
    if (probe) probing_ = false;
    const SteadyTime now = clock_.steady_now();
    if (opened) {
      ++stats_.connects;
      back = down_;
      down_ = false;
      backoff_.reset();
    } else {
      ++stats_.connect_failures;
      --open_;
      // Several may have tried at once: one failure is one step of the backoff.
      if (!down_ || now >= next_probe_) next_probe_ = now + backoff_.next();
      down_ = true;
      suspect_until_ = now;
    }
  }
  returned_.notify_all();
  if (!opened) {
    log_.warn_limited("mysql_connect_failed", {{"error", opened.error().message}});
    return fail(opened.error());
  }
  if (back) log_.info("mysql_connected");
  return Lease(*this, std::move(*opened));
}

void MysqlPool::drop(std::unique_ptr<MysqlConnection> connection) {
  connection.reset();  // Outside the lock: it may write to the network.
  {
    MutexLock lock(mutex_);
    --open_;
    ++stats_.broken;
    // Whatever broke this one may have broken all others: look before using them.
    suspect_until_ = clock_.steady_now();
  }
  returned_.notify_one();
}

void MysqlPool::give_back(std::unique_ptr<MysqlConnection> connection) {
  if (connection->in_transaction()) connection->rollback();
  if (connection->broken()) return drop(std::move(connection));
  {
    MutexLock lock(mutex_);
    idle_.push_back({std::move(connection), clock_.steady_now()});
  }
  returned_.notify_one();
}

Result<Rows> MysqlPool::query(const Sql& sql, Deadline deadline) {
  for (int run = 1;; ++run) {
    SLUICE_ASSIGN(const Lease lease, acquire(deadline));
    auto rows = lease->query(sql, deadline);
    if (rows || !lease->broken() || run == 2 || rows.error().code != ErrorCode::kUnavailable) return rows;
  }
}

Result<std::uint64_t> MysqlPool::execute(const Sql& sql, Deadline deadline) {
  SLUICE_ASSIGN(const Lease lease, acquire(deadline));
  return lease->execute(sql, deadline);
}

Status MysqlPool::try_transaction(Deadline deadline, const RunBody& body, bool& again) {
  again = false;
  SLUICE_ASSIGN(const Lease lease, acquire(deadline));
  Status status = lease->begin(deadline);
  if (status) status = body(*lease);
  if (status) status = lease->commit(deadline);
  if (status) return status;
  lease->rollback();
  again = status.error().code != ErrorCode::kOutcomeUnknown &&
          (lease->should_retry_transaction() ||
           (lease->broken() && status.error().code == ErrorCode::kUnavailable));
  return status;
}

Status MysqlPool::run_transaction(Deadline deadline, const RunBody& body) {
  Backoff pauses(kRetryPause, rng_);
  for (int run = 1;; ++run) {
    bool again = false;
    Status status = try_transaction(deadline, body, again);
    if (status || !again || run == kTransactionRunsMax) return status;
    const Duration wait = pauses.next();
    if (deadline.remaining(clock_) <= wait) return status;
    pause(wait, deadline);
    MutexLock lock(mutex_);
    ++stats_.retries;
  }
}

void MysqlPool::pause(Duration time, Deadline deadline) {
  const SteadyTime until = std::min(clock_.steady_now() + time, deadline.at());
  Mutex mutex;
  std::condition_variable never;
  MutexLock lock(mutex);
  while (clock_.steady_now() < until) lock.wait_until(clock_, never, until);
}

MysqlPoolStats MysqlPool::stats() const {
  MutexLock lock(mutex_);
  MysqlPoolStats stats = stats_;
  stats.connections = open_;
  stats.in_use = open_ - static_cast<int>(idle_.size());
  stats.statements = statements_->load(std::memory_order_relaxed);
  return stats;
}

}  // namespace sluice
