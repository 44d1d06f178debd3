#include "common/text/jinja_eval.h"

#include <algorithm>
#include <array>

#include "common/text/jinja_builtins.h"

namespace sluice::jinja {
namespace {

enum class Flow { kNormal, kBreak, kContinue };

// The names that are visible, as a stack of frames. A lookup sees all frames of the current macro (or of the
// template), then the template's outermost one.
class Scope {
 public:
  explicit Scope(Heap& heap) : heap_(heap) {}

  struct Mark {
    std::size_t frame;
    std::size_t base;
    std::size_t size;
  };
  Mark push(bool macro) {
    const Mark mark{frame_, base_, names_.size()};
    frame_ = names_.size();
    if (macro) base_ = frame_;
    if (depth_++ == 0) globals_ = names_.size();
    return mark;
  }
  void pop(const Mark& mark) {
    names_.resize(mark.size);
    frame_ = mark.frame;
    base_ = mark.base;
    --depth_;
  }

  Status set(std::string_view name, const Value& value) {
    if (!heap_.spend_steps((names_.size() - frame_) / 8)) return Heap::exhausted();
    for (std::size_t i = frame_; i < names_.size(); ++i) {
      if (names_[i].first == name) {
        names_[i].second = value;
        return {};
      }
    }
    if (!heap_.spend_bytes(sizeof(names_[0]))) return Heap::exhausted();
    names_.emplace_back(name, value);
    return {};
  }

  Result<const Value*> find(std::string_view name) const {
    for (std::size_t i = names_.size(); i > base_; --i) {
      if (names_[i - 1].first == name) return found(i - 1, names_.size() - i);
    }
    for (std::size_t i = std::min(base_, globals_); i > 0; --i) {
      if (names_[i - 1].first == name) return found(i - 1, names_.size() - i);
    }
    if (!heap_.spend_steps(names_.size() / 8)) return Heap::exhausted();
    return nullptr;
  }

 private:
  Result<const Value*> found(std::size_t at, std::size_t passed) const {
    if (!heap_.spend_steps(passed / 8)) return Heap::exhausted();
    return &names_[at].second;
  }

  Heap& heap_;
  std::vector<std::pair<std::string_view, Value>> names_;
  std::size_t frame_ = 0;    // Where the innermost frame begins: `set` goes there.
  std::size_t base_ = 0;     // Where the current macro's frames begin.
  std::size_t globals_ = 0;  // Where the outermost frame ends, while there are others.
  int depth_ = 0;
};

class Evaluator {
 public:
  Evaluator(Heap& heap, const Globals& globals) : heap_(heap), globals_(globals), scope_(heap) {}

  Result<MarkedText> run(const Body& body) {
    static constexpr std::array kFunctions = {
        std::pair{std::string_view("namespace"), Function::kNamespace},
        std::pair{std::string_view("range"), Function::kRange},
        std::pair{std::string_view("dict"), Function::kDict},
        std::pair{std::string_view("raise_exception"), Function::kRaiseException},
    };
    for (const auto& [name, function] : kFunctions) SLUICE_TRY(scope_.set(name, Value::function(function)));
    if (globals_.now) SLUICE_TRY(scope_.set("strftime_now", Value::function(Function::kStrftimeNow)));
    for (const auto& [name, value] : globals_.variables) SLUICE_TRY(scope_.set(name, value));
    TextBuilder out(heap_);
    SLUICE_TRY(execute(body, out));
    return out.take();
  }

 private:
  // Counts one step of work and one level of depth.
  class Level {
   public:
    explicit Level(Evaluator& evaluator) : depth_(evaluator.depth_) {
      ++depth_;
      ok_ = evaluator.heap_.spend_steps(1);
    }
    ~Level() { --depth_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;
    Status check(Position at) const {
      if (!ok_) return Heap::exhausted();
      if (depth_ > kEvalDepthMax) return error_at(at, "the template is nested too deeply");
      return {};
    }

   private:
    int& depth_;
    bool ok_;
  };

