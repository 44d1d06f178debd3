#include "common/text/jinja_lexer.h"

#include <array>
#include <charconv>
#include <optional>

#include "common/text/unicode.h"

namespace sluice::jinja {
namespace {

bool is_space(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_name_start(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
bool is_name(char c) {
  return is_name_start(c) || is_digit(c);
}

// Line ends become "\n", and one at the very end is dropped.
std::string normalised(std::string_view source) {
  std::string text;
  text.reserve(source.size());
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      text += source[i];
      continue;
    }
    text += '\n';
    if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
  }
  if (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(source) {}

  Result<std::vector<Token>> run() {
    while (at_ < source_.size()) SLUICE_TRY(lex_text_and_tag());
    emit(TokenKind::kEnd, {});
    return std::move(tokens_);
  }

 private:
  bool looking_at(std::string_view text) const { return source_.substr(at_).starts_with(text); }
  char peek(std::size_t ahead = 0) const {
    return at_ + ahead < source_.size() ? source_[at_ + ahead] : '\0';
  }

  // Positions are asked for in ascending order only, so each newline is counted once.
  Position position(std::size_t at) {
    for (; counted_ < at; ++counted_) {
      if (source_[counted_] == '\n') {
        ++line_;
        line_start_ = counted_ + 1;
      }
    }
    return {line_, static_cast<std::uint32_t>(at - line_start_ + 1)};
  }
  void emit(TokenKind kind, std::string text) { tokens_.push_back({kind, std::move(text), position(at_)}); }
  tl::unexpected<Error> error(std::string_view message) { return error_at(position(at_), message); }

  void emit_text(std::string_view text) {
    if (!text.empty()) emit(TokenKind::kText, std::string(text));
  }

  static std::string_view without_trailing_space(std::string_view text) {
    while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
    return text;
  }

  // The text before a tag that starts with `sign` ('-', '+' or none).
  std::string_view text_before_tag(std::string_view text, char sign, bool output) const {
    if (sign == '-') return without_trailing_space(text);
    if (sign == '+' || output) return text;
    const std::size_t newline = text.rfind('\n');
    if (newline == std::string_view::npos && !line_starting_) return text;
    const std::size_t line = newline == std::string_view::npos ? 0 : newline + 1;
    for (std::size_t i = line; i < text.size(); ++i) {
      if (!is_space(text[i])) return text;
    }
    return text.substr(0, line);
  }

  // Past the end marker of a tag or comment at at_, which begins with an optional sign.
  void skip_end(bool output) {
    const char sign = peek();
    if (sign == '-' || sign == '+') ++at_;
    at_ += 2;
    line_starting_ = false;
    if (sign == '-') {
      while (is_space(peek())) ++at_;
    } else if (sign != '+' && !output && peek() == '\n') {
      ++at_;
      line_starting_ = true;
    }
  }

  Status lex_text_and_tag() {
    std::size_t open = source_.find('{', at_);
    while (open != std::string_view::npos) {
      const char next = open + 1 < source_.size() ? source_[open + 1] : '\0';
      if (next == '{' || next == '%' || next == '#') break;
      open = source_.find('{', open + 1);
    }
    const std::string_view text = source_.substr(at_, open == std::string_view::npos ? open : open - at_);
    if (open == std::string_view::npos) {
      emit_text(text);
      at_ = source_.size();
      return {};
    }
    const char type = source_[open + 1];
    char sign = open + 2 < source_.size() ? source_[open + 2] : '\0';
    if (sign != '-' && sign != '+') sign = '\0';
    emit_text(text_before_tag(text, sign, type == '{'));
    at_ = open;
    line_starting_ = false;
    const std::size_t marker = sign == '\0' ? 2 : 3;
    if (type == '#') return skip_comment(marker);
    if (type == '%') {
      if (const auto body = after_word(open + marker, "raw")) {
        if (const auto tag = end_of_tag(*body)) return lex_raw(*tag);
      }
    }
    emit(type == '{' ? TokenKind::kOutputBegin : TokenKind::kTagBegin, {});
    at_ += marker;
    return lex_inside(type == '{');
  }

  Status skip_comment(std::size_t marker) {
    const std::size_t end = source_.find("#}", at_ + marker);
    if (end == std::string_view::npos) return error("the comment has no end");
    const bool sign = end > at_ + marker && (source_[end - 1] == '-' || source_[end - 1] == '+');
    at_ = sign ? end - 1 : end;
    skip_end(false);
    return {};
  }

  // Where the text goes on if `word` stands at `at` (after spaces).
  std::optional<std::size_t> after_word(std::size_t at, std::string_view word) const {
    while (at < source_.size() && is_space(source_[at])) ++at;
    if (!source_.substr(at).starts_with(word)) return std::nullopt;
    at += word.size();
    if (at < source_.size() && is_name(source_[at])) return std::nullopt;
    return at;
  }
  // The end marker (with its sign) at `at`, after spaces.
  std::optional<std::size_t> end_of_tag(std::size_t at) const {
    while (at < source_.size() && is_space(source_[at])) ++at;
    const std::string_view rest = source_.substr(at);
    if (rest.starts_with("%}") || rest.starts_with("-%}") || rest.starts_with("+%}")) return at;
    return std::nullopt;
  }

  // {% raw %} … {% endraw %}: at the end marker of the first.
  Status lex_raw(std::size_t tag_end) {
    const std::size_t begin = at_;
    at_ = tag_end;
    // The newline after {% raw %} stays, unlike that after other tags.
    const bool strip = peek() == '-';
    at_ += peek() == '%' ? 2 : 3;
    while (strip && is_space(peek())) ++at_;
    for (std::size_t open = source_.find("{%", at_); open != std::string_view::npos;
         open = source_.find("{%", open + 2)) {
      const char sign = open + 2 < source_.size() ? source_[open + 2] : '\0';
      const bool signed_tag = sign == '-' || sign == '+';
      const auto word = after_word(open + (signed_tag ? 3 : 2), "endraw");
      const auto end = word ? end_of_tag(*word) : std::nullopt;
      if (!end) continue;
      emit_text(text_before_tag(source_.substr(at_, open - at_), signed_tag ? sign : '\0', false));
      at_ = *end;
      skip_end(false);
      return {};
    }
    at_ = begin;
    return error("'raw' has no 'endraw'");
  }

  // From behind {{ or {% up to and with its end.
  Status lex_inside(bool output) {
    const Position start = position(at_);
    const char close = output ? '}' : '%';
    std::vector<char> open;
    while (true) {
      while (is_space(peek())) ++at_;
      if (at_ >= source_.size()) return error_at(start, "the tag has no end");
      if (open.empty()) {
        const std::size_t sign = (peek() == '-' || (peek() == '+' && !output)) ? 1 : 0;
        if (peek(sign) == close && peek(sign + 1) == '}') {
          emit(output ? TokenKind::kOutputEnd : TokenKind::kTagEnd, {});
          skip_end(output);
          return {};
        }
      }
      const char c = peek();
      if (is_name_start(c)) {
        lex_name();
      } else if (is_digit(c)) {
        SLUICE_TRY(lex_number());
      } else if (c == '\'' || c == '"') {
        SLUICE_TRY(lex_string());
      } else {
        SLUICE_TRY(lex_operator(open));
      }
    }
  }

  void lex_name() {
    std::size_t end = at_;
    while (end < source_.size() && is_name(source_[end])) ++end;
    emit(TokenKind::kName, std::string(source_.substr(at_, end - at_)));
    at_ = end;
  }

  Status lex_number() {
    std::size_t end = at_;
    bool real = false;
    const auto digits = [&] {
      while (end < source_.size() &&
             (is_digit(source_[end]) ||
              (source_[end] == '_' && end + 1 < source_.size() && is_digit(source_[end + 1])))) {
        ++end;
      }
    };
    digits();
    if (end + 1 < source_.size() && source_[end] == '.' && is_digit(source_[end + 1])) {
      real = true;
      ++end;
      digits();
    }
    if (end < source_.size() && (source_[end] == 'e' || source_[end] == 'E')) {
      std::size_t exponent = end + 1;
      if (exponent < source_.size() && (source_[exponent] == '+' || source_[exponent] == '-')) ++exponent;
      if (exponent < source_.size() && is_digit(source_[exponent])) {
        real = true;
        end = exponent;
        digits();
      }
    }
    if (end < source_.size() && is_name(source_[end])) return error("this number is not supported");
    std::string text;
    for (std::size_t i = at_; i < end; ++i) {
      if (source_[i] != '_') text += source_[i];
    }
    emit(real ? TokenKind::kFloat : TokenKind::kInteger, std::move(text));
    at_ = end;
    return {};
  }

  Status lex_string() {
    const char quote = peek();
    std::string text;
    std::size_t i = at_ + 1;
    for (; i < source_.size() && source_[i] != quote; ++i) {
      if (source_[i] != '\\') {
        text += source_[i];
        continue;
      }
      if (++i >= source_.size()) break;
      SLUICE_TRY(lex_escape(i, text));
    }
    if (i >= source_.size()) return error("the string has no end");
    emit(TokenKind::kString, std::move(text));
    at_ = i + 1;
    return {};
  }

  // `i` is at the character after the backslash; left at the last one of the escape.
  Status lex_escape(std::size_t& i, std::string& text) {
    const char c = source_[i];
    static constexpr std::string_view kNames = "ntrabfv\\'\"";
    static constexpr std::string_view kMeanings = "\n\t\r\a\b\f\v\\'\"";
    if (const std::size_t known = kNames.find(c); known != std::string_view::npos) {
      text += kMeanings[known];
    } else if (c == '\n') {
      // A line that goes on.
    } else if (c == 'x' || c == 'u' || c == 'U') {
      const std::size_t count = c == 'x' ? 2 : c == 'u' ? 4 : 8;
      const std::string_view hex = source_.substr(i + 1, count);
      std::uint32_t code = 0;
      const char* const hex_end = hex.data() + hex.size();
      const auto [end, failed] = std::from_chars(hex.data(), hex_end, code, 16);
      const bool bad = hex.size() != count || failed != std::errc() || end != hex_end || code > 0x10FFFF;
      if (bad || (code >= 0xD800 && code <= 0xDFFF))
        return error("the string has an escape that is no character");
      utf8_append(text, code);
      i += count;
    } else if (c >= '0' && c <= '7') {
      std::uint32_t code = 0;
      std::size_t digits = 0;
      for (; digits < 3 && i + digits < source_.size() && source_[i + digits] >= '0' &&
             source_[i + digits] <= '7';
           ++digits) {
        code = code * 8 + static_cast<std::uint32_t>(source_[i + digits] - '0');
      }
      utf8_append(text, code);
      i += digits - 1;
    } else {
      text += '\\';
      text += c;
    }
    return {};
  }

  Status lex_operator(std::vector<char>& open) {
    static constexpr std::array<std::string_view, 26> kOperators = {
        "//", "**", "==", "!=", ">=", "<=", "+", "-", "*", "/", "%", "~", "[",
        "]",  "(",  ")",  "{",  "}",  ".",  ":", "|", ",", "=", "<", ">", ";"};
    for (const std::string_view candidate : kOperators) {
      if (!looking_at(candidate)) continue;
      const char c = candidate.front();
      if (c == '(' || c == '[' || c == '{') {
        open.push_back(c == '(' ? ')' : c == '[' ? ']' : '}');
      } else if (c == ')' || c == ']' || c == '}') {
        if (open.empty() || open.back() != c) return error("unexpected '" + std::string(1, c) + "'");
        open.pop_back();
      }
      emit(TokenKind::kOperator, std::string(candidate));
      at_ += candidate.size();
      return {};
    }
    return error("unexpected character");
  }

  std::string_view source_;
  std::size_t at_ = 0;
  std::vector<Token> tokens_;
  bool line_starting_ = true;
  std::size_t counted_ = 0;
  std::size_t line_start_ = 0;
  std::uint32_t line_ = 1;
};

}  // namespace

Result<std::vector<Token>> lex(std::string_view source) {
  if (source.size() > kSourceBytesMax) {
    return fail(ErrorCode::kInvalid,
                "the template is longer than " + std::to_string(kSourceBytesMax) + " bytes");
  }
  const std::string text = normalised(source);
  return Lexer(text).run();
}

tl::unexpected<Error> error_at(Position at, std::string_view message) {
  return fail(ErrorCode::kInvalid, "line " + std::to_string(at.line) + ", column " +
                                       std::to_string(at.column) + ": " + std::string(message));
}

}  // namespace sluice::jinja
