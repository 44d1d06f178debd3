#include <cppconn/connection.h>
#include <cppconn/driver.h>
#include <cppconn/exception.h>
#include <cppconn/resultset.h>
#include <cppconn/resultset_metadata.h>
#include <cppconn/statement.h>
#include <mysql_driver.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <exception>
#include <map>

#include "common/mysql/fault.h"
#include "common/mysql/mysql.h"

namespace sluice {

using mysql::Fault;
using mysql::Phase;

namespace {

// The driver's registry and its first mysql_init() are not thread safe; connecting afterwards is.
sql::Driver& driver() {
  static sql::Driver& instance = *sql::mysql::get_driver_instance();
  return instance;
}

// The client library wants to be told of each thread that uses it.
void enter_thread() {
  struct Presence {
    Presence() { driver().threadInit(); }
    ~Presence() { driver().threadEnd(); }
  };
  static thread_local Presence presence;
}

constexpr std::string_view kSessionSettings =
    "SET NAMES utf8mb4, time_zone = '+00:00', autocommit = 1, "
    "sql_mode = 'STRICT_TRANS_TABLES,STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION', "
    "innodb_lock_wait_timeout = ";

// Statements that MariaDB lets run under a time limit of their own.
bool takes_time_limit(std::string_view statement) {
  static constexpr std::array<std::string_view, 7> kVerbs = {"SELECT", "INSERT",  "UPDATE", "DELETE",
                                                             "WITH",   "REPLACE", "DO"};
  return std::any_of(kVerbs.begin(), kVerbs.end(), [&](std::string_view verb) {
    return statement.size() > verb.size() && statement.starts_with(verb) && statement[verb.size()] == ' ';
  });
}

sql::ConnectOptionsMap options_of(const MysqlConfig& config) {
  const bool v6 = config.host.find(':') != std::string::npos;
  sql::ConnectOptionsMap options;
  options["hostName"] = sql::SQLString("tcp://" + (v6 ? "[" + config.host + "]" : config.host) + ":" +
                                       std::to_string(config.port));
  options["userName"] = sql::SQLString(config.user);
  options["password"] = sql::SQLString(config.password.reveal());
  options["schema"] = sql::SQLString(config.database);
  options["CLIENT_FOUND_ROWS"] = true;
  options["OPT_RECONNECT"] = false;  // A silent new session would have lost the transaction and the settings.
  options["OPT_CONNECT_TIMEOUT"] = static_cast<int>(config.connect_timeout.count());
  options["OPT_READ_TIMEOUT"] = static_cast<int>(config.read_timeout.count());
  options["OPT_WRITE_TIMEOUT"] = static_cast<int>(config.write_timeout.count());
  options["OPT_CHARSET_NAME"] = sql::SQLString("utf8mb4");
  if (!config.tls_ca_file.empty()) {
    options["sslCA"] = sql::SQLString(config.tls_ca_file);
    if (!config.tls_cert_file.empty()) options["sslCert"] = sql::SQLString(config.tls_cert_file);
    if (!config.tls_key_file.empty()) options["sslKey"] = sql::SQLString(config.tls_key_file);
    options["sslEnforce"] = true;
    options["sslVerify"] = true;  // The only setting that makes the client refuse a plaintext server.
  }
  return options;
}

}  // namespace

struct MysqlConnection::Impl {
  std::unique_ptr<sql::Connection> connection;
  std::unique_ptr<sql::Statement> statement;  // Before the connection in death: declared after it.
  const Clock* clock = nullptr;
  std::shared_ptr<std::atomic<std::uint64_t>> statements;
  Duration longest_statement{};
  std::size_t bytes_max = 0;
  bool limits_time = false;  // The server can end a statement by itself (MariaDB).
  bool broken = false;
  bool in_transaction = false;
  bool rolled_back = false;  // The server undid the transaction, or we have to.

  Fault note(Fault fault) {
    broken = broken || fault.broken;
    if (in_transaction) rolled_back = rolled_back || fault.retry_transaction;
    if (fault.broken) in_transaction = false;
    return fault;
  }

