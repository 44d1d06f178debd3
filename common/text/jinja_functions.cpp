// Arithmetic and the global functions of chat templates.
#include <algorithm>
#include <array>
#include <cmath>
#include <ctime>
#include <limits>

#include "common/text/jinja_builtins.h"

namespace sluice::jinja {
namespace {

Result<Value> real_arithmetic(std::string_view op, double a, double b) {
  if (op == "+") return Value::real(a + b);
  if (op == "-") return Value::real(a - b);
  if (op == "*") return Value::real(a * b);
  if (op == "**") return Value::real(std::pow(a, b));
  if (b == 0) return fail(ErrorCode::kInvalid, "division by zero");
  if (op == "/") return Value::real(a / b);
  if (op == "//") return Value::real(std::floor(a / b));
  const double rest = std::fmod(a, b);
  return Value::real(rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest);
}

Result<Value> integer_arithmetic(std::string_view op, std::int64_t a, std::int64_t b) {
  const auto overflow = [] { return fail(ErrorCode::kInvalid, "the number is too large"); };
  std::int64_t result = 0;
  if (op == "+")
    return __builtin_add_overflow(a, b, &result) ? Result<Value>(overflow()) : Value::integer(result);
  if (op == "-")
    return __builtin_sub_overflow(a, b, &result) ? Result<Value>(overflow()) : Value::integer(result);
  if (op == "*")
    return __builtin_mul_overflow(a, b, &result) ? Result<Value>(overflow()) : Value::integer(result);
  if (op == "**") {
    if (b < 0) return Value::real(std::pow(static_cast<double>(a), static_cast<double>(b)));
    result = 1;
    if (b > 64 && a != 0 && a != 1 && a != -1) return overflow();
    for (std::int64_t i = 0; i < (b > 64 ? 64 + b % 2 : b); ++i) {
      if (__builtin_mul_overflow(result, a, &result)) return overflow();
    }
    return Value::integer(result);
  }
  if (b == 0) return fail(ErrorCode::kInvalid, "division by zero");
  if (b == -1) {  // The one quotient that may overflow.
    if (op == "%") return Value::integer(0);
    return a == std::numeric_limits<std::int64_t>::min() ? Result<Value>(overflow()) : Value::integer(-a);
  }
  // Both round towards minus infinity, as in Python.
  const std::int64_t rest = a % b;
  const bool adjust = rest != 0 && (rest < 0) != (b < 0);
  if (op == "%") return Value::integer(adjust ? rest + b : rest);
  return Value::integer(a / b - (adjust ? 1 : 0));
}

Result<Value> range(Heap& heap, const Arguments& arguments) {
  const auto& given = arguments.positional;
  const bool fits = !given.empty() && given.size() <= 3 && arguments.named.empty();
  if (!fits || !std::all_of(given.begin(), given.end(), [](const Value& v) { return v.is(Kind::kInt); })) {
    return fail(ErrorCode::kInvalid, "'range' needs one to three whole numbers");
  }
  Slice slice{0, given[0].integer(), 1};
  if (given.size() > 1) slice = {given[0].integer(), given[1].integer(), 1};
  if (given.size() > 2) slice.step = given[2].integer();
  if (slice.step == 0) return fail(ErrorCode::kInvalid, "'range' has a step of zero");
  // As large as any range that the budget allows, so that differences can't overflow.
  constexpr std::int64_t kEndMax = std::int64_t{1} << 40;
  if (std::abs(slice.start / 2) > kEndMax || std::abs(slice.stop / 2) > kEndMax) return Heap::exhausted();
  std::vector<Value> items;
  bool ok = true;
  std::int64_t i = slice.start;
  while (ok && (slice.step > 0 ? i < slice.stop : i > slice.stop)) {
    ok = heap.spend_bytes(sizeof(Value));
    items.push_back(Value::integer(i));
    const std::int64_t left = slice.stop - i;
    if (slice.step > 0 ? slice.step >= left : slice.step <= left) break;
    i += slice.step;
  }
  if (!ok) return Heap::exhausted();
  return heap.list(std::move(items));
}

// The template refuses its input. What comes from a request stays out of the message.
Result<Value> raise(const Arguments& arguments) {
  std::string message = "the chat template refuses these messages";
  if (!arguments.positional.empty() && arguments.positional[0].is(Kind::kText)) {
    const MarkedText& text = arguments.positional[0].text();
    message += ": ";
    std::size_t begin = 0;
    for (const MarkedText::Run& run : text.runs()) {
      message += run.trusted ? text.text().substr(begin, run.end - begin) : "…";
      begin = run.end;
    }
  }
  return fail(ErrorCode::kInvalid, std::move(message));
}

Result<Value> strftime_now(Heap& heap, const Arguments& arguments, WallTime now) {
  if (arguments.positional.size() != 1 || !arguments.positional[0].is(Kind::kText)) {
    return fail(ErrorCode::kInvalid, "'strftime_now' needs a format");
  }
  const std::string& format = arguments.positional[0].text().text();
  const std::time_t seconds = unix_seconds(now);
  std::tm calendar{};
  std::array<char, 256> text{};
  if (format.empty() || ::gmtime_r(&seconds, &calendar) == nullptr) return heap.text("", true);
  const std::size_t bytes = std::strftime(text.data(), text.size(), format.c_str(), &calendar);
  return heap.text(std::string_view(text.data(), bytes), true);
}

}  // namespace

Result<Value> arithmetic(Heap& heap, std::string_view op, const Value& a, const Value& b) {
  if (op == "+" && a.is(Kind::kText) && b.is(Kind::kText)) {
    TextBuilder text(heap);
    text.append(a.text());
    text.append(b.text());
    return text.finish();
  }
  if (op == "+" && a.is(Kind::kList) && b.is(Kind::kList)) {
    if (!heap.spend_bytes((a.list().items.size() + b.list().items.size()) * sizeof(Value))) {
      return Heap::exhausted();
    }
    std::vector<Value> items = a.list().items;
    items.insert(items.end(), b.list().items.begin(), b.list().items.end());
    return heap.list(std::move(items));
  }
  if (!a.is_number() || !b.is_number()) {
    const Value& culprit = a.is(Kind::kUndefined) ? a : b;
    if (culprit.is(Kind::kUndefined) && culprit.name() != nullptr) {
      return fail(ErrorCode::kInvalid, "'" + *culprit.name() + "' is undefined");
    }
    return fail(ErrorCode::kInvalid, "'" + std::string(op) + "' can't be used between " +
                                         std::string(kind_name(a.kind())) + " and " +
                                         std::string(kind_name(b.kind())));
  }
  if (a.is(Kind::kFloat) || b.is(Kind::kFloat) || op == "/") return real_arithmetic(op, a.real(), b.real());
  return integer_arithmetic(op, a.integer(), b.integer());
}

Result<Value> call_function(Heap& heap, Function function, const Arguments& arguments,
                            std::optional<WallTime> now) {
  switch (function) {
    case Function::kNamespace:
    case Function::kDict: {
      std::vector<std::pair<Value, Value>> items;
      if (arguments.positional.size() > 1) return fail(ErrorCode::kInvalid, "too many arguments");
      if (!arguments.positional.empty()) {
        if (!arguments.positional[0].is(Kind::kDict)) return fail(ErrorCode::kInvalid, "expected a mapping");
        items = arguments.positional[0].dict().items;
      }
      for (const auto& [name, value] : arguments.named) {
        SLUICE_ASSIGN(const Value key, heap.text(name, true));
        std::erase_if(items, [&](const auto& item) { return item.first.text().text() == key.text().text(); });
        items.emplace_back(key, value);
      }
      return heap.dict(std::move(items), function == Function::kDict ? Kind::kDict : Kind::kNamespace);
    }
    case Function::kRange:
      return range(heap, arguments);
    case Function::kRaiseException:
      return raise(arguments);
    case Function::kStrftimeNow:
      return now ? strftime_now(heap, arguments, *now) : fail(ErrorCode::kInvalid, "there is no time");
  }
  return fail(ErrorCode::kInvalid, "this function is not supported");
}

}  // namespace sluice::jinja
