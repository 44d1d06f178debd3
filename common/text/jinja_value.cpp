#include "common/text/jinja_value.h"

#include <array>
#include <charconv>
#include <cmath>

#include "common/text/unicode.h"

namespace sluice::jinja {
namespace {

constexpr std::string_view kHex = "0123456789abcdef";

tl::unexpected<Error> too_deep() {
  return fail(ErrorCode::kInvalid, "values are nested too deeply");
}

// The shortest digits that read back as the same number, in Python's notation.
std::string float_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  std::array<char, 64> digits{};
  const double size = std::fabs(value);
  const bool plain = size == 0 || (size >= 1e-4 && size < 1e16);
  const auto format = plain ? std::chars_format::fixed : std::chars_format::scientific;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value, format).ptr;
  std::string text(digits.data(), end);
  if (plain && text.find('.') == std::string::npos) text += ".0";
  return text;
}

// Python's repr() of a text.
void append_quoted(TextBuilder& out, const MarkedText& text) {
  const std::string& bytes = text.text();
  const bool double_quotes = bytes.find('\'') != std::string::npos && bytes.find('"') == std::string::npos;
  const char quote = double_quotes ? '"' : '\'';
  out.append(std::string_view(&quote, 1), true);
  for (std::size_t i = 0; i < bytes.size() && out.ok(); ++i) {
    const char c = bytes[i];
    if (c == '\n') {
      out.append("\\n", true);
    } else if (c == '\r') {
      out.append("\\r", true);
    } else if (c == '\t') {
      out.append("\\t", true);
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
      const auto byte = static_cast<unsigned char>(c);
      out.append(std::string("\\x") + kHex[byte >> 4] + kHex[byte & 15], true);
    } else {
      if (c == '\\' || c == quote) out.append("\\", true);
      out.append(text, i, 1);
    }
  }
  out.append(std::string_view(&quote, 1), true);
}

Status append_repr(TextBuilder& out, Heap& heap, const Value& value, int depth) {
  if (depth > kValueDepthMax) return too_deep();
  if (!heap.spend_steps(1)) return Heap::exhausted();
  switch (value.kind()) {
    case Kind::kText:
      append_quoted(out, value.text());
      return {};
    case Kind::kList: {
      out.append("[", true);
      bool first = true;
      for (const Value& item : value.list().items) {
        if (!std::exchange(first, false)) out.append(", ", true);
        SLUICE_TRY(append_repr(out, heap, item, depth + 1));
      }
      out.append("]", true);
      return {};
    }
    case Kind::kDict: {
      out.append("{", true);
      bool first = true;
      for (const auto& [key, item] : value.dict().items) {
        if (!std::exchange(first, false)) out.append(", ", true);
        append_quoted(out, key.text());
        out.append(": ", true);
        SLUICE_TRY(append_repr(out, heap, item, depth + 1));
      }
      out.append("}", true);
      return {};
    }
    default:
      return append_as_text(out, heap, value);
  }
}

class JsonWriter {
 public:
  JsonWriter(Heap& heap, int indent) : heap_(heap), out_(heap), indent_(indent) {}

  Status write(const Value& value, int depth) {
    if (depth > kValueDepthMax) return too_deep();
    if (!heap_.spend_steps(1)) return Heap::exhausted();
    switch (value.kind()) {
      case Kind::kNone:
        out_.append("null", true);
        return {};
      case Kind::kBool:
        out_.append(value.boolean() ? "true" : "false", true);
        return {};
      case Kind::kInt:
        out_.append(std::to_string(value.integer()), true);
        return {};
      case Kind::kFloat:
        out_.append(std::isfinite(value.real()) ? float_text(value.real())
                    : std::isnan(value.real())  ? "NaN"
                    : value.real() > 0          ? "Infinity"
                                                : "-Infinity",
                    true);
        return {};
      case Kind::kText:
        write_text(value.text());
        return {};
      case Kind::kList:
        return write_all(value.list().items, '[', ']', depth,
                         [&](const Value& item) { return write(item, depth + 1); });
      case Kind::kDict:
        return write_all(value.dict().items, '{', '}', depth, [&](const auto& item) {
          write_text(item.first.text());
          out_.append(": ", true);
          return write(item.second, depth + 1);
        });
      default:
        return fail(ErrorCode::kInvalid, std::string(kind_name(value.kind())) + " can't be written as JSON");
    }
  }

  Result<Value> finish() { return out_.finish(); }

 private:
  template <class Items, class F>
  Status write_all(const Items& items, char open, char close, int depth, F write_item) {
    out_.append(std::string_view(&open, 1), true);
    bool first = true;
    for (const auto& item : items) {
      if (!std::exchange(first, false)) out_.append(indent_ < 0 ? ", " : ",", true);
      new_line(depth + 1);
      SLUICE_TRY(write_item(item));
    }
    if (!first) new_line(depth);
    out_.append(std::string_view(&close, 1), true);
    return {};
  }

