// MySQL or MariaDB: a bounded pool of connections, statements with typed values, transactions that say
// honestly how they ended.
//
// Errors of every call here:
//   kConflict        a unique key already holds the value; duplicate_key() tells which
//   kInvalid         the data was refused (too long, constraint, not UTF-8, over max_allowed_packet)
//   kUnavailable     not reachable, refused, or lost before anything could be committed: nothing was done
//   kOutcomeUnknown  lost during COMMIT or during an execute() outside a transaction: read back
//   kDeadline        the deadline passed before the statement ran, or the server gave the statement up at it
//                    and undid it
//   kExhausted       every connection of the pool stayed in use until the deadline
//   kInternal        a defect of ours: bad SQL, a missing table
//
// Deadlines: a call whose deadline has passed does nothing; waiting for a connection ends exactly on time;
// the server ends a statement on time where it can (MariaDB). Only a server or network that hangs holds a
// call longer: until `read_timeout`, which can't be changed for a single call.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/backoff.h"
#include "common/base/clock.h"
#include "common/base/mutex.h"
#include "common/base/result.h"
#include "common/base/rng.h"
#include "common/base/secret.h"
#include "common/log/log.h"
#include "common/mysql/rows.h"
#include "common/mysql/sql.h"

namespace sluice {

struct MysqlConfig {
  std::string host = "127.0.0.1";
  int port = 3306;
  std::string user = "sluice";
  Secret password;
  std::string database = "sluice";
  int connections_max = 16;  // Each costs the server a thread and some MiB.
  // Whole seconds; they bound what a hung server can hold up.
  std::chrono::seconds connect_timeout{3};
  std::chrono::seconds read_timeout{15};
  std::chrono::seconds write_timeout{15};
  std::chrono::seconds lock_wait_timeout{5};  // A row lock held for longer: rolled back and tried again.
  std::chrono::seconds idle_check{10};        // A connection idle for longer is pinged before use.
  BackoffConfig reconnect{std::chrono::milliseconds(100), std::chrono::seconds(3), 0.2};
  // TLS: with a CA file the server's certificate is verified and a plaintext server refused.
  std::string tls_ca_file;
  std::string tls_cert_file;
  std::string tls_key_file;
};

// The bare name of the unique key that a kConflict of this adapter is about ("PRIMARY", "job_by_tenant");
// empty for any other error.
std::string_view duplicate_key(const Error& error);
// The server's own number of an error ("table exists" is 1050), where its message tells; 0 otherwise.
int server_error_number(const Error& error);

// One session. Not safe for concurrent use: it belongs to whoever holds its lease.
//
// Session settings: UTC, utf8mb4, READ COMMITTED, strict mode, rows matched (not rows changed) are counted.
// Never reconnects by itself: after a transport error it is broken and leaves the pool.
class MysqlConnection {
 public:
  ~MysqlConnection();
  MysqlConnection(const MysqlConnection&) = delete;
  MysqlConnection& operator=(const MysqlConnection&) = delete;

  // A statement that returns rows.
  Result<Rows> query(const Sql& sql, Deadline deadline);
  // A statement that returns none; the number of rows matched (INSERT … ON DUPLICATE KEY UPDATE counts 1 for
  // a new row, 2 for a changed one).
  Result<std::uint64_t> execute(const Sql& sql, Deadline deadline);

  // Prefer MysqlPool::transaction. A failed commit() is kOutcomeUnknown unless the server itself said that it
  // rolled back.
  Status begin(Deadline deadline);
  Status commit(Deadline deadline);
  void rollback();  // Never fails towards the caller: a connection that can't is broken.

  bool broken() const;
  bool in_transaction() const;
  // The last failure was a deadlock or a lock wait that timed out: run the whole transaction again.
  bool should_retry_transaction() const;

  // The longest statement that the server takes (max_allowed_packet): a longer one is refused with kInvalid.
  std::size_t statement_bytes_max() const;

