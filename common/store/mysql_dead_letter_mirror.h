// DeadLetterMirror on MySQL or MariaDB. `pool` must outlive it.
#pragma once

#include "common/mysql/mysql.h"
#include "common/store/dead_letter_mirror.h"

namespace sluice {

class MysqlDeadLetterMirror final : public DeadLetterMirror {
 public:
  explicit MysqlDeadLetterMirror(MysqlPool& pool) : pool_(pool) {}
  Result<LettersToSend> begin_sending(int limit, Deadline deadline) override;
  Result<std::vector<LetterRef>> stale_letters(int limit, Deadline deadline) override;
  Status mark_letters(std::span<const LetterRef> letters, bool shown, Deadline deadline) override;
  Result<std::vector<LetterRef>> unhandled_letters(std::span<const LetterRef> letters,
                                                   Deadline deadline) override;
  Result<int> forget_shown(int limit, Deadline deadline) override;

 private:
  MysqlPool& pool_;
};

}  // namespace sluice
