#include "common/mysql/fault.h"

#include <charconv>

#include "common/mysql/mysql.h"

namespace sluice::mysql {

namespace {

constexpr std::string_view kPrefix = "mysql ";
constexpr std::string_view kDuplicate = "duplicate value for unique key ";

// Error numbers that both servers share, by what they ask of the caller.
bool is_transport(int number) {
  if (number >= 2000 && number < 3000) return true;  // Raised by the client library.
  switch (number) {
    case 1053:  // Server shutdown in progress.
    case 1077:
    case 1079:
    case 1080:  // Forcing close of the thread.
    case 1152:
    case 1158:  // Errors of reading and writing packets.
    case 1159:
    case 1160:
    case 1161:
    case 1184:
    case 1927:  // MariaDB: connection was killed.
    case 3169:  // MySQL: session was killed.
    case 4031:  // MySQL: disconnected for inactivity.
      return true;
    default:
      return false;
  }
}

bool is_rolled_back(int number) {
  switch (number) {
    case 1020:  // MariaDB: record has changed since last read.
    case 1205:  // Lock wait timeout.
    case 1213:  // Deadlock.
    case 1412:  // Table definition has changed.
    case 1479:
    case 1614:  // Transaction branch was rolled back: deadlock.
    case 3101:  // Group replication rolled back during commit.
      return true;
    default:
      return false;
  }
}

// Messages that quote what was sent to the server: values, or a piece of the statement.
bool quotes_data(int number) {
  switch (number) {
    case 1064:
    case 1149:
    case 1292:
    case 1366:
    case 1367:
    case 1411:
    case 1525:
    case 3140:  // Invalid JSON text.
    case 4038:
      return true;
    default:
      return false;
  }
}

std::string describe(int number, std::string_view text) {
  std::string message = std::string(kPrefix) + std::to_string(number);
  if (number == 1366) {
    // "Incorrect string value: '…' for column `db`.`t`.`c` at row 1": the place is ours, the value is not.
    if (const auto at = text.rfind("' for column "); at != std::string_view::npos) {
      return message.append(": incorrect value").append(text.substr(at + 1));
    }
  }
  if (!quotes_data(number)) message.append(": ").append(text);
  return message;
}

// "Duplicate entry '…' for key 'job.PRIMARY'": the value may hold anything, so the key is looked for from the
// end; a quote in the key's name itself would be doubled, and ours have none.
std::string key_name(std::string_view text) {
  if (text.empty() || text.back() != '\'') return "unknown";
  text.remove_suffix(1);
  const auto quote = text.rfind('\'');
  if (quote == std::string_view::npos) return "unknown";
  text.remove_prefix(quote + 1);
  // MySQL 8 puts the table in front.
  if (const auto dot = text.rfind('.'); dot != std::string_view::npos) text.remove_prefix(dot + 1);
  return std::string(text);
}

ErrorCode code_of(int number) {
  switch (number) {
    case 1048:  // Column can't be null.
    case 1216:
    case 1217:
    case 1230:
    case 1264:  // Out of range.
    case 1267:  // Text compared with a column whose character set has no such letters.
    case 1265:  // Data truncated.
    case 1292:
    case 1300:  // Invalid character string.
    case 1364:  // No default.
    case 1366:
    case 1406:  // Data too long.
    case 1411:
    case 1451:
    case 1452:  // Foreign keys.
    case 1690:  // Out of range in an expression.
    case 3140:
    case 3819:  // MySQL: check constraint.
    case 4025:  // MariaDB: check constraint.
    case 4038:
      return ErrorCode::kInvalid;
    case 1022:
    case 1062:
    case 1169:
    case 1586:
      return ErrorCode::kConflict;
    case 1021:  // Disk full.
    case 1037:
    case 1038:
    case 1041:  // Out of memory, of sort memory.
    case 1114:  // Table full.
    case 1206:  // Too many locks.
      return ErrorCode::kExhausted;
    case 1317:  // Interrupted by an operator.
    case 1040:  // Too many connections.
    case 1043:
    case 1044:
    case 1045:  // Access denied.
    case 1049:  // Unknown database.
    case 1129:
    case 1130:
    case 1203:  // Too many connections of this user.
    case 1226:
    case 1290:  // Read only: it became a replica.
    case 1836:
      return ErrorCode::kUnavailable;
    case 1969:  // MariaDB: max_statement_time.
    case 3024:  // MySQL: max_execution_time.
      return ErrorCode::kDeadline;
    default:
      return ErrorCode::kInternal;
  }
}

}  // namespace

Fault classify(int number, std::string_view text, Phase phase) {
  Fault fault;
  const bool rolled_back = is_rolled_back(number);
  if (phase == Phase::kConnect) {
    fault.error = Error{ErrorCode::kUnavailable, describe(number, text)};
    fault.broken = true;
    return fault;
  }
  if (phase == Phase::kCommit) {
    // Unless the server said that it undid everything, nobody knows.
    fault.error =
        Error{rolled_back ? ErrorCode::kUnavailable : ErrorCode::kOutcomeUnknown, describe(number, text)};
    fault.broken = !rolled_back;
    fault.retry_transaction = rolled_back;
    return fault;
  }
  // A packet over the limit: the client library refuses it, or the server does and hangs up. Both say what is
  // wrong, and repeating it would not help.
  if (number == 1153 || number == 2020) {
    fault.error = Error{ErrorCode::kInvalid, "the statement is larger than the server's max_allowed_packet"};
    fault.broken = true;
    return fault;
  }
  if (is_transport(number)) {
    fault.broken = true;
    fault.error.code = phase == Phase::kExecute ? ErrorCode::kOutcomeUnknown : ErrorCode::kUnavailable;
    fault.error.message = describe(number, text);
    return fault;
  }
  if (rolled_back) {
    fault.retry_transaction = true;
    fault.error = Error{ErrorCode::kUnavailable, describe(number, text)};
    return fault;
  }
  fault.error.code = code_of(number);
  // A server that turned read only is left for its successor.
  fault.broken = number == 1290 || number == 1836;
  fault.error.message = fault.error.code == ErrorCode::kConflict ? std::string(kDuplicate) + key_name(text)
                                                                 : describe(number, text);
  return fault;
}

}  // namespace sluice::mysql

namespace sluice {

std::string_view duplicate_key(const Error& error) {
  std::string_view message = error.message;
  if (error.code != ErrorCode::kConflict || !message.starts_with(mysql::kDuplicate)) return {};
  return message.substr(mysql::kDuplicate.size());
}

int server_error_number(const Error& error) {
  std::string_view message = error.message;
  if (!message.starts_with(mysql::kPrefix)) return 0;
  message.remove_prefix(mysql::kPrefix.size());
  int number = 0;
  std::from_chars(message.data(), message.data() + message.size(), number);
  return number;
}

}  // namespace sluice
