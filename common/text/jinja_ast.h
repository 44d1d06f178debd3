// The parsed form of a chat template. Internal to this folder. Immutable after parsing, safe for concurrent
// use.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "common/text/jinja_lexer.h"

namespace sluice::jinja {

struct Expr;
using ExprPtr = std::unique_ptr<const Expr>;

enum class ExprKind {
  kLiteral,     // literal
  kName,        // name
  kList,        // operands
  kDict,        // operands: key, value, key, value …
  kNot,         // operands: 1
  kNegate,      // operands: 1
  kAnd,         // operands: 2
  kOr,          // operands: 2
  kCompare,     // operands: n + 1, operators: n (== != < > <= >= in "not in")
  kArithmetic,  // operands: 2, name: + - * / // % **
  kConcat,      // operands: n (~)
  kTernary,     // operands: condition, then, and maybe else
  kAttribute,   // operands: 1, name
  kItem,        // operands: object, key
  kSlice,       // operands: object, start, stop, step; each of the three may be null
  kCall,        // operands: callee, then arguments; named
  kFilter,      // name, operands: value, then arguments; named
  kTest,        // name, operands: value, then arguments; negated
};

struct Expr {
  ExprKind kind = ExprKind::kLiteral;
  Position at;
  int depth = 1;  // Of this tree; bounded, so that walking and freeing it can recurse.
  std::variant<std::monostate, bool, std::int64_t, double, std::string> literal;  // monostate: none.
  std::string name;
  std::vector<ExprPtr> operands;
  std::vector<std::string> operators;
  std::vector<std::pair<std::string, ExprPtr>> named;
  bool negated = false;
};

struct Stmt;
using Body = std::vector<std::unique_ptr<const Stmt>>;

enum class StmtKind {
  kText,      // text
  kOutput,    // expr
  kIf,        // branches, otherwise
  kFor,       // targets, expr (what to go over), condition (or null), body, otherwise
  kSet,       // targets, attribute (or empty), expr
  kSetBlock,  // targets, attribute (or empty), body
  kMacro,     // text (its name), parameters, body
  kBreak,
  kContinue,
  kGroup,  // body: a tag that only marks a stretch, such as {% generation %}
};

struct Branch {
  ExprPtr condition;
  Body body;
};

struct Parameter {
  std::string name;
  ExprPtr fallback;  // Null: none.
};

struct Stmt {
  StmtKind kind = StmtKind::kText;
  Position at;
  std::string text;
  ExprPtr expr;
  ExprPtr condition;
  std::vector<std::string> targets;
  std::string attribute;  // {% set namespace.attribute = … %}
  std::vector<Branch> branches;
  std::vector<Parameter> parameters;
  Body body;
  Body otherwise;
};

}  // namespace sluice::jinja
