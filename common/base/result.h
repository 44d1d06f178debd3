// The one error type and the one result type of sluice.
//
// Expected failures (timeouts, bad input, a lost lease) are returned as `Result`; a broken invariant aborts
// (check.h). The code of an error says what its caller does next; the message is for people.
#pragma once

#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace sluice {

enum class ErrorCode {
  kInvalid,         // The request itself is wrong: reject, never retry.
  kNotFound,        // There is no such thing: reject.
  kConflict,        // The state moved on (lost lease, lost race): drop the work.
  kExhausted,       // A limit is reached (queue, memory, connections): retry later.
  kUnavailable,     // A dependency can't be reached and nothing was done: retry.
  kOutcomeUnknown,  // It may or may not have been done: read back, or repeat an idempotent step.
  kDeadline,        // The deadline passed before the work began: retry.
  kCancelled,       // Somebody asked for it to stop: stop.
  kCorrupt,         // Stored or received data is broken: stop and show it.
  kInternal,        // A defect or an unexpected answer: stop and show it.
};

std::string_view error_code_name(ErrorCode code);

struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;
};

template <class T>
using Result = tl::expected<T, Error>;
using Status = Result<void>;

inline tl::unexpected<Error> fail(ErrorCode code, std::string message) {
  return tl::unexpected<Error>(Error{code, std::move(message)});
}
inline tl::unexpected<Error> fail(Error error) {
  return tl::unexpected<Error>(std::move(error));
}

}  // namespace sluice

// Returns the error of `expression` from the enclosing function, if it has one.
#define SLUICE_TRY(expression)                                                           \
  do {                                                                                   \
    auto sluice_try_status = (expression);                                               \
    if (!sluice_try_status) return ::sluice::fail(std::move(sluice_try_status).error()); \
  } while (false)

#define SLUICE_CONCAT_INNER(a, b) a##b
#define SLUICE_CONCAT(a, b) SLUICE_CONCAT_INNER(a, b)

// SLUICE_ASSIGN(auto x, make_x()); returns the error, or binds the value.
#define SLUICE_ASSIGN(target, expression) \
  SLUICE_ASSIGN_INNER(SLUICE_CONCAT(sluice_result_, __LINE__), target, expression)
#define SLUICE_ASSIGN_INNER(name, target, expression)        \
  auto name = (expression);                                  \
  if (!name) return ::sluice::fail(std::move(name).error()); \
  target = std::move(*name)