  // A frame of names for as long as it lives.
  class Frame {
   public:
    Frame(Scope& scope, bool macro = false) : scope_(scope), mark_(scope.push(macro)) {}
    ~Frame() { scope_.pop(mark_); }
    Frame(const Frame&) = delete;
    Frame& operator=(const Frame&) = delete;

   private:
    Scope& scope_;
    Scope::Mark mark_;
  };

  template <class T>
  static Result<T> located(Position at, Result<T> result) {
    if (!result) return error_at(at, result.error().message);
    return result;
  }

  // Statements.

  Result<Flow> execute(const Body& body, TextBuilder& out) {
    for (const auto& statement : body) {
      const Level level(*this);
      SLUICE_TRY(level.check(statement->at));
      SLUICE_ASSIGN(const Flow flow, execute(*statement, out));
      if (flow != Flow::kNormal) return flow;
      if (!out.ok()) return Heap::exhausted();
    }
    return Flow::kNormal;
  }

  Result<Flow> execute(const Stmt& statement, TextBuilder& out) {
    switch (statement.kind) {
      case StmtKind::kText:
        out.append(statement.text, true);
        return Flow::kNormal;
      case StmtKind::kOutput: {
        SLUICE_ASSIGN(const Value value, eval(*statement.expr));
        const Status shown = append_as_text(out, heap_, value);
        if (!shown) return error_at(statement.at, shown.error().message);
        return Flow::kNormal;
      }
      case StmtKind::kIf:
        for (const Branch& branch : statement.branches) {
          SLUICE_ASSIGN(const Value condition, eval(*branch.condition));
          if (truthy(condition)) return execute(branch.body, out);
        }
        return execute(statement.otherwise, out);
      case StmtKind::kFor:
        return execute_for(statement, out);
      case StmtKind::kSet: {
        SLUICE_ASSIGN(const Value value, eval(*statement.expr));
        SLUICE_TRY(assign(statement, value));
        return Flow::kNormal;
      }
      case StmtKind::kSetBlock: {
        TextBuilder block(heap_);
        {
          const Frame frame(scope_);
          SLUICE_TRY(execute(statement.body, block));
        }
        SLUICE_ASSIGN(const Value value, block.finish());
        SLUICE_TRY(assign(statement, value));
        return Flow::kNormal;
      }
      case StmtKind::kMacro:
        SLUICE_TRY(scope_.set(statement.text, Value::macro(&statement)));
        return Flow::kNormal;
      case StmtKind::kBreak:
        return Flow::kBreak;
      case StmtKind::kContinue:
        return Flow::kContinue;
      case StmtKind::kGroup:
        return execute(statement.body, out);
    }
    return Flow::kNormal;
  }

  // Gives the loop's or assignment's names their values: one takes all, several take one item each.
  Status bind_targets(const Stmt& statement, const Value& value) {
    if (statement.targets.size() == 1) return scope_.set(statement.targets[0], value);
    const auto items = items_of(heap_, value);
    if (!items) return error_at(statement.at, items.error().message);
    if (items->size() != statement.targets.size()) {
      return error_at(statement.at, "expected " + std::to_string(statement.targets.size()) + " values, not " +
                                        std::to_string(items->size()));
    }
    for (std::size_t i = 0; i < items->size(); ++i) SLUICE_TRY(scope_.set(statement.targets[i], (*items)[i]));
    return {};
  }

  Status assign(const Stmt& statement, const Value& value) {
    if (statement.attribute.empty()) return bind_targets(statement, value);
    SLUICE_ASSIGN(const Value* const target, scope_.find(statement.targets[0]));
    if (target == nullptr || !target->is(Kind::kNamespace)) {
      return error_at(statement.at, "'" + statement.targets[0] + "' is not a namespace");
    }
    Dict& dict = target->mutable_dict();
    if (!heap_.spend_steps(dict.items.size() / 8)) return Heap::exhausted();
    for (auto& [key, item] : dict.items) {
      if (key.text().text() == statement.attribute) {
        item = value;
        return {};
      }
    }
    SLUICE_ASSIGN(const Value key, heap_.text(statement.attribute, true));
    if (!heap_.spend_bytes(sizeof(dict.items[0]))) return Heap::exhausted();
    dict.items.emplace_back(key, value);
    return {};
  }

