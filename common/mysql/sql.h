// One SQL statement in the making: text written by us, values written by anybody.
//
// A value enters a statement only through this class, which renders it as a literal that no content can break
// out of. The text parts must be literals of our own source. Placeholders and running text mix freely:
//
//   Sql sql("SELECT state FROM job WHERE id = ? AND generation = ?");
//   sql.bind(id.value).bind(generation);
//
//   Sql insert("INSERT INTO job (id, tenant, run_after) VALUES ");
//   for (const Job& job : jobs) insert.row(job.id.value, job.tenant.value, std::nullopt);
//
//   Sql many("SELECT id FROM job WHERE id IN ");
//   many.list(ids).text(" ORDER BY id FOR UPDATE");
//
// Values: std::string_view and whatever converts to it (text, must be UTF-8), integers, bool, double,
// SqlBytes (any bytes), std::nullopt or nullptr (NULL), and std::optional of these.
//
// A value type; not safe for concurrent use. A misuse (more or fewer values than placeholders, a number that
// is not finite, an empty list) is remembered, and the statement is then refused with kInternal.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

#include "common/base/result.h"

namespace sluice {

// Bytes of any kind for BINARY and BLOB columns; `value` is borrowed until the call that takes it returns.
struct SqlBytes {
  std::string_view value;
};

class Sql {
 public:
  Sql() = default;
  explicit Sql(std::string_view text) : pending_(text) {}

  // A whole statement of ours, such as a migration file: question marks in it mean nothing.
  static Sql verbatim(std::string_view text) {
    Sql sql;
    sql.out_ = text;
    return sql;
  }

  // Appends text of ours. A question mark in it is a placeholder.
  Sql& text(std::string_view text) {
    pending_.append(text);
    return *this;
  }
  // Fills the next placeholder.
  template <class T>
  Sql& bind(const T& value) {
    if (open_placeholder()) write(value);
    return *this;
  }
  // Appends a value where the text stands now.
  template <class T>
  Sql& param(const T& value) {
    flush();
    write(value);
    return *this;
  }
  // Appends `(a, b, c)`, after a comma if a row stands right before it.
  template <class... T>
  Sql& row(const T&... values) {
    const bool follows_row = pending_.empty() && !out_.empty() && row_end_ == out_.size();
    flush();
    out_.append(follows_row ? ",(" : "(");
    std::size_t index = 0;
    ((index++ == 0 ? void() : void(out_.push_back(',')), write(values)), ...);
    out_.push_back(')');
    row_end_ = out_.size();
    return *this;
  }
  // Appends `(a,b,c)` for IN. `IN ()` is not SQL: ask nothing instead of passing an empty range.
  template <class Range>
  Sql& list(const Range& values) {
    flush();
    out_.push_back('(');
    bool first = true;
    for (const auto& value : values) {
      if (!first) out_.push_back(',');
      first = false;
      write(value);
    }
    out_.push_back(')');
    if (first) misuse("an empty list");
    return *this;
  }

  // About how many bytes the statement has: mind max_allowed_packet.
  std::size_t size() const { return out_.size() + pending_.size() - pending_at_; }
  // The finished statement. kInternal: it was misused, see above.
  Result<std::string> statement() const;

 private:
  bool open_placeholder();  // Moves the text before the next placeholder to `out_`.
  void flush();             // Moves all pending text to `out_`.
  void misuse(std::string_view what);

  void write(std::nullopt_t) { out_.append("NULL"); }
  void write(std::nullptr_t) { out_.append("NULL"); }
  void write(bool value) { out_.push_back(value ? '1' : '0'); }
  template <std::signed_integral T>
  void write(T value) {
    write_signed(static_cast<std::int64_t>(value));
  }
  template <std::unsigned_integral T>
  requires(!std::same_as<T, bool>) void write(T value) { write_unsigned(static_cast<std::uint64_t>(value)); }
  void write(double value);
  void write(SqlBytes value);
  template <class T>
  requires std::convertible_to<const T&, std::string_view>
  void write(const T& value) { write_text(std::string_view(value)); }
  template <class T>
  void write(const std::optional<T>& value) {
    if (value) {
      write(*value);
    } else {
      write(std::nullopt);
    }
  }
  void write_signed(std::int64_t value);
  void write_unsigned(std::uint64_t value);
  void write_text(std::string_view value);

  std::string out_;      // Finished.
  std::string pending_;  // Text whose placeholders are still to be filled, from `pending_at_` on.
  std::size_t pending_at_ = 0;
  std::size_t row_end_ = 0;
  std::string misuse_;
};

}  // namespace sluice
