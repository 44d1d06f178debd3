// The values that a chat template computes with, and the heap they live in for the time of one rendering.
// Texts carry marks of where they come from (marked_text.h) through every operation. Internal to this folder.
//
// Values are small handles into their Heap. Everything made is charged to a budget, so that a template can
// neither hang nor fill the memory; the heap frees all at once, so cycles and depth don't matter. Not safe
// for concurrent use.
#pragma once

#include <cstdint>
#include <deque>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/result.h"
#include "common/text/jinja_ast.h"
#include "common/text/marked_text.h"

namespace sluice::jinja {

struct Dict;
struct List;
struct Loop;

enum class Kind : std::uint8_t {
  kUndefined,
  kNone,
  kBool,
  kInt,
  kFloat,
  kText,
  kList,
  kDict,
  kNamespace,
  kLoop,
  kMacro,
  kFunction,  // One of the global functions.
};
std::string_view kind_name(Kind kind);

enum class Function : std::uint8_t { kNamespace, kRange, kDict, kRaiseException, kStrftimeNow };

class Value {
 public:
  Value() : kind_(Kind::kUndefined) { as_.name = nullptr; }
  // `name` is what was looked up, for messages; may be null; must outlive the value.
  static Value undefined(const std::string* name) {
    Value value;
    value.as_.name = name;
    return value;
  }
  static Value none() { return Value(Kind::kNone); }
  static Value boolean(bool b) {
    Value value(Kind::kBool);
    value.as_.boolean = b;
    return value;
  }
  static Value integer(std::int64_t i) {
    Value value(Kind::kInt);
    value.as_.integer = i;
    return value;
  }
  static Value real(double d) {
    Value value(Kind::kFloat);
    value.as_.real = d;
    return value;
  }
  static Value function(Function f) {
    Value value(Kind::kFunction);
    value.as_.function = f;
    return value;
  }
  static Value macro(const Stmt* macro) {
    Value value(Kind::kMacro);
    value.as_.macro = macro;
    return value;
  }
  static Value loop(Loop* loop) {
    Value value(Kind::kLoop);
    value.as_.loop = loop;
    return value;
  }

  Kind kind() const { return kind_; }
  bool is(Kind kind) const { return kind_ == kind; }
  bool is_number() const { return is(Kind::kInt) || is(Kind::kFloat) || is(Kind::kBool); }

  // Each only for its kind.
  const std::string* name() const { return as_.name; }
  bool boolean() const { return as_.boolean; }
  std::int64_t integer() const { return is(Kind::kBool) ? (as_.boolean ? 1 : 0) : as_.integer; }
  double real() const { return is(Kind::kFloat) ? as_.real : static_cast<double>(integer()); }
  const MarkedText& text() const { return *as_.text; }
  const List& list() const { return *as_.list; }
  const Dict& dict() const { return *as_.dict; }  // Also of a namespace.
  Dict& mutable_dict() const { return *as_.dict; }
  const Loop& loop() const { return *as_.loop; }
  const Stmt& macro() const { return *as_.macro; }
  Function function() const { return as_.function; }

 private:
  friend class Heap;
  explicit Value(Kind kind) : kind_(kind) {}

  Kind kind_;
  union {
    const std::string* name;
    bool boolean;
    std::int64_t integer;
    double real;
    const MarkedText* text;
    const List* list;
    Dict* dict;
    Loop* loop;
    const Stmt* macro;
    Function function;
  } as_;
};

struct List {
  std::vector<Value> items;
};
// In the order of insertion. Keys are texts.
struct Dict {
  std::vector<std::pair<Value, Value>> items;
  const Value* find(std::string_view key) const;
};
struct Loop {
  std::span<const Value> items;
  std::size_t index0 = 0;
};

struct Budget {
  std::uint64_t steps = 0;
  std::uint64_t bytes = 0;
};

class Heap {
 public:
  explicit Heap(Budget budget) : left_(budget) {}
  Heap(const Heap&) = delete;
  Heap& operator=(const Heap&) = delete;

  // False once the budget is used up, and from then on.
  bool spend_steps(std::uint64_t steps) { return spend(left_.steps, steps); }
  bool spend_bytes(std::uint64_t bytes) { return spend(left_.bytes, bytes); }
  static tl::unexpected<Error> exhausted();

  Result<Value> text(MarkedText text);
  Result<Value> text(std::string_view text, bool trusted) { return this->text(MarkedText(text, trusted)); }
  Result<Value> list(std::vector<Value> items);
  Result<Value> dict(std::vector<std::pair<Value, Value>> items, Kind kind = Kind::kDict);
  Result<Loop*> loop();
  // All its texts untrusted.
  Result<Value> from_json(const nlohmann::ordered_json& json, int depth = 0);

 private:
  bool spend(std::uint64_t& left, std::uint64_t amount);

  Budget left_;
  bool exhausted_ = false;
  std::deque<MarkedText> texts_;
  std::deque<List> lists_;
  std::deque<Dict> dicts_;
  std::deque<Loop> loops_;
};

// Gathers text, charging it as it comes. Once the budget is used up it takes nothing more and `finish` fails.
class TextBuilder {
 public:
  explicit TextBuilder(Heap& heap) : heap_(heap) {}
  void append(std::string_view text, bool trusted);
  void append(const MarkedText& text) { append(text, 0, text.size()); }
  void append(const MarkedText& text, std::size_t from, std::size_t count);
  bool ok() const { return ok_; }
  Result<Value> finish();
  Result<MarkedText> take();

 private:
  Heap& heap_;
  MarkedText text_;
  bool ok_ = true;
};

inline constexpr int kValueDepthMax = 64;

bool truthy(const Value& value);
// kInvalid: values nested too deeply. Values of different kinds are different, but 1 == 1.0 == true.
Result<bool> equal(Heap& heap, const Value& a, const Value& b, int depth = 0);
// As {{ value }} shows it. kInvalid: a kind that has no text.
Status append_as_text(TextBuilder& out, Heap& heap, const Value& value);
Result<Value> to_text(Heap& heap, const Value& value);
// As JSON, the way Python's json.dumps(ensure_ascii=False) writes it. `indent` < 0: on one line.
Result<Value> to_json(Heap& heap, const Value& value, int indent);

}  // namespace sluice::jinja
