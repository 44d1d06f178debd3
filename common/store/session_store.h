// Conversations that go on without being sent again: where each of them stands.
//
// A session's row names the job of its last turn. It is written in the transaction that accepts that job
// (JobStore::submit), and only if the session still stands where its reader found it, so that of two turns at
// once one is refused and none is lost. Sessions are each tenant's own.
//
// Safe for concurrent use. Errors as in job_store.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/ids/ids.h"

namespace sluice {

struct SessionRecord {
  JobId job;              // Of the last turn.
  JobId base;             // The turn that it went on from; empty: it began the conversation.
  std::int64_t turn = 1;  // Number of the last turn, from 1.
  bool operator==(const SessionRecord&) const = default;
};

// What a job that is to be accepted is to its session.
struct SessionTurn {
  std::string session_id;  // 1 to 64 of [A-Za-z0-9._-].
  JobId after;             // The last turn as it was read; empty: there was no such session.
  JobId base;              // As in SessionRecord, of the new job.
  std::int64_t turn = 1;
  std::int64_t keep_s = 900;  // From its acceptance on.
  // Filled in by JobStore::submit() with kConflict: another turn was faster, or the session is gone.
  bool overtaken = false;
};

class SessionStore {
 public:
  virtual ~SessionStore() = default;
  // Nullopt: there is none, or its time is over.
  virtual Result<std::optional<SessionRecord>> find_session(const TenantId& tenant,
                                                            const std::string& session_id,
                                                            Deadline deadline) = 0;
  // Deletes up to `limit` rows whose time is over. Answers their number.
  virtual Result<int> forget_sessions(int limit, Deadline deadline) = 0;
};

}  // namespace sluice
