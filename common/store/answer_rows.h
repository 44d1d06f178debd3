// Internal to the MySQL stores: equal requests run once. Rows of `answer` and `follower`, inside the caller's
// transaction; docs/adr/0015-equal-requests-run-once.md tells why it is lossless.
//
// Locks are taken in one order: rows of jobs that end, then of `answer` by key, then of the jobs that follow.
// Who accepts jobs takes `answer` first, and of existing jobs none; who settles what is left takes one row of
// `answer` and its followers.
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
Status insert_followers(MysqlConnection& db, std::span<const Submission> submissions, Deadline deadline);
// Ends those that have an answer; after the rows of the jobs.
Status end_answered(MysqlConnection& db, const DbNow& now, std::span<const Submission> submissions,
                    IdMaker& ids, Deadline deadline);

// For write_changes(), before it writes: what the ends among `changes` mean for others. A portion of those
// who follow is added to `changes` (their jobs to `followers`); what is left falls due for settle_next().
Status settle_answers(MysqlConnection& db, const DbNow& now, std::vector<Change>& changes,
                      std::deque<LockedJob>& followers, Deadline deadline);

// Goes on with one key that is due, the longest due first. Answers how many followers ended or now run by
// themselves; nullopt: none is due.
Result<std::optional<int>> settle_next(MysqlConnection& db, const DbNow& now, IdMaker& ids,
                                       Deadline deadline);

// The result of a job that ended is given to nobody any more. kUnavailable: some still wait for it.
Status forget_answer(MysqlConnection& db, const LockedJob& ended, Deadline deadline);

}  // namespace sluice::store