  Result<Flow> execute_for(const Stmt& statement, TextBuilder& out) {
    SLUICE_ASSIGN(const Value over, eval(*statement.expr));
    SLUICE_ASSIGN(std::vector<Value> items, located(statement.at, items_of(heap_, over)));
    if (statement.condition) {
      std::vector<Value> kept;
      for (const Value& item : items) {
        const Frame frame(scope_);
        SLUICE_TRY(bind_targets(statement, item));
        SLUICE_ASSIGN(const Value condition, eval(*statement.condition));
        if (truthy(condition)) kept.push_back(item);
      }
      items = std::move(kept);
    }
    if (items.empty()) return execute(statement.otherwise, out);
    // A template may keep the loop in a namespace beyond its end, so its items live on the heap.
    SLUICE_ASSIGN(const Value stored, heap_.list(std::move(items)));
    SLUICE_ASSIGN(Loop* const loop, heap_.loop());
    loop->items = stored.list().items;
    for (std::size_t i = 0; i < loop->items.size(); ++i) {
      loop->index0 = i;
      const Level level(*this);
      SLUICE_TRY(level.check(statement.at));
      const Frame frame(scope_);
      SLUICE_TRY(scope_.set("loop", Value::loop(loop)));
      SLUICE_TRY(bind_targets(statement, loop->items[i]));
      SLUICE_ASSIGN(const Flow flow, execute(statement.body, out));
      if (flow == Flow::kBreak) break;
    }
    return Flow::kNormal;
  }

  // Expressions.

  Result<Value> eval(const Expr& expr) {
    const Level level(*this);
    SLUICE_TRY(level.check(expr.at));
    switch (expr.kind) {
      case ExprKind::kLiteral:
        return literal(expr);
      case ExprKind::kName: {
        SLUICE_ASSIGN(const Value* const found, scope_.find(expr.name));
        return found == nullptr ? Value::undefined(&expr.name) : *found;
      }
      case ExprKind::kList: {
        SLUICE_ASSIGN(std::vector<Value> items, eval_all(expr, 0));
        return heap_.list(std::move(items));
      }
      case ExprKind::kDict:
        return eval_dict(expr);
      case ExprKind::kNot: {
        SLUICE_ASSIGN(const Value value, eval(*expr.operands[0]));
        return Value::boolean(!truthy(value));
      }
      case ExprKind::kNegate:
        return negate(expr);
      case ExprKind::kAnd:
      case ExprKind::kOr: {
        SLUICE_ASSIGN(const Value left, eval(*expr.operands[0]));
        if (truthy(left) == (expr.kind == ExprKind::kOr)) return left;
        return eval(*expr.operands[1]);
      }
      case ExprKind::kCompare:
        return eval_comparison(expr);
      case ExprKind::kArithmetic: {
        SLUICE_ASSIGN(const Value left, eval(*expr.operands[0]));
        SLUICE_ASSIGN(const Value right, eval(*expr.operands[1]));
        return located(expr.at, arithmetic(heap_, expr.name, left, right));
      }
      case ExprKind::kConcat: {
        TextBuilder text(heap_);
        for (const ExprPtr& operand : expr.operands) {
          SLUICE_ASSIGN(const Value value, eval(*operand));
          const Status shown = append_as_text(text, heap_, value);
          if (!shown) return error_at(expr.at, shown.error().message);
        }
        return text.finish();
      }
      case ExprKind::kTernary: {
        SLUICE_ASSIGN(const Value condition, eval(*expr.operands[0]));
        if (truthy(condition)) return eval(*expr.operands[1]);
        return expr.operands.size() > 2 ? eval(*expr.operands[2]) : Value();
      }
      case ExprKind::kAttribute: {
        SLUICE_ASSIGN(const Value object, eval(*expr.operands[0]));
        return attribute(object, expr.name, expr.at);
      }
      case ExprKind::kItem:
        return eval_item(expr);
      case ExprKind::kSlice:
        return eval_slice(expr);
      case ExprKind::kCall:
        return eval_call(expr);
      case ExprKind::kFilter: {
        SLUICE_ASSIGN(const Value subject, eval(*expr.operands[0]));
        SLUICE_ASSIGN(const Arguments arguments, eval_arguments(expr));
        return located(expr.at, apply_filter(heap_, expr.name, subject, arguments));
      }
      case ExprKind::kTest: {
        SLUICE_ASSIGN(const Value subject, eval(*expr.operands[0]));
        SLUICE_ASSIGN(const Arguments arguments, eval_arguments(expr));
        SLUICE_ASSIGN(const bool passes, located(expr.at, apply_test(heap_, expr.name, subject, arguments)));
        return Value::boolean(passes != expr.negated);
      }
    }
    return error_at(expr.at, "this expression is not supported");
  }

