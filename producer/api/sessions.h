// Conversations that clients go on with by a name alone: what was said so far is put before the request's own
// messages, so that the job that is stored asks for all of it.
//
// A turn that is sent again is known by its Idempotency-Key alone: short messages are often equal, and an
// equal one is mostly the next turn. Said twice it can be seen; answered with an earlier turn's answer it is
// lost.
//
// A turn that brought no answer (cancelled, failed, expired) is left out, with what it asked: the next one
// goes on from the turn before it, and takes its number.
//
// Safe for concurrent use. What it is given must outlive it.
#pragma once

#include <cstdint>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "common/base/clock.h"
#include "common/http/message.h"
#include "common/store/job_store.h"
#include "common/store/session_store.h"
#include "producer/api/request_claims.h"
#include "producer/api/submit_request.h"
#include "producer/wait/job_reader.h"

namespace sluice::producer {

// In whatever answers a request that named a session: "new; turn=1", "continued; turn=2".
inline constexpr const char* kSessionHeader = "X-Sluice-Session";

struct SessionsConfig {
  std::chrono::seconds keep{900};  // From the acceptance of the last turn on.
};

struct SessionRefusal {
  std::string code;
  http::Response answer;
};

class Sessions {
 public:
  Sessions(SessionStore& sessions, JobStore& jobs, JobReader& reader, SessionsConfig config)
      : sessions_(sessions), jobs_(jobs), reader_(reader), config_(config) {}

  // Puts the conversation of `spec.session_id` into `spec`, measures it anew, and answers what goes into the
  // submission. Refused: 409 while the last turn hasn't ended, 400 if it has become too long, 503 where the
  // database can't tell.
  tl::expected<SessionTurn, SessionRefusal> continue_with(const TenantId& tenant, JobSpec& spec,
                                                          Deadline deadline) const;
  // The header of the turn that made this job; empty: it is none, or can't be read.
  std::string header_of(const TenantId& tenant, const JobId& id, Deadline deadline) const;

 private:
  struct Earlier {
    SessionTurn turn;
    std::vector<RequestMessage> messages;
  };
  tl::expected<Earlier, SessionRefusal> read(const TenantId& tenant, const std::string& session_id,
                                             Deadline deadline) const;

  SessionStore& sessions_;
  JobStore& jobs_;
  JobReader& reader_;
  const SessionsConfig config_;
};

// How RequestClaims tell a request's repetition, if it is a turn and if it isn't.
inline RequestClaims::KnownBy claims_of_turn(bool is_turn) {
  return is_turn ? RequestClaims::KnownBy::kKeyAlone : RequestClaims::KnownBy::kKeyOrBody;
}
// "continued; turn=2".
std::string session_header(const SessionTurn& turn);
// 409 with Retry-After: another turn is under way. An SDK is told not to repeat the request by itself: if it
// does so since an answer was lost on the way, the turn under way is its own, and would be said twice.
http::Response session_busy();
// `earlier` goes behind the system messages that `own` begins with, and before the rest. If `own` has such,
// those that `earlier` begins with are left out.
void put_before(std::vector<RequestMessage> earlier, std::vector<RequestMessage>& own);

}  // namespace sluice::producer
