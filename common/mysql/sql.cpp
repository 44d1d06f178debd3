#include "common/mysql/sql.h"

#include <charconv>
#include <cmath>

namespace sluice {

namespace {

// Bytewise escaping is safe in utf8mb4: no byte of a longer character is below 0x80, so a quote or backslash
// byte is always that character. The session pins sql_mode, so that backslash escapes mean what is written
// here.
void append_escaped(std::string& out, std::string_view value) {
  std::size_t plain_from = 0;
  for (std::size_t i = 0; i < value.size(); ++i) {
    char escape;
    switch (value[i]) {
      case '\0':
        escape = '0';
        break;
      case '\n':
        escape = 'n';
        break;
      case '\r':
        escape = 'r';
        break;
      case '\x1a':
        escape = 'Z';
        break;
      case '\'':
      case '"':
      case '\\':
        escape = value[i];
        break;
      default:
        continue;
    }
    out.append(value, plain_from, i - plain_from);
    out.push_back('\\');
    out.push_back(escape);
    plain_from = i + 1;
  }
  out.append(value, plain_from);
}

template <class T>
void append_number(std::string& out, T value) {
  char digits[32];
  const auto end = std::to_chars(digits, digits + sizeof digits, value);
  out.append(digits, end.ptr);
}

}  // namespace

Result<std::string> Sql::statement() const {
  if (!misuse_.empty()) return fail(ErrorCode::kInternal, "misused statement: " + misuse_);
  if (pending_.find('?', pending_at_) != std::string::npos) {
    return fail(ErrorCode::kInternal, "misused statement: a placeholder without a value");
  }
  std::string whole;
  whole.reserve(size());
  whole.append(out_).append(pending_, pending_at_);
  return whole;
}

bool Sql::open_placeholder() {
  const auto at = pending_.find('?', pending_at_);
  if (at == std::string::npos) {
    misuse("more values than placeholders");
    return false;
  }
  out_.append(pending_, pending_at_, at - pending_at_);
  pending_at_ = at + 1;
  return true;
}

void Sql::flush() {
  if (pending_.find('?', pending_at_) != std::string::npos) {
    misuse("a value after a placeholder that has none yet");
  }
  out_.append(pending_, pending_at_);
  pending_.clear();
  pending_at_ = 0;
}

void Sql::misuse(std::string_view what) {
  if (misuse_.empty()) misuse_ = what;
}

void Sql::write(double value) {
  if (!std::isfinite(value)) return misuse("a number that is not finite");
  // The shortest digits that read back as the same double; the exponent makes the server take it as a double
  // and not as an exact decimal.
  char digits[40];
  const auto end = std::to_chars(digits, digits + sizeof digits, value, std::chars_format::scientific);
  out_.append(digits, end.ptr);
}

void Sql::write(SqlBytes value) {
  static constexpr char kHex[] = "0123456789abcdef";
  out_.reserve(out_.size() + 2 * value.value.size() + 3);
  out_.append("x'");
  for (const char c : value.value) {
    const auto byte = static_cast<unsigned char>(c);
    out_.push_back(kHex[byte >> 4]);
    out_.push_back(kHex[byte & 15]);
  }
  out_.push_back('\'');
}

void Sql::write_signed(std::int64_t value) {
  append_number(out_, value);
}

void Sql::write_unsigned(std::uint64_t value) {
  append_number(out_, value);
}

void Sql::write_text(std::string_view value) {
  out_.push_back('\'');
  append_escaped(out_, value);
  out_.push_back('\'');
}

}  // namespace sluice