  // Sends one statement and lets `read` take what it returned. No exception leaves it.
  template <class Read>
  Status run(const std::string& text, Phase phase, const Read& read) {
    statements->fetch_add(1, std::memory_order_relaxed);
    try {
      enter_thread();
      read(*statement, statement->execute(text));
      return {};
    } catch (const sql::SQLException& error) {
      return fail(note(mysql::classify(error.getErrorCode(), error.what(), phase)).error);
    } catch (const std::exception& error) {
      broken = true;  // Who knows what is left unread on it.
      const bool unknown = phase == Phase::kExecute || phase == Phase::kCommit;
      return fail(unknown ? ErrorCode::kOutcomeUnknown : ErrorCode::kInternal,
                  std::string("mysql adapter: ") + error.what());
    }
  }

  // Whether a statement may start, and the statement as it is sent: with its time limit, where there is one.
  Result<std::string> prepare(const Sql& sql, Deadline deadline) {
    if (broken) return fail(ErrorCode::kUnavailable, "the connection is broken");
    // After a deadlock the server is back in autocommit: what follows would be kept without the rest.
    if (in_transaction && rolled_back) {
      return fail(ErrorCode::kUnavailable, "the transaction was rolled back before its end");
    }
    const Duration left = deadline.remaining(*clock);
    if (left <= Duration::zero())
      return fail(ErrorCode::kDeadline, "the deadline passed before the statement");
    SLUICE_ASSIGN(std::string text, sql.statement());
    if (limits_time && takes_time_limit(text)) {
      const double seconds = std::chrono::duration<double>(std::min(left, longest_statement)).count();
      char prefix[64];
      std::snprintf(prefix, sizeof prefix, "SET STATEMENT max_statement_time=%.6f FOR ",
                    std::max(seconds, 0.001));
      text.insert(0, prefix);
    }
    if (bytes_max != 0 && text.size() >= bytes_max) {
      return fail(ErrorCode::kInvalid, "a statement of " + std::to_string(text.size()) +
                                           " bytes is larger than the server's max_allowed_packet, " +
                                           std::to_string(bytes_max));
    }
    return text;
  }

  Result<Rows> read_rows(const std::string& text, Phase phase) {
    Rows rows;
    SLUICE_TRY(run(text, phase, [&](sql::Statement& statement, bool has_rows) {
      if (!has_rows) return;
      const std::unique_ptr<sql::ResultSet> found(statement.getResultSet());
      const unsigned columns = found->getMetaData()->getColumnCount();
      rows = Rows(columns);
      while (found->next()) {
        for (unsigned column = 1; column <= columns; ++column) {
          const std::string cell = found->getString(column);
          if (cell.empty() && found->isNull(column)) {
            rows.add_null();
          } else {
            rows.add(cell);
          }
        }
      }
    }));
    return rows;
  }

