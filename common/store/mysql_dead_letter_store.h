// DeadLetterStore on MySQL or MariaDB. `pool` and `ids` must outlive it.
#pragma once

#include "common/mysql/mysql.h"
#include "common/store/dead_letter_store.h"

namespace sluice {

class MysqlDeadLetterStore final : public DeadLetterStore {
 public:
  // `rules` are those of new jobs.
  MysqlDeadLetterStore(MysqlPool& pool, IdMaker& ids, JobRules rules)
      : pool_(pool), ids_(ids), rules_(rules) {}

  Result<std::vector<DeadLetter>> list_letters(const DeadLetterQuery& query, Deadline deadline) override;
  Result<std::vector<DeadLetterGroup>> group_letters(const DeadLetterFilter& filter, int limit,
                                                     Deadline deadline) override;
  Result<DeadLetterCount> count_letters(const DeadLetterFilter& filter, int redrives_max,
                                        Deadline deadline) override;
  Result<DeadLetterDetail> show_letter(const JobId& id, Deadline deadline) override;
  Result<std::vector<DeadLetterDetail>> expand_letters(std::span<const JobId> ids,
                                                       Deadline deadline) override;
  Status replay_letter(const LetterRef& letter, NewJob& fresh, const Actor& actor, std::string changes_json,
                       Deadline deadline) override;
  Result<std::vector<LetterRef>> due_copies(int limit, Deadline deadline) override;
  Status mark_copies(std::span<const LetterRef> jobs, Deadline deadline) override;

 private:
  MysqlPool& pool_;
  IdMaker& ids_;
  const JobRules rules_;
};

}  // namespace sluice
