// Reading what operators ask for: query parameters, and the bodies that choose dead letters.
//
// Pure functions.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "common/http/message.h"
#include "common/store/dead_letter_store.h"
#include "common/store/operation_store.h"
#include "producer/api/query.h"
#include "producer/api/submit_request.h"

namespace sluice::producer {

inline constexpr std::size_t kLetterIdsMax = 1000;

// Query parameters of a route, each known and given at most once.
class QueryReader {
 public:
  explicit QueryReader(const http::RequestHead& head) : head_(head) {}
  // The value, or null; each name may be asked for once.
  const std::string* take(std::string_view name);
  void refuse(std::string_view name, std::string message);
  // `limit`, 1 to 100 with 20 as the default.
  int take_limit(int limit_max = kListLimitMax);
  // An id of that kind, or empty.
  template <class T>
  T take_id(std::string_view name, std::string_view prefix) {
    const std::string* value = take(name);
    if (value == nullptr) return {};
    if (!is_well_formed_id(*value, prefix))
      refuse(name, "must be an id that begins with " + std::string(prefix));
    return T{*value};
  }
  // What is wrong: the first that was refused, a parameter given twice, or one that nobody asked for.
  std::optional<BadQuery> finish() const;

 private:
  const http::RequestHead& head_;
  std::vector<std::string> taken_;
  std::optional<BadQuery> bad_;
};

// The filter's members as query parameters.
DeadLetterFilter take_filter(QueryReader& query);

// Where a list of letters goes on: "job_…:2" is one end of a job, "job_…" its last one.
std::optional<LetterRef> take_letter(QueryReader& query, std::string_view name);
inline std::string letter_cursor(const DeadLetter& letter) {
  return letter_ref_text({letter.job_id, letter.generation});
}

// `action` of the audit log: one ("dead_letters.redrive"), or with a dot at its end all of a kind; empty =
// not given.
std::string take_action(QueryReader& query);

struct LettersAsked {
  NewOperation operation;
  bool dry_run = false;
};
// {"ids": […]} or {"filter": {…}} or {"all": true}, exactly one, and beside it "dry_run"; for a redrive also
// "canary", "rate", "force", "expires_in".
tl::expected<LettersAsked, SubmitRefusal> read_letters_asked(std::string_view body, OperationKind kind);

}  // namespace sluice::producer