  Result<Value> literal(const Expr& expr) {
    if (const auto* b = std::get_if<bool>(&expr.literal)) return Value::boolean(*b);
    if (const auto* i = std::get_if<std::int64_t>(&expr.literal)) return Value::integer(*i);
    if (const auto* d = std::get_if<double>(&expr.literal)) return Value::real(*d);
    if (const auto* text = std::get_if<std::string>(&expr.literal)) return heap_.text(*text, true);
    return Value::none();
  }

  Result<std::vector<Value>> eval_all(const Expr& expr, std::size_t from) {
    std::vector<Value> values;
    values.reserve(expr.operands.size());
    for (std::size_t i = from; i < expr.operands.size(); ++i) {
      SLUICE_ASSIGN(const Value value, eval(*expr.operands[i]));
      values.push_back(value);
    }
    return values;
  }

  // Operand 0 is what they are applied to.
  Result<Arguments> eval_arguments(const Expr& expr) {
    Arguments arguments;
    SLUICE_ASSIGN(arguments.positional, eval_all(expr, 1));
    for (const auto& [name, value_expr] : expr.named) {
      SLUICE_ASSIGN(const Value value, eval(*value_expr));
      arguments.named.emplace_back(name, value);
    }
    return arguments;
  }

  Result<Value> eval_dict(const Expr& expr) {
    Dict dict;
    for (std::size_t i = 0; i + 1 < expr.operands.size(); i += 2) {
      SLUICE_ASSIGN(const Value key, eval(*expr.operands[i]));
      SLUICE_ASSIGN(const Value value, eval(*expr.operands[i + 1]));
      if (!key.is(Kind::kText)) return error_at(expr.at, "keys other than strings are not supported");
      if (!heap_.spend_steps(dict.items.size() / 8)) return Heap::exhausted();
      const auto same = std::find_if(dict.items.begin(), dict.items.end(), [&](const auto& item) {
        return item.first.text().text() == key.text().text();
      });
      if (same != dict.items.end()) {
        same->second = value;
      } else {
        dict.items.emplace_back(key, value);
      }
    }
    return heap_.dict(std::move(dict.items));
  }

  Result<Value> negate(const Expr& expr) {
    SLUICE_ASSIGN(const Value value, eval(*expr.operands[0]));
    return located(expr.at, arithmetic(heap_, "-", Value::integer(0), value));
  }

  Result<Value> eval_comparison(const Expr& expr) {
    SLUICE_ASSIGN(Value left, eval(*expr.operands[0]));
    for (std::size_t i = 0; i < expr.operators.size(); ++i) {
      SLUICE_ASSIGN(const Value right, eval(*expr.operands[i + 1]));
      SLUICE_ASSIGN(const bool holds, located(expr.at, compare(heap_, expr.operators[i], left, right)));
      if (!holds) return Value::boolean(false);
      left = right;
    }
    return Value::boolean(true);
  }