  void new_line(int depth) {
    if (indent_ < 0) return;
    out_.append("\n" + std::string(static_cast<std::size_t>(indent_ * depth), ' '), true);
  }

  void write_text(const MarkedText& text) {
    static constexpr std::string_view kEscaped = "\"\\\n\r\t\b\f";
    static constexpr std::string_view kLetters = "\"\\nrtbf";
    out_.append("\"", true);
    const std::string& bytes = text.text();
    std::size_t begin = 0;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      const char c = bytes[i];
      const std::size_t known = kEscaped.find(c);
      if (known == std::string_view::npos && static_cast<unsigned char>(c) >= 0x20) continue;
      out_.append(text, begin, i - begin);
      begin = i + 1;
      if (known != std::string_view::npos) {
        out_.append(std::string{'\\', kLetters[known]}, true);
      } else {
        out_.append(
            std::string("\\u00") + kHex[static_cast<unsigned>(c) >> 4] + kHex[static_cast<unsigned>(c) & 15],
            true);
      }
    }
    out_.append(text, begin, bytes.size() - begin);
    out_.append("\"", true);
  }

  Heap& heap_;
  TextBuilder out_;
  int indent_;
};

}  // namespace

std::string_view kind_name(Kind kind) {
  switch (kind) {
    case Kind::kUndefined:
      return "an undefined value";
    case Kind::kNone:
      return "none";
    case Kind::kBool:
      return "a boolean";
    case Kind::kInt:
    case Kind::kFloat:
      return "a number";
    case Kind::kText:
      return "a string";
    case Kind::kList:
      return "a list";
    case Kind::kDict:
      return "a mapping";
    case Kind::kNamespace:
      return "a namespace";
    case Kind::kLoop:
      return "a loop";
    case Kind::kMacro:
      return "a macro";
    case Kind::kFunction:
      return "a function";
  }
  return "a value";
}

const Value* Dict::find(std::string_view key) const {
  for (const auto& [candidate, value] : items) {
    if (candidate.text().text() == key) return &value;
  }
  return nullptr;
}

bool Heap::spend(std::uint64_t& left, std::uint64_t amount) {
  if (amount > left) exhausted_ = true;
  if (exhausted_) return false;
  left -= amount;
  return true;
}

tl::unexpected<Error> Heap::exhausted() {
  return fail(ErrorCode::kInvalid, "the template does more work or makes more text than is allowed");
}

Result<Value> Heap::text(MarkedText text) {
  if (!spend_bytes(sizeof(MarkedText) + text.size() + text.runs().size() * sizeof(MarkedText::Run))) {
    return exhausted();
  }
  Value value(Kind::kText);
  value.as_.text = &texts_.emplace_back(std::move(text));
  return value;
}

Result<Value> Heap::list(std::vector<Value> items) {
  if (!spend_bytes(sizeof(List) + items.size() * sizeof(Value))) return exhausted();
  Value value(Kind::kList);
  value.as_.list = &lists_.emplace_back(List{std::move(items)});
  return value;
}

Result<Value> Heap::dict(std::vector<std::pair<Value, Value>> items, Kind kind) {
  if (!spend_bytes(sizeof(Dict) + items.size() * sizeof(items[0]))) return exhausted();
  Value value(kind);
  value.as_.dict = &dicts_.emplace_back(Dict{std::move(items)});
  return value;
}

Result<Loop*> Heap::loop() {
  if (!spend_bytes(sizeof(Loop))) return exhausted();
  return &loops_.emplace_back();
}

Result<Value> Heap::from_json(const nlohmann::ordered_json& json, int depth) {
  using Type = nlohmann::ordered_json::value_t;
  if (depth > kValueDepthMax) return too_deep();
  switch (json.type()) {
    case Type::null:
      return Value::none();
    case Type::boolean:
      return Value::boolean(json.get<bool>());
    case Type::number_integer:
      return Value::integer(json.get<std::int64_t>());
    case Type::number_unsigned: {
      const auto number = json.get<std::uint64_t>();
      if (number > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
        return Value::real(static_cast<double>(number));
      }
      return Value::integer(static_cast<std::int64_t>(number));
    }
    case Type::number_float:
      return Value::real(json.get<double>());
    case Type::string:
      return text(json.get_ref<const std::string&>(), false);
    case Type::array: {
      std::vector<Value> items;
      items.reserve(json.size());
      for (const auto& element : json) {
        SLUICE_ASSIGN(const Value item, from_json(element, depth + 1));
        items.push_back(item);
      }
      return list(std::move(items));
    }
    case Type::object: {
      std::vector<std::pair<Value, Value>> items;
      items.reserve(json.size());
      for (const auto& element : json.items()) {
        SLUICE_ASSIGN(const Value key, text(element.key(), false));
        SLUICE_ASSIGN(const Value item, from_json(element.value(), depth + 1));
        items.emplace_back(key, item);
      }
      return dict(std::move(items));
    }
    default:
      return fail(ErrorCode::kInvalid, "a JSON value of an unknown kind");
  }
}