 private:
  friend class MysqlPool;
  struct Impl;
  explicit MysqlConnection(std::unique_ptr<Impl> impl);
  static Result<std::unique_ptr<MysqlConnection>> open(
      const MysqlConfig& config, const Clock& clock, std::shared_ptr<std::atomic<std::uint64_t>> statements);
  Status ping(Deadline deadline);
  std::unique_ptr<Impl> impl_;
};

struct MysqlPoolStats {
  int connections = 0;  // Open now, in use or idle.
  int in_use = 0;
  std::uint64_t statements = 0;
  std::uint64_t connects = 0;
  std::uint64_t connect_failures = 0;
  std::uint64_t broken = 0;            // Connections dropped after a transport error.
  std::uint64_t acquire_waits = 0;     // acquire() found every connection in use and waited.
  std::uint64_t acquire_timeouts = 0;  // … and got none by its deadline.
  std::uint64_t retries = 0;  // Transactions run again after a deadlock, lock wait or lost connection.
};

// Safe for concurrent use. Opens connections when first needed. While the server can't be reached, calls fail
// at once with kUnavailable, and one of them at a time, with growing pauses, tries to connect.
class MysqlPool {
 public:
  // A connection on loan; goes back to the pool (or is closed, if broken or inside a transaction) when
  // destroyed. Must not outlive its pool.
  class Lease {
   public:
    Lease(Lease&& other) noexcept : pool_(other.pool_), connection_(std::move(other.connection_)) {}
    Lease& operator=(Lease&&) = delete;
    ~Lease();
    MysqlConnection* operator->() const { return connection_.get(); }
    MysqlConnection& operator*() const { return *connection_; }

   private:
    friend class MysqlPool;
    Lease(MysqlPool& pool, std::unique_ptr<MysqlConnection> connection)
        : pool_(&pool), connection_(std::move(connection)) {}
    MysqlPool* pool_;
    std::unique_ptr<MysqlConnection> connection_;
  };

  // Clock and Rng must outlive the pool.
  MysqlPool(MysqlConfig config, Clock& clock, Rng& rng, Log log);
  ~MysqlPool();
  MysqlPool(const MysqlPool&) = delete;
  MysqlPool& operator=(const MysqlPool&) = delete;

  Result<Lease> acquire(Deadline deadline);

  // One statement outside any transaction, on any connection. query() is repeated once, on a fresh
  // connection, if a connection turns out to be dead; execute() never is.
  Result<Rows> query(const Sql& sql, Deadline deadline);
  Result<std::uint64_t> execute(const Sql& sql, Deadline deadline);

  // Runs `body` between BEGIN and COMMIT. An error from `body` rolls back and is returned. After a deadlock,
  // a lock wait or a connection lost before COMMIT, all of it runs again while the deadline allows: `body`
  // must not keep effects of an earlier run. kOutcomeUnknown: the COMMIT's answer was lost.
  //   pool.transaction(deadline, [&](MysqlConnection& db) -> Result<int> { … });
  template <class Body>
  auto transaction(Deadline deadline, Body body) -> decltype(body(std::declval<MysqlConnection&>())) {
    using Outcome = decltype(body(std::declval<MysqlConnection&>()));
    Outcome outcome = fail(ErrorCode::kInternal, "the transaction did not run");
    const Status status = run_transaction(deadline, [&](MysqlConnection& connection) -> Status {
      outcome = body(connection);
      if (!outcome) return fail(outcome.error());
      return {};
    });
    if (!status) return fail(status.error());
    return outcome;
  }

  MysqlPoolStats stats() const;
  const MysqlConfig& config() const { return config_; }

 private:
  struct Idle {
    std::unique_ptr<MysqlConnection> connection;
    SteadyTime since;
  };
  using RunBody = std::function<Status(MysqlConnection&)>;
  Status run_transaction(Deadline deadline, const RunBody& body);
  // One BEGIN … COMMIT. `again`: nothing was committed, and another run may succeed.
  Status try_transaction(Deadline deadline, const RunBody& body, bool& again);
  void pause(Duration time, Deadline deadline);
  std::unique_ptr<MysqlConnection> take_idle(bool& needs_ping) EXCLUDES(mutex_);
  Result<Lease> connect_reserved(bool probe);
  void drop(std::unique_ptr<MysqlConnection> connection);
  void give_back(std::unique_ptr<MysqlConnection> connection);

  const MysqlConfig config_;
  Clock& clock_;
  Rng& rng_;
  const Log log_;
  mutable Mutex mutex_;
  std::condition_variable returned_;
  std::vector<Idle> idle_ GUARDED_BY(mutex_);
  int open_ GUARDED_BY(mutex_) = 0;  // In use, idle, or being opened.
  bool down_ GUARDED_BY(mutex_) = false;
  bool probing_ GUARDED_BY(mutex_) = false;
  SteadyTime next_probe_ GUARDED_BY(mutex_){};
  SteadyTime suspect_until_ GUARDED_BY(mutex_){};  // Idle since before this: ping before use.
  Backoff backoff_ GUARDED_BY(mutex_);
  MysqlPoolStats stats_ GUARDED_BY(mutex_);
  std::shared_ptr<std::atomic<std::uint64_t>> statements_;
};

}  // namespace sluice
