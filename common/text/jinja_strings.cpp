// Operations on texts, by characters where Python counts characters. Every one keeps the marks of its input.
#include <string.h>

#include <algorithm>
#include <optional>

#include "common/text/jinja_builtins.h"
#include "common/text/unicode.h"

namespace sluice::jinja {
namespace {

constexpr std::size_t kNone = std::string_view::npos;
constexpr char32_t kSharpS = 0xDF;  // The one common letter whose upper case is two letters.

// Linear in the texts, whatever they are (std::string::find isn't).
std::size_t find_text(std::string_view text, std::string_view wanted, std::size_t from) {
  if (from > text.size()) return kNone;
  const void* found = ::memmem(text.data() + from, text.size() - from, wanted.data(), wanted.size());
  if (found == nullptr) return kNone;
  return static_cast<std::size_t>(static_cast<const char*>(found) - text.data());
}

Result<std::string_view> text_argument(const Value* value, std::string_view what) {
  if (value == nullptr || !value->is(Kind::kText)) {
    return fail(ErrorCode::kInvalid, std::string(what) + " must be a string");
  }
  return std::string_view(value->text().text());
}

// A limit on how often something is done: negative or none is no limit.
Result<std::size_t> limit_argument(const Value* value) {
  if (value == nullptr || value->is(Kind::kNone)) return kNone;
  if (!value->is(Kind::kInt)) return fail(ErrorCode::kInvalid, "the count must be a number");
  return value->integer() < 0 ? kNone : static_cast<std::size_t>(value->integer());
}

Result<Value> split_at_spaces(Heap& heap, const MarkedText& text, std::size_t splits_max) {
  const std::string& bytes = text.text();
  std::vector<Value> parts;
  std::size_t at = 0;
  const auto skip = [&](bool spaces) {
    while (at < bytes.size()) {
      const DecodedChar next = utf8_decode(bytes, at);
      if (is_python_space(next.code) != spaces) break;
      at += next.bytes;
    }
  };
  while (true) {
    skip(true);
    if (at >= bytes.size()) break;
    const std::size_t begin = at;
    if (parts.size() >= splits_max) {  // The rest is one part, as it is.
      SLUICE_ASSIGN(const Value rest, heap.text(text.substr(begin, bytes.size() - begin)));
      parts.push_back(rest);
      break;
    }
    skip(false);
    SLUICE_ASSIGN(const Value part, heap.text(text.substr(begin, at - begin)));
    parts.push_back(part);
  }
  return heap.list(std::move(parts));
}

Result<Value> split(Heap& heap, const MarkedText& text, const Value* separator, const Value* limit) {
  SLUICE_ASSIGN(const std::size_t splits_max, limit_argument(limit));
  if (separator == nullptr || separator->is(Kind::kNone)) return split_at_spaces(heap, text, splits_max);
  SLUICE_ASSIGN(const std::string_view wanted, text_argument(separator, "the separator"));
  if (wanted.empty()) return fail(ErrorCode::kInvalid, "the separator is empty");
  std::vector<Value> parts;
  std::size_t begin = 0;
  while (parts.size() < splits_max) {
    const std::size_t found = find_text(text.text(), wanted, begin);
    if (found == kNone) break;
    SLUICE_ASSIGN(const Value part, heap.text(text.substr(begin, found - begin)));
    parts.push_back(part);
    begin = found + wanted.size();
  }
  SLUICE_ASSIGN(const Value rest, heap.text(text.substr(begin, text.size() - begin)));
  parts.push_back(rest);
  return heap.list(std::move(parts));
}

// Whether the text begins (or ends) with the argument, or with one of them if it is a list.
Result<Value> has_affix(const MarkedText& text, const Value* wanted, bool prefix) {
  const auto matches = [&](const Value& value) -> Result<bool> {
    SLUICE_ASSIGN(const std::string_view affix, text_argument(&value, "the argument"));
    return prefix ? text.text().starts_with(affix) : text.text().ends_with(affix);
  };
  if (wanted != nullptr && wanted->is(Kind::kList)) {
    for (const Value& item : wanted->list().items) {
      SLUICE_ASSIGN(const bool found, matches(item));
      if (found) return Value::boolean(true);
    }
    return Value::boolean(false);
  }
  if (wanted == nullptr) return fail(ErrorCode::kInvalid, "an argument is missing");
  SLUICE_ASSIGN(const bool found, matches(*wanted));
  return Value::boolean(found);
}

Result<Value> without_affix(Heap& heap, const MarkedText& text, const Value* affix, bool prefix) {
  SLUICE_ASSIGN(const std::string_view wanted, text_argument(affix, "the argument"));
  const bool there = prefix ? text.text().starts_with(wanted) : text.text().ends_with(wanted);
  if (!there) return heap.text(text);
  return heap.text(text.substr(prefix ? wanted.size() : 0, text.size() - wanted.size()));
}

bool all_digits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

std::size_t char_count(const MarkedText& text) {
  return utf8_length(text.text());
}

std::vector<std::size_t> char_offsets(const MarkedText& text) {
  std::vector<std::size_t> offsets;
  offsets.reserve(text.size() + 1);
  for (std::size_t at = 0; at < text.size();) {
    offsets.push_back(at);
    at += utf8_decode(text.text(), at).bytes;
  }
  offsets.push_back(text.size());
  return offsets;
}

Result<Value> trim(Heap& heap, const MarkedText& text, const Value* chars, bool left, bool right) {
  std::optional<std::u32string> wanted;
  if (chars != nullptr && !chars->is(Kind::kNone)) {
    SLUICE_ASSIGN(const std::string_view set, text_argument(chars, "the characters to trim"));
    wanted.emplace();
    for (std::size_t at = 0; at < set.size();) {
      const DecodedChar next = utf8_decode(set, at);
      wanted->push_back(next.code);
      at += next.bytes;
    }
    if (!heap.spend_steps(text.size() * wanted->size() / 256)) return Heap::exhausted();
  }
  const auto trimmed = [&](char32_t code) {
    return wanted ? wanted->find(code) != std::u32string::npos : is_python_space(code);
  };
  std::size_t begin = 0;
  std::size_t end = 0;  // Behind the last character that stays.
  bool leading = true;
  for (std::size_t at = 0; at < text.size();) {
    const DecodedChar next = utf8_decode(text.text(), at);
    at += next.bytes;
    if (trimmed(next.code)) {
      if (leading) begin = at;
      continue;
    }
    leading = false;
    end = at;
  }
  if (!left) begin = 0;
  if (!right) end = text.size();
  return heap.text(text.substr(begin, end > begin ? end - begin : 0));
}

Result<Value> replace(Heap& heap, const MarkedText& text, const Value* from, const Value* to,
                      const Value* count) {
  SLUICE_ASSIGN(const std::string_view wanted, text_argument(from, "what to replace"));
  SLUICE_TRY(text_argument(to, "the replacement"));
  SLUICE_ASSIGN(const std::size_t times_max, limit_argument(count));
  if (wanted.empty()) return fail(ErrorCode::kInvalid, "replacing an empty string is not supported");
  TextBuilder out(heap);
  std::size_t begin = 0;
  for (std::size_t times = 0; times < times_max && out.ok(); ++times) {
    const std::size_t found = find_text(text.text(), wanted, begin);
    if (found == kNone) break;
    out.append(text, begin, found - begin);
    out.append(to->text());
    begin = found + wanted.size();
  }
  out.append(text, begin, text.size() - begin);
  return out.finish();
}

Result<Value> with_case(Heap& heap, const MarkedText& text, LetterCase letter_case) {
  TextBuilder out(heap);
  bool in_word = false;
  std::string changed;
  for (std::size_t at = 0; at < text.size() && out.ok();) {
    const DecodedChar next = utf8_decode(text.text(), at);
    const bool letter = next.valid && (char_class(next.code) & kCharLetter) != 0;
    bool upper = letter_case == LetterCase::kUpper;
    if (letter_case == LetterCase::kTitle) upper = !in_word;
    if (letter_case == LetterCase::kCapital) upper = at == 0;
    in_word = letter;
    if (letter) {
      changed.clear();
      if (upper && next.code == kSharpS) {
        changed = letter_case == LetterCase::kUpper ? "SS" : "Ss";
      } else {
        utf8_append(changed, upper ? to_upper(next.code) : to_lower(next.code));
      }
      out.append(changed, text.trusted(at, at + next.bytes));
    } else {
      out.append(text, at, next.bytes);
    }
    at += next.bytes;
  }
  return out.finish();
}

Result<Value> join(Heap& heap, const std::vector<Value>& items, const MarkedText& separator) {
  TextBuilder out(heap);
  for (std::size_t i = 0; i < items.size() && out.ok(); ++i) {
    if (i > 0) out.append(separator);
    SLUICE_TRY(append_as_text(out, heap, items[i]));
  }
  return out.finish();
}

Result<Value> indented(Heap& heap, const MarkedText& text, std::size_t width, bool first, bool blank) {
  const std::string spaces(width, ' ');
  TextBuilder out(heap);
  std::size_t begin = 0;
  for (bool first_line = true; out.ok(); first_line = false) {
    const std::size_t newline = text.text().find('\n', begin);
    const std::size_t end = newline == kNone ? text.size() : newline + 1;
    const bool empty = end - begin == (newline == kNone ? 0U : 1U);
    if (first_line ? first : (blank || !empty)) out.append(spaces, true);
    out.append(text, begin, end - begin);
    if (newline == kNone) break;
    begin = end;
  }
  return out.finish();
}

Result<Value> call_text_method(Heap& heap, std::string_view name, const MarkedText& text,
                               const Arguments& arguments, bool& known) {
  known = true;
  const auto no_arguments = [&](LetterCase letter_case) -> Result<Value> {
    SLUICE_TRY(bind(arguments, {}));
    return with_case(heap, text, letter_case);
  };
  if (name == "strip" || name == "lstrip" || name == "rstrip") {
    SLUICE_ASSIGN(const auto args, bind(arguments, {"chars"}));
    return trim(heap, text, args[0], name != "rstrip", name != "lstrip");
  }
  if (name == "split") {
    SLUICE_ASSIGN(const auto args, bind(arguments, {"sep", "maxsplit"}));
    return split(heap, text, args[0], args[1]);
  }
  if (name == "startswith" || name == "endswith") {
    SLUICE_ASSIGN(const auto args, bind(arguments, {"affix"}));
    return has_affix(text, args[0], name == "startswith");
  }
  if (name == "removeprefix" || name == "removesuffix") {
    SLUICE_ASSIGN(const auto args, bind(arguments, {"affix"}));
    return without_affix(heap, text, args[0], name == "removeprefix");
  }
  if (name == "replace") {
    SLUICE_ASSIGN(const auto args, bind(arguments, {"old", "new", "count"}));
    return replace(heap, text, args[0], args[1], args[2]);
  }
  if (name == "join") {
    SLUICE_ASSIGN(const auto args, bind(arguments, {"items"}));
    if (args[0] == nullptr) return fail(ErrorCode::kInvalid, "an argument is missing");
    SLUICE_ASSIGN(const std::vector<Value> items, items_of(heap, *args[0]));
    return join(heap, items, text);
  }
  if (name == "find") {
    SLUICE_ASSIGN(const auto args, bind(arguments, {"sub"}));
    SLUICE_ASSIGN(const std::string_view wanted, text_argument(args[0], "the argument"));
    const std::size_t found = find_text(text.text(), wanted, 0);
    if (found == kNone) return Value::integer(-1);
    return Value::integer(
        static_cast<std::int64_t>(utf8_length(std::string_view(text.text()).substr(0, found))));
  }
  if (name == "upper") return no_arguments(LetterCase::kUpper);
  if (name == "lower") return no_arguments(LetterCase::kLower);
  if (name == "title") return no_arguments(LetterCase::kTitle);
  if (name == "capitalize") return no_arguments(LetterCase::kCapital);
  if (name == "isdigit") return Value::boolean(all_digits(text.text()));
  known = false;
  return Value();
}

}  // namespace sluice::jinja