void TextBuilder::append(std::string_view text, bool trusted) {
  ok_ = ok_ && heap_.spend_bytes(text.size());
  if (ok_) text_.append(text, trusted);
}

void TextBuilder::append(const MarkedText& text, std::size_t from, std::size_t count) {
  count = std::min(count, text.size() - from);
  ok_ = ok_ && heap_.spend_bytes(count);
  if (ok_) text_.append(text, from, count);
}

Result<Value> TextBuilder::finish() {
  if (!ok_) return Heap::exhausted();
  return heap_.text(std::move(text_));
}

Result<MarkedText> TextBuilder::take() {
  if (!ok_) return Heap::exhausted();
  return std::move(text_);
}

bool truthy(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
    case Kind::kNone:
      return false;
    case Kind::kBool:
      return value.boolean();
    case Kind::kInt:
      return value.integer() != 0;
    case Kind::kFloat:
      return value.real() != 0;
    case Kind::kText:
      return !value.text().empty();
    case Kind::kList:
      return !value.list().items.empty();
    case Kind::kDict:
      return !value.dict().items.empty();
    case Kind::kNamespace:
    case Kind::kLoop:
    case Kind::kMacro:
    case Kind::kFunction:
      return true;
  }
  return false;
}

Result<bool> equal(Heap& heap, const Value& a, const Value& b, int depth) {
  if (depth > kValueDepthMax) return too_deep();
  if (!heap.spend_steps(1)) return Heap::exhausted();
  if (a.is_number() && b.is_number()) {
    if (!a.is(Kind::kFloat) && !b.is(Kind::kFloat)) return a.integer() == b.integer();
    return a.real() == b.real();
  }
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Kind::kUndefined:
    case Kind::kNone:
      return true;
    case Kind::kText:
      if (!heap.spend_steps(std::min(a.text().size(), b.text().size()) / 64)) return Heap::exhausted();
      return a.text().text() == b.text().text();
    case Kind::kList: {
      const auto& left = a.list().items;
      const auto& right = b.list().items;
      if (left.size() != right.size()) return false;
      for (std::size_t i = 0; i < left.size(); ++i) {
        SLUICE_ASSIGN(const bool same, equal(heap, left[i], right[i], depth + 1));
        if (!same) return false;
      }
      return true;
    }
    case Kind::kDict: {
      const Dict& left = a.dict();
      const Dict& right = b.dict();
      if (left.items.size() != right.items.size()) return false;
      for (const auto& [key, value] : left.items) {
        if (!heap.spend_steps(right.items.size())) return Heap::exhausted();
        const Value* other = right.find(key.text().text());
        if (other == nullptr) return false;
        SLUICE_ASSIGN(const bool same, equal(heap, value, *other, depth + 1));
        if (!same) return false;
      }
      return true;
    }
    case Kind::kNamespace:
      return &a.dict() == &b.dict();
    case Kind::kLoop:
      return &a.loop() == &b.loop();
    case Kind::kMacro:
      return &a.macro() == &b.macro();
    case Kind::kFunction:
      return a.function() == b.function();
    default:
      return false;
  }
}

Status append_as_text(TextBuilder& out, Heap& heap, const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return {};
    case Kind::kNone:
      out.append("None", true);
      return {};
    case Kind::kBool:
      out.append(value.boolean() ? "True" : "False", true);
      return {};
    case Kind::kInt:
      out.append(std::to_string(value.integer()), true);
      return {};
    case Kind::kFloat:
      out.append(float_text(value.real()), true);
      return {};
    case Kind::kText:
      out.append(value.text());
      return {};
    case Kind::kList:
    case Kind::kDict:
      return append_repr(out, heap, value, 0);
    default:
      return fail(ErrorCode::kInvalid, std::string(kind_name(value.kind())) + " has no text");
  }
}

Result<Value> to_text(Heap& heap, const Value& value) {
  if (value.is(Kind::kText)) return value;
  TextBuilder out(heap);
  SLUICE_TRY(append_as_text(out, heap, value));
  return out.finish();
}

Result<Value> to_json(Heap& heap, const Value& value, int indent) {
  JsonWriter writer(heap, indent);
  SLUICE_TRY(writer.write(value, 0));
  return writer.finish();
}

}  // namespace sluice::jinja
