// AnswerStore on table `answer`.
#pragma once

#include "common/mysql/mysql.h"
#include "common/store/answer_store.h"

namespace sluice {

class MysqlAnswerStore final : public AnswerStore {
 public:
  explicit MysqlAnswerStore(MysqlPool& pool) : pool_(pool) {}  // `pool` must outlive the store.
  Result<std::optional<Answer>> find_answer(const TenantId& tenant, const std::string& key,
                                            Deadline deadline) override;
  Result<int> forget_answers(int limit, Deadline deadline) override;

 private:
  MysqlPool& pool_;
};

}  // namespace sluice
