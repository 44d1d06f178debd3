// Internal to the MySQL stores: equal requests run once. Rows of `answer` and `follower`, inside the caller's
// transaction; docs/adr/0015-equal-requests-run-once.md tells why it is lossless.
//
// Locks are taken in one order: rows of jobs that end, then of `answer` by key, then of the jobs that follow.
// Who accepts jobs takes `answer` first, and of existing jobs none.
#pragma once

#include <deque>
#include <span>
#include <vector>

#include "common/store/job_rows.h"

namespace sluice::store {

// Decides for each job with a key whether it leads, follows, or is answered: sets leader_id or answer.
Status join_answers(MysqlConnection& db, const DbNow& now, std::span<Submission> submissions,
                    Deadline deadline);
// After the rows of the jobs.
Status insert_followers(MysqlConnection& db, const DbNow& now, std::span<const Submission> submissions,
                        Deadline deadline);
// Ends those that have an answer; after the rows of the jobs.
Status end_answered(MysqlConnection& db, const DbNow& now, std::span<const Submission> submissions,
                    IdMaker& ids, Deadline deadline);

// For write_changes(), before it writes: what the ends among `changes` mean for others. Of a leader that
// succeeded some followers are added to `changes` (their jobs to `followers`), the others are looked for
// soon; of one that didn't the first follower runs in its place.
Status settle_answers(MysqlConnection& db, const DbNow& now, std::vector<Change>& changes,
                      std::deque<LockedJob>& followers, Deadline deadline);

// The result of a job that ended is given to nobody any more. kUnavailable: some still wait for it.
Status forget_answer(MysqlConnection& db, const LockedJob& ended, Deadline deadline);

// Followers whose time to look has come. Answers how many ended or now run.
Result<int> settle_due_followers(MysqlConnection& db, const DbNow& now, int limit, IdMaker& ids,
                                 Deadline deadline);

}  // namespace sluice::store
