#include "common/store/mysql_dead_letter_mirror.h"

#include <algorithm>
#include <map>

#include "common/store/dead_letter_rows.h"

namespace sluice {

namespace {

std::vector<LetterRef> refs_of(const Rows& rows) {
  std::vector<LetterRef> letters;
  letters.reserve(rows.size());
  for (const Row row : rows) letters.push_back(LetterRef{JobId{row.str(0)}, row.int64(1)});
  return letters;
}

Status set_mirrored(MysqlConnection& db, std::span<const LetterRef> letters, std::string_view mirrored,
                    Deadline deadline) {
  std::map<std::int64_t, std::vector<std::string_view>> groups;  // By generation, mostly one.
  for (const LetterRef& letter : letters) groups[letter.generation].push_back(letter.job_id.value);
  for (auto& [generation, ids] : groups) {
    std::sort(ids.begin(), ids.end());
    Sql sql("UPDATE dead_letter SET mirrored = ? WHERE generation = ? AND job_id IN ");
    sql.bind(mirrored).bind(generation).list(ids);
    if (auto done = db.execute(sql, deadline); !done) return fail(std::move(done).error());
  }
  return {};
}

}  // namespace

Result<LettersToSend> MysqlDeadLetterMirror::begin_sending(int limit, Deadline deadline) {
  return pool_.transaction(deadline, [&](MysqlConnection& db) -> Result<LettersToSend> {
    LettersToSend sending;
    for (const std::string_view mirrored : {"perhaps", "no"}) {
      const int left = limit - static_cast<int>(sending.letters.size());
      if (left <= 0) break;
      Sql sql(store::kSelectLetter);
      sql.text("WHERE d.mirrored = ? AND d.state = 'dead' ORDER BY d.job_id LIMIT ? FOR UPDATE SKIP LOCKED")
          .bind(mirrored)
          .bind(left);
      SLUICE_ASSIGN(const Rows rows, db.query(sql, deadline));
      for (const Row row : rows) sending.letters.push_back(store::read_letter(row));
      sending.again = sending.again || (mirrored == "perhaps" && rows.size() > 0);
    }
    std::vector<LetterRef> refs;
    for (const DeadLetter& letter : sending.letters) refs.push_back({letter.job_id, letter.generation});
    SLUICE_TRY(set_mirrored(db, refs, "perhaps", deadline));
    return sending;
  });
}

Result<std::vector<LetterRef>> MysqlDeadLetterMirror::stale_letters(int limit, Deadline deadline) {
  Sql sql(
      "SELECT job_id, generation FROM dead_letter WHERE mirrored IN ('perhaps', 'yes') AND state IN "
      "('redriven', "
      "'replayed', "
      "'discarded') LIMIT ?");
  sql.bind(limit);
  SLUICE_ASSIGN(const Rows rows, pool_.query(sql, deadline));
  return refs_of(rows);
}

Status MysqlDeadLetterMirror::mark_letters(std::span<const LetterRef> letters, bool shown,
                                           Deadline deadline) {
  auto done = pool_.transaction(deadline, [&](MysqlConnection& db) -> Result<bool> {
    SLUICE_TRY(set_mirrored(db, letters, shown ? "yes" : "no", deadline));
    return true;
  });
  if (!done) return fail(std::move(done).error());
  return {};
}

Result<std::vector<LetterRef>> MysqlDeadLetterMirror::unhandled_letters(std::span<const LetterRef> letters,
                                                                        Deadline deadline) {
  if (letters.empty()) return std::vector<LetterRef>();
  std::vector<std::string_view> ids;
  for (const LetterRef& letter : letters) ids.push_back(letter.job_id.value);
  Sql sql("SELECT job_id, generation FROM dead_letter WHERE state = 'dead' AND job_id IN ");
  sql.list(ids);
  SLUICE_ASSIGN(const Rows rows, pool_.query(sql, deadline));
  std::vector<LetterRef> unhandled = refs_of(rows);
  std::erase_if(unhandled, [&](const LetterRef& letter) {
    return std::find(letters.begin(), letters.end(), letter) == letters.end();
  });
  return unhandled;
}

Result<int> MysqlDeadLetterMirror::forget_shown(int limit, Deadline deadline) {
  Sql select("SELECT job_id, generation FROM dead_letter WHERE mirrored = 'yes' AND state = 'dead' LIMIT ?");
  select.bind(limit);
  SLUICE_ASSIGN(const Rows rows, pool_.query(select, deadline));
  const std::vector<LetterRef> letters = refs_of(rows);
  SLUICE_TRY(mark_letters(letters, false, deadline));
  return static_cast<int>(letters.size());
}

}  // namespace sluice
