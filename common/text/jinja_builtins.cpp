#include "common/text/jinja_builtins.h"

#include <string.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>

#include "common/text/unicode.h"

namespace sluice::jinja {
namespace {

tl::unexpected<Error> invalid(std::string message) {
  return fail(ErrorCode::kInvalid, std::move(message));
}

tl::unexpected<Error> wrong_kind(std::string_view what, const Value& value) {
  return invalid("'" + std::string(what) + "' can't be used on " + std::string(kind_name(value.kind())));
}

// Texts as they are, other values as they would be shown.
Result<Value> text_subject(Heap& heap, const Value& subject) {
  return to_text(heap, subject);
}

Result<Value> length_of(const Value& subject) {
  const auto count = [](std::size_t n) { return Value::integer(static_cast<std::int64_t>(n)); };
  switch (subject.kind()) {
    case Kind::kUndefined:
      return count(0);
    case Kind::kText:
      return count(char_count(subject.text()));
    case Kind::kList:
      return count(subject.list().items.size());
    case Kind::kDict:
      return count(subject.dict().items.size());
    default:
      return wrong_kind("length", subject);
  }
}

Result<Value> json_filter(Heap& heap, const Value& subject, const Arguments& arguments) {
  SLUICE_ASSIGN(const auto args, bind(arguments, {"indent", "ensure_ascii", "sort_keys", "separators"}));
  if (args[3] != nullptr && !args[3]->is(Kind::kNone))
    return invalid("'tojson' with separators is not supported");
  for (const Value* flag : {args[1], args[2]}) {
    if (flag != nullptr && truthy(*flag)) {
      return invalid("'tojson' with ensure_ascii or sort_keys is not supported");
    }
  }
  int indent = -1;
  if (args[0] != nullptr && !args[0]->is(Kind::kNone)) {
    if (!args[0]->is(Kind::kInt) || args[0]->integer() < 0 || args[0]->integer() > 16) {
      return invalid("'tojson' needs an indent from 0 to 16");
    }
    indent = static_cast<int>(args[0]->integer());
  }
  return to_json(heap, subject, indent);
}

Result<Value> to_integer(const Value& subject, const Value* fallback) {
  const Value otherwise = fallback == nullptr ? Value::integer(0) : *fallback;
  if (subject.is(Kind::kFloat)) {
    // What has no int64 has no integer here.
    if (!(std::fabs(subject.real()) < 9.2e18)) return otherwise;
    return Value::integer(static_cast<std::int64_t>(subject.real()));
  }
  if (subject.is_number()) return Value::integer(subject.integer());
  if (!subject.is(Kind::kText)) return otherwise;
  std::string_view text = subject.text().text();
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  std::int64_t number = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (failed != std::errc() || end != text.data() + text.size()) return otherwise;
  return Value::integer(number);
}

Result<Value> to_real(const Value& subject, const Value* fallback) {
  const Value otherwise = fallback == nullptr ? Value::real(0) : *fallback;
  if (subject.is_number()) return Value::real(subject.real());
  if (!subject.is(Kind::kText)) return otherwise;
  const std::string& text = subject.text().text();
  double number = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (failed != std::errc() || end != text.data() + text.size()) return otherwise;
  return Value::real(number);
}

Result<Value> absolute(const Value& subject) {
  if (subject.is(Kind::kFloat)) return Value::real(std::fabs(subject.real()));
  if (!subject.is_number()) return wrong_kind("abs", subject);
  const std::int64_t number = subject.integer();
  if (number == std::numeric_limits<std::int64_t>::min()) return invalid("the number is too large");
  return Value::integer(number < 0 ? -number : number);
}

// "a.b.0" as the attribute arguments of map, selectattr and join take it.
Result<Value> attribute_path(Heap& heap, Value object, const Value& path) {
  if (!path.is(Kind::kText)) return invalid("the attribute must be a string");
  std::string_view rest = path.text().text();
  while (true) {
    const std::size_t dot = rest.find('.');
    if (!heap.spend_steps(1)) return Heap::exhausted();
    const std::string_view part = rest.substr(0, dot);
    std::size_t index = 0;
    const auto [end, failed] = std::from_chars(part.data(), part.data() + part.size(), index);
    if (object.is(Kind::kList) && failed == std::errc() && end == part.data() + part.size()) {
      const auto& items = object.list().items;
      object = index < items.size() ? items[index] : Value();
    } else {
      SLUICE_ASSIGN(object, attribute_of(object, part));
    }
    if (dot == std::string_view::npos) return object;
    rest.remove_prefix(dot + 1);
  }
}

Arguments rest_of(const Arguments& arguments, std::size_t from) {
  Arguments rest;
  for (std::size_t i = from; i < arguments.positional.size(); ++i)
    rest.positional.push_back(arguments.positional[i]);
  return rest;
}

Result<Value> map_filter(Heap& heap, const Value& subject, const Arguments& arguments) {
  SLUICE_ASSIGN(const std::vector<Value> items, items_of(heap, subject));
  std::vector<Value> mapped;
  mapped.reserve(items.size());
  if (arguments.positional.empty()) {
    SLUICE_ASSIGN(const auto args, bind(arguments, {"attribute", "default"}));
    if (args[0] == nullptr) return invalid("'map' needs an attribute or a filter");
    for (const Value& item : items) {
      SLUICE_ASSIGN(Value value, attribute_path(heap, item, *args[0]));
      if (value.is(Kind::kUndefined) && args[1] != nullptr) value = *args[1];
      mapped.push_back(value);
    }
    return heap.list(std::move(mapped));
  }
  if (!arguments.positional[0].is(Kind::kText)) return invalid("'map' needs the name of a filter");
  Arguments rest = rest_of(arguments, 1);
  rest.named = arguments.named;
  // The name outlives the call: texts live as long as the heap.
  const std::string& filter = arguments.positional[0].text().text();
  if (filter == "map") return invalid("'map' can't map itself");
  for (const Value& item : items) {
    if (!heap.spend_steps(1)) return Heap::exhausted();
    SLUICE_ASSIGN(const Value value, apply_filter(heap, filter, item, rest));
    mapped.push_back(value);
  }
  return heap.list(std::move(mapped));
}

// select, reject, selectattr, rejectattr
Result<Value> select_filter(Heap& heap, const Value& subject, const Arguments& arguments, bool by_attribute,
                            bool keep) {
  if (!arguments.named.empty()) return invalid("named arguments are not supported here");
  SLUICE_ASSIGN(const std::vector<Value> items, items_of(heap, subject));
  const std::size_t test_at = by_attribute ? 1 : 0;
  if (by_attribute && arguments.positional.empty()) return invalid("the attribute is missing");
  const bool tested = arguments.positional.size() > test_at;
  if (tested && !arguments.positional[test_at].is(Kind::kText))
    return invalid("the name of a test must be a string");
  const Arguments rest = rest_of(arguments, test_at + 1);
  std::vector<Value> selected;
  for (const Value& item : items) {
    if (!heap.spend_steps(1)) return Heap::exhausted();
    Value value = item;
    if (by_attribute) {
      SLUICE_ASSIGN(value, attribute_path(heap, item, arguments.positional[0]));
    }
    bool passes = truthy(value);
    if (tested) {
      SLUICE_ASSIGN(passes, apply_test(heap, arguments.positional[test_at].text().text(), value, rest));
    }
    if (passes == keep) selected.push_back(item);
  }
  return heap.list(std::move(selected));
}

Result<Value> join_filter(Heap& heap, const Value& subject, const Arguments& arguments) {
  SLUICE_ASSIGN(const auto args, bind(arguments, {"d", "attribute"}));
  SLUICE_ASSIGN(std::vector<Value> items, items_of(heap, subject));
  if (args[1] != nullptr) {
    for (Value& item : items) {
      SLUICE_ASSIGN(item, attribute_path(heap, item, *args[1]));
    }
  }
  if (args[0] == nullptr) return join(heap, items, MarkedText());
  SLUICE_ASSIGN(const Value separator, text_subject(heap, *args[0]));
  return join(heap, items, separator.text());
}

Result<Value> indent_filter(Heap& heap, const Value& subject, const Arguments& arguments) {
  SLUICE_ASSIGN(const auto args, bind(arguments, {"width", "first", "blank"}));
  SLUICE_ASSIGN(const Value text, text_subject(heap, subject));
  std::int64_t width = 4;
  if (args[0] != nullptr) {
    if (!args[0]->is(Kind::kInt) || args[0]->integer() < 0 || args[0]->integer() > 64) {
      return invalid("'indent' needs a width from 0 to 64");
    }
    width = args[0]->integer();
  }
  return indented(heap, text.text(), static_cast<std::size_t>(width), args[1] != nullptr && truthy(*args[1]),
                  args[2] != nullptr && truthy(*args[2]));
}

Result<Value> pairs_of(Heap& heap, const Value& dict) {
  std::vector<Value> pairs;
  for (const auto& [key, value] : dict.dict().items) {
    SLUICE_ASSIGN(const Value pair, heap.list({key, value}));
    pairs.push_back(pair);
  }
  return heap.list(std::move(pairs));
}

Result<Value> reversed(Heap& heap, const Value& subject) {
  SLUICE_ASSIGN(std::vector<Value> items, items_of(heap, subject));
  std::reverse(items.begin(), items.end());
  if (subject.is(Kind::kText)) return join(heap, items, MarkedText());
  return heap.list(std::move(items));
}

Result<Value> first_or_last(Heap& heap, const Value& subject, bool first) {
  SLUICE_ASSIGN(const std::vector<Value> items, items_of(heap, subject));
  if (items.empty()) return Value();
  return first ? items.front() : items.back();
}

// Filters that turn a text into a text.
Result<std::optional<Value>> text_filter(Heap& heap, std::string_view name, const Value& subject,
                                         const Arguments& arguments) {
  const auto cased = [&](LetterCase letter_case) -> Result<std::optional<Value>> {
    SLUICE_TRY(bind(arguments, {}));
    SLUICE_ASSIGN(const Value text, text_subject(heap, subject));
    SLUICE_ASSIGN(const Value result, with_case(heap, text.text(), letter_case));
    return std::optional<Value>(result);
  };
  if (name == "upper") return cased(LetterCase::kUpper);
  if (name == "lower") return cased(LetterCase::kLower);
  if (name == "title") return cased(LetterCase::kTitle);
  if (name == "capitalize") return cased(LetterCase::kCapital);
  if (name == "trim") {
    SLUICE_ASSIGN(const auto args, bind(arguments, {"chars"}));
    SLUICE_ASSIGN(const Value text, text_subject(heap, subject));
    SLUICE_ASSIGN(const Value result, trim(heap, text.text(), args[0], true, true));
    return std::optional<Value>(result);
  }
  if (name == "replace") {
    SLUICE_ASSIGN(const auto args, bind(arguments, {"old", "new", "count"}));
    SLUICE_ASSIGN(const Value text, text_subject(heap, subject));
    SLUICE_ASSIGN(const Value result, replace(heap, text.text(), args[0], args[1], args[2]));
    return std::optional<Value>(result);
  }
  return std::optional<Value>();
}

Result<Value> default_filter(const Value& subject, const Arguments& arguments, Heap& heap) {
  SLUICE_ASSIGN(const auto args, bind(arguments, {"default_value", "boolean"}));
  const bool falsy_too = args[1] != nullptr && truthy(*args[1]);
  if (!subject.is(Kind::kUndefined) && !(falsy_too && !truthy(subject))) return subject;
  if (args[0] != nullptr) return *args[0];
  return heap.text("", true);
}

Result<bool> contains(Heap& heap, const Value& container, const Value& item) {
  switch (container.kind()) {
    case Kind::kUndefined:
      return false;
    case Kind::kText: {
      if (!item.is(Kind::kText)) return invalid("only a string can be looked for in a string");
      const std::string& text = container.text().text();
      const std::string& wanted = item.text().text();
      if (!heap.spend_steps(text.size() / 64)) return Heap::exhausted();
      return ::memmem(text.data(), text.size(), wanted.data(), wanted.size()) != nullptr;
    }
    case Kind::kList:
      for (const Value& candidate : container.list().items) {
        SLUICE_ASSIGN(const bool same, equal(heap, candidate, item));
        if (same) return true;
      }
      return false;
    case Kind::kDict:
      if (!heap.spend_steps(container.dict().items.size() / 4)) return Heap::exhausted();
      return item.is(Kind::kText) && container.dict().find(item.text().text()) != nullptr;
    default:
      return wrong_kind("in", container);
  }
}

Result<bool> all_letters_are(const Value& subject, bool upper) {
  if (!subject.is(Kind::kText)) return false;
  bool any = false;
  const std::string& text = subject.text().text();
  for (std::size_t at = 0; at < text.size();) {
    const DecodedChar next = utf8_decode(text, at);
    at += next.bytes;
    const bool is_upper = to_lower(next.code) != next.code;
    const bool is_lower = to_upper(next.code) != next.code;
    if (upper ? is_lower : is_upper) return false;
    any = any || is_upper || is_lower;
  }
  return any;
}

// Tests that look at the subject alone.
std::optional<bool> simple_test(std::string_view name, const Value& subject) {
  const Kind kind = subject.kind();
  const bool countable =
      kind == Kind::kText || kind == Kind::kList || kind == Kind::kDict || kind == Kind::kUndefined;
  if (name == "defined") return kind != Kind::kUndefined;
  if (name == "undefined") return kind == Kind::kUndefined;
  if (name == "none") return kind == Kind::kNone;
  if (name == "boolean") return kind == Kind::kBool;
  if (name == "true") return kind == Kind::kBool && subject.boolean();
  if (name == "false") return kind == Kind::kBool && !subject.boolean();
  if (name == "integer") return kind == Kind::kInt;
  if (name == "float") return kind == Kind::kFloat;
  if (name == "number") return subject.is_number();
  if (name == "string") return kind == Kind::kText;
  if (name == "mapping") return kind == Kind::kDict;
  if (name == "iterable" || name == "sequence") return countable;
  if (name == "callable") return kind == Kind::kMacro || kind == Kind::kFunction;
  return std::nullopt;
}

// The operator behind a test's name; empty if it is none.
std::string_view comparison_of(std::string_view test) {
  if (test == "eq" || test == "equalto" || test == "==" || test == "sameas") return "==";
  if (test == "ne" || test == "!=") return "!=";
  if (test == "lt" || test == "lessthan" || test == "<") return "<";
  if (test == "gt" || test == "greaterthan" || test == ">") return ">";
  if (test == "le" || test == "<=") return "<=";
  if (test == "ge" || test == ">=") return ">=";
  if (test == "in") return "in";
  return {};
}

Result<bool> divisible(const Value& subject, std::int64_t by) {
  if (!subject.is(Kind::kInt) && !subject.is(Kind::kBool)) return wrong_kind("divisibleby", subject);
  if (by == 0) return invalid("division by zero");
  return by == -1 || subject.integer() % by == 0;
}

}  // namespace

Result<std::vector<const Value*>> bind(const Arguments& arguments,
                                       std::initializer_list<std::string_view> names) {
  std::vector<const Value*> bound(names.size(), nullptr);
  if (arguments.positional.size() > names.size()) return invalid("too many arguments");
  for (std::size_t i = 0; i < arguments.positional.size(); ++i) bound[i] = &arguments.positional[i];
  for (const auto& [name, value] : arguments.named) {
    const auto found = std::find(names.begin(), names.end(), name);
    if (found == names.end()) return invalid("argument '" + std::string(name) + "' is not supported");
    const Value*& slot = bound[static_cast<std::size_t>(found - names.begin())];
    if (slot != nullptr) return invalid("argument '" + std::string(name) + "' is given twice");
    slot = &value;
  }
  return bound;
}

Result<Value> apply_filter(Heap& heap, std::string_view name, const Value& subject,
                           const Arguments& arguments) {
  SLUICE_ASSIGN(const std::optional<Value> text, text_filter(heap, name, subject, arguments));
  if (text) return *text;
  if (name == "default" || name == "d") return default_filter(subject, arguments, heap);
  if (name == "tojson") return json_filter(heap, subject, arguments);
  if (name == "join") return join_filter(heap, subject, arguments);
  if (name == "map") return map_filter(heap, subject, arguments);
  if (name == "select" || name == "reject")
    return select_filter(heap, subject, arguments, false, name == "select");
  if (name == "selectattr" || name == "rejectattr") {
    return select_filter(heap, subject, arguments, true, name == "selectattr");
  }
  if (name == "indent") return indent_filter(heap, subject, arguments);
  if (name == "int" || name == "float") {
    SLUICE_ASSIGN(const auto args, bind(arguments, {"default"}));
    return name == "int" ? to_integer(subject, args[0]) : to_real(subject, args[0]);
  }
  // The rest take no arguments.
  const auto bound = bind(arguments, {});
  if (name == "length" || name == "count") {
    SLUICE_TRY(bound);
    return length_of(subject);
  }
  if (name == "string" || name == "safe") {
    SLUICE_TRY(bound);
    return text_subject(heap, subject);
  }
  if (name == "first" || name == "last") {
    SLUICE_TRY(bound);
    return first_or_last(heap, subject, name == "first");
  }
  if (name == "list") {
    SLUICE_TRY(bound);
    SLUICE_ASSIGN(std::vector<Value> items, items_of(heap, subject));
    return heap.list(std::move(items));
  }
  if (name == "items") {
    SLUICE_TRY(bound);
    if (subject.is(Kind::kUndefined)) return heap.list({});
    if (!subject.is(Kind::kDict)) return wrong_kind(name, subject);
    return pairs_of(heap, subject);
  }
  if (name == "reverse") {
    SLUICE_TRY(bound);
    return reversed(heap, subject);
  }
  if (name == "abs") {
    SLUICE_TRY(bound);
    return absolute(subject);
  }
  return invalid("filter '" + std::string(name) + "' is not supported");
}

Result<bool> apply_test(Heap& heap, std::string_view name, const Value& subject, const Arguments& arguments) {
  if (const auto simple = simple_test(name, subject)) {
    SLUICE_TRY(bind(arguments, {}));
    return *simple;
  }
  if (name == "odd" || name == "even") {
    SLUICE_TRY(bind(arguments, {}));
    SLUICE_ASSIGN(const bool even, divisible(subject, 2));
    return even == (name == "even");
  }
  if (name == "upper" || name == "lower") {
    SLUICE_TRY(bind(arguments, {}));
    return all_letters_are(subject, name == "upper");
  }
  const std::string_view comparison = comparison_of(name);
  if (comparison.empty() && name != "divisibleby")
    return invalid("test '" + std::string(name) + "' is not supported");
  SLUICE_ASSIGN(const auto args, bind(arguments, {"other"}));
  if (args[0] == nullptr) return invalid("test '" + std::string(name) + "' needs an argument");
  if (!comparison.empty()) return compare(heap, comparison, subject, *args[0]);
  if (!args[0]->is(Kind::kInt)) return invalid("test 'divisibleby' needs a number");
  return divisible(subject, args[0]->integer());
}

Result<Value> call_method(Heap& heap, std::string_view name, const Value& subject,
                          const Arguments& arguments) {
  if (subject.is(Kind::kText)) {
    bool known = false;
    auto result = call_text_method(heap, name, subject.text(), arguments, known);
    if (known) return result;
  }
  if (subject.is(Kind::kDict)) {
    if (name == "get") {
      SLUICE_ASSIGN(const auto args, bind(arguments, {"key", "default"}));
      if (args[0] == nullptr) return invalid("an argument is missing");
      const Value* found = args[0]->is(Kind::kText) ? subject.dict().find(args[0]->text().text()) : nullptr;
      if (found != nullptr) return *found;
      return args[1] == nullptr ? Value::none() : *args[1];
    }
    if (name == "items") {
      SLUICE_TRY(bind(arguments, {}));
      return pairs_of(heap, subject);
    }
    if (name == "keys" || name == "values") {
      SLUICE_TRY(bind(arguments, {}));
      std::vector<Value> items;
      for (const auto& [key, value] : subject.dict().items) items.push_back(name == "keys" ? key : value);
      return heap.list(std::move(items));
    }
  }
  if (subject.is(Kind::kUndefined)) {
    return invalid("method '" + std::string(name) + "' is called on an undefined value");
  }
  return invalid("method '" + std::string(name) + "' of " + std::string(kind_name(subject.kind())) +
                 " is not supported");
}

Result<Value> attribute_of(const Value& object, std::string_view name) {
  switch (object.kind()) {
    case Kind::kUndefined:
      return invalid((object.name() == nullptr ? std::string("a value") : "'" + *object.name() + "'") +
                     " is undefined, so it has no '" + std::string(name) + "'");
    case Kind::kDict:
    case Kind::kNamespace: {
      const Value* found = object.dict().find(name);
      return found == nullptr ? Value() : *found;
    }
    case Kind::kLoop: {
      const Loop& loop = object.loop();
      const auto count = [](std::size_t n) { return Value::integer(static_cast<std::int64_t>(n)); };
      const std::size_t length = loop.items.size();
      if (name == "index") return count(loop.index0 + 1);
      if (name == "index0") return count(loop.index0);
      if (name == "revindex") return count(length - loop.index0);
      if (name == "revindex0") return count(length - loop.index0 - 1);
      if (name == "first") return Value::boolean(loop.index0 == 0);
      if (name == "last") return Value::boolean(loop.index0 + 1 == length);
      if (name == "length") return count(length);
      if (name == "previtem") return loop.index0 == 0 ? Value() : loop.items[loop.index0 - 1];
      if (name == "nextitem") return loop.index0 + 1 == length ? Value() : loop.items[loop.index0 + 1];
      return invalid("'loop." + std::string(name) + "' is not supported");
    }
    default:
      return Value();
  }
}

Result<std::vector<Value>> items_of(Heap& heap, const Value& value) {
  std::vector<Value> items;
  switch (value.kind()) {
    case Kind::kUndefined:
      return items;
    case Kind::kList:
      if (!heap.spend_bytes(value.list().items.size() * sizeof(Value))) return Heap::exhausted();
      return value.list().items;
    case Kind::kDict:
      if (!heap.spend_bytes(value.dict().items.size() * sizeof(Value))) return Heap::exhausted();
      for (const auto& [key, item] : value.dict().items) items.push_back(key);
      return items;
    case Kind::kText: {
      const MarkedText& text = value.text();
      for (std::size_t at = 0; at < text.size();) {
        const std::size_t bytes = utf8_decode(text.text(), at).bytes;
        SLUICE_ASSIGN(const Value item, heap.text(text.substr(at, bytes)));
        items.push_back(item);
        at += bytes;
      }
      return items;
    }
    default:
      return invalid(std::string(kind_name(value.kind())) + " can't be iterated over");
  }
}

Result<bool> compare(Heap& heap, std::string_view name, const Value& a, const Value& b) {
  if (name == "==" || name == "!=") {
    SLUICE_ASSIGN(const bool same, equal(heap, a, b));
    return same == (name == "==");
  }
  if (name == "in" || name == "not in") {
    SLUICE_ASSIGN(const bool inside, contains(heap, b, a));
    return inside == (name == "in");
  }
  int order = 0;
  if (a.is_number() && b.is_number()) {
    if (a.is(Kind::kFloat) || b.is(Kind::kFloat)) {
      if (std::isnan(a.real()) || std::isnan(b.real())) return false;
      order = a.real() < b.real() ? -1 : a.real() > b.real() ? 1 : 0;
    } else {
      order = a.integer() < b.integer() ? -1 : a.integer() > b.integer() ? 1 : 0;
    }
  } else if (a.is(Kind::kText) && b.is(Kind::kText)) {
    if (!heap.spend_steps(std::min(a.text().size(), b.text().size()) / 64)) return Heap::exhausted();
    order = a.text().text().compare(b.text().text());
  } else {
    return invalid("'" + std::string(name) + "' can't compare " + std::string(kind_name(a.kind())) +
                   " with " + std::string(kind_name(b.kind())));
  }
  if (name == "<") return order < 0;
  if (name == ">") return order > 0;
  if (name == "<=") return order <= 0;
  return order >= 0;
}

}  // namespace sluice::jinja
