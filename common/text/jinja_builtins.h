// The filters, tests and methods that chat templates use. What isn't here is refused by name. Internal to
// this folder.
//
// Pure functions over values of one Heap; errors carry no position (the evaluator adds it).
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/clock.h"
#include "common/base/result.h"
#include "common/text/jinja_value.h"

namespace sluice::jinja {

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string_view, Value>> named;
};

// {{ subject | name(arguments) }}
Result<Value> apply_filter(Heap& heap, std::string_view name, const Value& subject,
                           const Arguments& arguments);
// {{ subject is name(arguments) }}
Result<bool> apply_test(Heap& heap, std::string_view name, const Value& subject, const Arguments& arguments);
// {{ subject.name(arguments) }}
Result<Value> call_method(Heap& heap, std::string_view name, const Value& subject,
                          const Arguments& arguments);

// {{ object.name }} and {{ object["name"] }}: undefined if there is no such thing. kInvalid: the object is
// undefined.
Result<Value> attribute_of(const Value& object, std::string_view name);
// What a loop over it sees. kInvalid: it can't be gone over.
Result<std::vector<Value>> items_of(Heap& heap, const Value& value);
// a + b, a // b …, by the operator's name.
Result<Value> arithmetic(Heap& heap, std::string_view name, const Value& a, const Value& b);
// `now`: what strftime_now() shows, in UTC.
Result<Value> call_function(Heap& heap, Function function, const Arguments& arguments,
                            std::optional<WallTime> now);
// a == b, a < b …, by the operator's name, and `in`.
Result<bool> compare(Heap& heap, std::string_view name, const Value& a, const Value& b);

// A slice of a sequence, resolved against its length as Python does it.
struct Slice {
  std::int64_t start;
  std::int64_t stop;
  std::int64_t step;  // Never 0.
};
template <class F>
void for_each_index(const Slice& slice, F visit) {
  std::int64_t i = slice.start;
  while (slice.step > 0 ? i < slice.stop : i > slice.stop) {
    visit(static_cast<std::size_t>(i));
    // The step may be huge, so the next index is never computed past the end.
    const std::int64_t left = slice.stop - i;
    if (slice.step > 0 ? slice.step >= left : slice.step <= left) break;
    i += slice.step;
  }
}

// Texts by characters.
std::size_t char_count(const MarkedText& text);
std::vector<std::size_t> char_offsets(const MarkedText& text);  // One more than there are characters.

// The arguments in the order of `names`; null where one isn't given. kInvalid: too many, or one of another
// name.
Result<std::vector<const Value*>> bind(const Arguments& arguments,
                                       std::initializer_list<std::string_view> names);

// Methods of texts (jinja_strings.cpp). False in `known`: there is no such method.
Result<Value> call_text_method(Heap& heap, std::string_view name, const MarkedText& text,
                               const Arguments& arguments, bool& known);
// Filters on texts that are methods too.
Result<Value> trim(Heap& heap, const MarkedText& text, const Value* chars, bool left, bool right);
Result<Value> replace(Heap& heap, const MarkedText& text, const Value* from, const Value* to,
                      const Value* count);
enum class LetterCase { kUpper, kLower, kTitle, kCapital };
Result<Value> with_case(Heap& heap, const MarkedText& text, LetterCase letter_case);
Result<Value> join(Heap& heap, const std::vector<Value>& items, const MarkedText& separator);
// Adds `width` spaces to the lines of a text.
Result<Value> indented(Heap& heap, const MarkedText& text, std::size_t width, bool first, bool blank);

}  // namespace sluice::jinja