  Result<Value> attribute(const Value& object, std::string_view name, Position at) {
    const bool keyed = object.is(Kind::kDict) || object.is(Kind::kNamespace);
    if (keyed && !heap_.spend_steps(object.dict().items.size() / 8)) return Heap::exhausted();
    return located(at, attribute_of(object, name));
  }

  Result<Value> eval_item(const Expr& expr) {
    SLUICE_ASSIGN(const Value object, eval(*expr.operands[0]));
    SLUICE_ASSIGN(const Value key, eval(*expr.operands[1]));
    if (key.is(Kind::kText)) return attribute(object, key.text().text(), expr.at);
    if (!key.is(Kind::kInt)) {
      if (object.is(Kind::kUndefined)) return attribute(object, "[]", expr.at);
      return Value();
    }
    const auto clamp = [&](std::size_t size) -> std::size_t {
      const std::int64_t index =
          key.integer() < 0 ? key.integer() + static_cast<std::int64_t>(size) : key.integer();
      return index < 0 ? size : static_cast<std::size_t>(index);
    };
    if (object.is(Kind::kList)) {
      const auto& items = object.list().items;
      const std::size_t index = clamp(items.size());
      return index < items.size() ? items[index] : Value();
    }
    if (object.is(Kind::kText)) {
      const MarkedText& text = object.text();
      if (!heap_.spend_bytes(text.size() * sizeof(std::size_t))) return Heap::exhausted();
      const std::vector<std::size_t> offsets = char_offsets(text);
      const std::size_t index = clamp(offsets.size() - 1);
      if (index + 1 >= offsets.size()) return Value();
      return heap_.text(text.substr(offsets[index], offsets[index + 1] - offsets[index]));
    }
    if (object.is(Kind::kUndefined)) return attribute(object, "[]", expr.at);
    return Value();
  }

  // Python's rules for a sequence of `length` items.
  Result<Slice> resolve_slice(const Expr& expr, std::int64_t length) {
    std::array<std::optional<std::int64_t>, 3> parts;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      if (!expr.operands[i + 1]) continue;
      SLUICE_ASSIGN(const Value value, eval(*expr.operands[i + 1]));
      if (value.is(Kind::kNone)) continue;
      if (!value.is(Kind::kInt)) return error_at(expr.at, "slice indices must be numbers");
      parts[i] = value.integer();
    }
    const std::int64_t step = parts[2].value_or(1);
    if (step == 0) return error_at(expr.at, "the slice step is zero");
    const std::int64_t low = step > 0 ? 0 : -1;
    const std::int64_t high = step > 0 ? length : length - 1;
    const auto resolve = [&](std::optional<std::int64_t> part, std::int64_t fallback) {
      if (!part) return fallback;
      return std::clamp(*part < 0 ? *part + length : *part, low, high);
    };
    return Slice{resolve(parts[0], step > 0 ? low : high), resolve(parts[1], step > 0 ? high : low), step};
  }

  Result<Value> eval_slice(const Expr& expr) {
    SLUICE_ASSIGN(const Value object, eval(*expr.operands[0]));
    if (object.is(Kind::kList)) {
      const auto& items = object.list().items;
      SLUICE_ASSIGN(const Slice slice, resolve_slice(expr, static_cast<std::int64_t>(items.size())));
      if (!heap_.spend_bytes(items.size() * sizeof(Value))) return Heap::exhausted();
      std::vector<Value> taken;
      for_each_index(slice, [&](std::size_t i) { taken.push_back(items[i]); });
      return heap_.list(std::move(taken));
    }
    if (object.is(Kind::kText)) {
      const MarkedText& text = object.text();
      if (!heap_.spend_bytes(text.size() * sizeof(std::size_t))) return Heap::exhausted();
      const std::vector<std::size_t> offsets = char_offsets(text);
      SLUICE_ASSIGN(const Slice slice, resolve_slice(expr, static_cast<std::int64_t>(offsets.size() - 1)));
      TextBuilder taken(heap_);
      if (slice.step == 1 && slice.start < slice.stop) {
        const std::size_t from = offsets[static_cast<std::size_t>(slice.start)];
        taken.append(text, from, offsets[static_cast<std::size_t>(slice.stop)] - from);
      } else {
        for_each_index(slice,
                       [&](std::size_t i) { taken.append(text, offsets[i], offsets[i + 1] - offsets[i]); });
      }
      return taken.finish();
    }
    return error_at(expr.at, std::string(kind_name(object.kind())) + " can't be sliced");
  }