  Status run_plain(const std::string& text, Phase phase) {
    return run(text, phase, [](sql::Statement& statement, bool has_rows) {
      if (has_rows) delete statement.getResultSet();
    });
  }
};

MysqlConnection::MysqlConnection(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

MysqlConnection::~MysqlConnection() {
  try {
    enter_thread();
    impl_->statement.reset();
    impl_->connection.reset();
  } catch (const std::exception&) {
    // Closing has no outcome that anybody waits for.
  }
}

Result<std::unique_ptr<MysqlConnection>> MysqlConnection::open(
    const MysqlConfig& config, const Clock& clock, std::shared_ptr<std::atomic<std::uint64_t>> statements) {
  auto impl = std::make_unique<Impl>();
  impl->clock = &clock;
  impl->statements = std::move(statements);
  try {
    enter_thread();
    auto options = options_of(config);
    impl->connection.reset(driver().connect(options));
    impl->statement.reset(impl->connection->createStatement());
  } catch (const sql::SQLException& error) {
    return fail(mysql::classify(error.getErrorCode(), error.what(), Phase::kConnect).error);
  } catch (const std::exception& error) {
    return fail(ErrorCode::kUnavailable, std::string("mysql connect: ") + error.what());
  }
  SLUICE_TRY(impl->run_plain(std::string(kSessionSettings) + std::to_string(config.lock_wait_timeout.count()),
                             Phase::kConnect));
  SLUICE_TRY(impl->run_plain("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED", Phase::kConnect));
  SLUICE_ASSIGN(const Rows server,
                impl->read_rows("SELECT VERSION(), @@max_allowed_packet", Phase::kConnect));
  impl->limits_time = server.front().text(0).find("MariaDB") != std::string_view::npos;
  impl->bytes_max = static_cast<std::size_t>(server.front().int64(1));
  // A little less than the socket waits, so that a slow statement is undone by the server instead of going on
  // there after we have hung up.
  impl->longest_statement = std::max<Duration>(config.read_timeout - std::chrono::milliseconds(500),
                                               std::chrono::milliseconds(500));
  if (!config.tls_ca_file.empty()) {
    SLUICE_ASSIGN(const Rows cipher,
                  impl->read_rows("SHOW SESSION STATUS LIKE 'Ssl_cipher'", Phase::kConnect));
    if (cipher.empty() || cipher.front().str_or(1, "").empty()) {
      return fail(ErrorCode::kUnavailable, "TLS was asked for, and the connection is not encrypted");
    }
  }
  return std::unique_ptr<MysqlConnection>(new MysqlConnection(std::move(impl)));
}

Result<Rows> MysqlConnection::query(const Sql& sql, Deadline deadline) {
  SLUICE_ASSIGN(const std::string text, impl_->prepare(sql, deadline));
  return impl_->read_rows(text, impl_->in_transaction ? Phase::kInTransaction : Phase::kQuery);
}

Result<std::uint64_t> MysqlConnection::execute(const Sql& sql, Deadline deadline) {
  SLUICE_ASSIGN(const std::string text, impl_->prepare(sql, deadline));
  std::uint64_t matched = 0;
  SLUICE_TRY(impl_->run(text, impl_->in_transaction ? Phase::kInTransaction : Phase::kExecute,
                        [&](sql::Statement& statement, bool has_rows) {
                          if (has_rows) {
                            delete statement.getResultSet();
                          } else {
                            matched = statement.getUpdateCount();
                          }
                        }));
  return matched;
}

Status MysqlConnection::ping(Deadline deadline) {
  SLUICE_ASSIGN(const std::string text, impl_->prepare(Sql("DO 1"), deadline));
  return impl_->run_plain(text, Phase::kQuery);
}

Status MysqlConnection::begin(Deadline deadline) {
  SLUICE_ASSIGN(const std::string text, impl_->prepare(Sql("START TRANSACTION"), deadline));
  impl_->rolled_back = false;
  SLUICE_TRY(impl_->run_plain(text, Phase::kQuery));
  impl_->in_transaction = true;
  return {};
}

Status MysqlConnection::commit(Deadline deadline) {
  SLUICE_ASSIGN(const std::string text, impl_->prepare(Sql("COMMIT"), deadline));
  // As a statement: the connector's own commit() does not tell of a failure.
  SLUICE_TRY(impl_->run_plain(text, Phase::kCommit));
  impl_->in_transaction = false;
  return {};
}

void MysqlConnection::rollback() {
  if (!impl_->in_transaction) return;
  const bool rolled_back = impl_->rolled_back;
  if (!impl_->broken && !impl_->run_plain("ROLLBACK", Phase::kQuery)) impl_->broken = true;
  impl_->in_transaction = false;
  impl_->rolled_back = rolled_back;  // Still the reason, for should_retry_transaction().
}

bool MysqlConnection::broken() const {
  return impl_->broken;
}
bool MysqlConnection::in_transaction() const {
  return impl_->in_transaction;
}
bool MysqlConnection::should_retry_transaction() const {
  return impl_->rolled_back;
}
std::size_t MysqlConnection::statement_bytes_max() const {
  return impl_->bytes_max;
}

}  // namespace sluice