  // Calls.

  Result<Value> eval_call(const Expr& expr) {
    const Expr& callee = *expr.operands[0];
    if (callee.kind == ExprKind::kAttribute) {
      SLUICE_ASSIGN(const Value object, eval(*callee.operands[0]));
      SLUICE_ASSIGN(const Arguments arguments, eval_arguments(expr));
      if (object.is(Kind::kLoop) && callee.name == "cycle") {
        if (arguments.positional.empty()) return error_at(expr.at, "an argument is missing");
        return arguments.positional[object.loop().index0 % arguments.positional.size()];
      }
      if (object.is(Kind::kNamespace)) {
        SLUICE_ASSIGN(const Value value, attribute(object, callee.name, expr.at));
        if (value.is(Kind::kMacro)) return call_macro(value.macro(), arguments, expr.at);
      }
      return located(expr.at, call_method(heap_, callee.name, object, arguments));
    }
    SLUICE_ASSIGN(const Value function, eval(callee));
    SLUICE_ASSIGN(const Arguments arguments, eval_arguments(expr));
    if (function.is(Kind::kMacro)) return call_macro(function.macro(), arguments, expr.at);
    if (function.is(Kind::kFunction))
      return located(expr.at, call_function(heap_, function.function(), arguments, globals_.now));
    if (function.is(Kind::kUndefined) && callee.kind == ExprKind::kName) {
      return error_at(expr.at, "function '" + callee.name + "' is not supported");
    }
    return error_at(expr.at, std::string(kind_name(function.kind())) + " can't be called");
  }

  Result<Value> call_macro(const Stmt& macro, const Arguments& arguments, Position at) {
    const auto& parameters = macro.parameters;
    if (arguments.positional.size() > parameters.size()) return error_at(at, "too many arguments");
    for (const auto& [name, value] : arguments.named) {
      const auto known = std::find_if(parameters.begin(), parameters.end(),
                                      [wanted = name](const Parameter& p) { return p.name == wanted; });
      if (known == parameters.end()) {
        return error_at(at, "macro '" + macro.text + "' has no parameter '" + std::string(name) + "'");
      }
    }
    const Frame frame(scope_, true);
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      Value value = Value::undefined(&parameters[i].name);
      const auto named =
          std::find_if(arguments.named.begin(), arguments.named.end(),
                       [&](const auto& argument) { return argument.first == parameters[i].name; });
      if (i < arguments.positional.size()) {
        value = arguments.positional[i];
      } else if (named != arguments.named.end()) {
        value = named->second;
      } else if (parameters[i].fallback) {
        SLUICE_ASSIGN(value, eval(*parameters[i].fallback));
      }
      SLUICE_TRY(scope_.set(parameters[i].name, value));
    }
    TextBuilder text(heap_);
    SLUICE_TRY(execute(macro.body, text));
    return text.finish();
  }

  Heap& heap_;
  const Globals& globals_;
  Scope scope_;
  int depth_ = 0;
};

}  // namespace

Result<MarkedText> evaluate(const Body& body, const Globals& globals, Heap& heap) {
  return Evaluator(heap, globals).run(body);
}

}  // namespace sluice::jinja
