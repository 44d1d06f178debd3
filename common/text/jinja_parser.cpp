#include "common/text/jinja_parser.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <initializer_list>
#include <optional>

namespace sluice::jinja {
namespace {

using ExprResult = Result<std::unique_ptr<Expr>>;

class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  // A closing tag that nothing opened is no statement, so this reads to the end or fails.
  Result<Body> run() { return parse_body({}); }

 private:
  // Tokens.

  const Token& peek(std::size_t ahead = 0) const {
    return tokens_[std::min(next_ + ahead, tokens_.size() - 1)];
  }
  Token take() {
    const std::size_t at = std::min(next_, tokens_.size() - 1);
    ++next_;
    return tokens_[at];
  }
  bool is_operator(std::string_view text, std::size_t ahead = 0) const {
    return peek(ahead).kind == TokenKind::kOperator && peek(ahead).text == text;
  }
  bool is_name(std::string_view text, std::size_t ahead = 0) const {
    return peek(ahead).kind == TokenKind::kName && peek(ahead).text == text;
  }
  bool accept_operator(std::string_view text) {
    if (!is_operator(text)) return false;
    ++next_;
    return true;
  }
  bool accept_name(std::string_view text) {
    if (!is_name(text)) return false;
    ++next_;
    return true;
  }
  tl::unexpected<Error> error(std::string_view message) const { return error_at(peek().at, message); }
  Status expect_operator(std::string_view text) {
    if (!accept_operator(text)) return error("expected '" + std::string(text) + "'");
    return {};
  }
  Status expect(TokenKind kind, std::string_view what) {
    if (peek().kind != kind) return error("expected " + std::string(what));
    ++next_;
    return {};
  }
  Result<std::string> expect_identifier() {
    if (peek().kind != TokenKind::kName) return error("expected a name");
    return take().text;
  }

  // Statements.

  bool at_tag(std::initializer_list<std::string_view> names) const {
    if (peek().kind != TokenKind::kTagBegin || peek(1).kind != TokenKind::kName) return false;
    return std::find(names.begin(), names.end(), peek(1).text) != names.end();
  }

  // Up to (not with) a tag of one of the given names, or the end.
  Result<Body> parse_body(std::initializer_list<std::string_view> ends) {
    if (++block_depth_ > kBlockDepthMax) return error("tags are nested too deeply");
    Body body;
    while (peek().kind != TokenKind::kEnd && !at_tag(ends)) {
      SLUICE_ASSIGN(std::unique_ptr<Stmt> statement, parse_statement());
      body.push_back(std::move(statement));
    }
    --block_depth_;
    return body;
  }

  Result<std::unique_ptr<Stmt>> parse_statement() {
    auto statement = std::make_unique<Stmt>();
    statement->at = peek().at;
    if (peek().kind == TokenKind::kText) {
      statement->kind = StmtKind::kText;
      statement->text = take().text;
      return statement;
    }
    if (peek().kind == TokenKind::kOutputBegin) {
      ++next_;
      statement->kind = StmtKind::kOutput;
      SLUICE_ASSIGN(statement->expr, parse_tuple());
      SLUICE_TRY(expect(TokenKind::kOutputEnd, "'}}'"));
      return statement;
    }
    SLUICE_TRY(expect(TokenKind::kTagBegin, "a tag"));
    const Position at = peek().at;
    SLUICE_ASSIGN(const std::string tag, expect_identifier());
    if (tag == "if") {
      SLUICE_TRY(parse_if(*statement));
    } else if (tag == "for") {
      SLUICE_TRY(parse_for(*statement));
    } else if (tag == "set") {
      SLUICE_TRY(parse_set(*statement));
    } else if (tag == "macro") {
      SLUICE_TRY(parse_macro(*statement));
    } else if (tag == "generation") {
      statement->kind = StmtKind::kGroup;
      SLUICE_TRY(end_tag());
      SLUICE_ASSIGN(statement->body, parse_body({"endgeneration"}));
      SLUICE_TRY(close("endgeneration"));
    } else if (tag == "break" || tag == "continue") {
      if (loop_depth_ == 0) return error_at(at, "'" + tag + "' outside of a loop");
      statement->kind = tag == "break" ? StmtKind::kBreak : StmtKind::kContinue;
      SLUICE_TRY(end_tag());
    } else {
      return error_at(at, "tag '" + tag + "' is not supported here");
    }
    return statement;
  }

  Status end_tag() { return expect(TokenKind::kTagEnd, "'%}'"); }
  Status close(std::string_view name) {
    if (!at_tag({name})) return error("expected '{% " + std::string(name) + " %}'");
    next_ += 2;
    return end_tag();
  }

  Status parse_if(Stmt& statement) {
    statement.kind = StmtKind::kIf;
    while (true) {
      Branch branch;
      SLUICE_ASSIGN(branch.condition, parse_tuple());
      SLUICE_TRY(end_tag());
      SLUICE_ASSIGN(branch.body, parse_body({"elif", "else", "endif"}));
      statement.branches.push_back(std::move(branch));
      if (!at_tag({"elif"})) break;
      next_ += 2;
    }
    if (at_tag({"else"})) {
      SLUICE_TRY(close("else"));
      SLUICE_ASSIGN(statement.otherwise, parse_body({"endif"}));
    }
    return close("endif");
  }

  Status parse_targets(std::vector<std::string>& targets) {
    const bool grouped = accept_operator("(");
    do {
      SLUICE_ASSIGN(std::string name, expect_identifier());
      targets.push_back(std::move(name));
    } while (accept_operator(",") && peek().kind == TokenKind::kName);
    if (grouped) SLUICE_TRY(expect_operator(")"));
    return {};
  }

  Status parse_for(Stmt& statement) {
    statement.kind = StmtKind::kFor;
    SLUICE_TRY(parse_targets(statement.targets));
    if (!accept_name("in")) return error("expected 'in'");
    // Without a ternary: `if` begins the filter here.
    SLUICE_ASSIGN(statement.expr, parse_or());
    if (accept_name("if")) {
      SLUICE_ASSIGN(statement.condition, parse_expression());
    }
    if (is_name("recursive")) return error("recursive loops are not supported");
    SLUICE_TRY(end_tag());
    ++loop_depth_;
    SLUICE_ASSIGN(statement.body, parse_body({"else", "endfor"}));
    --loop_depth_;
    if (at_tag({"else"})) {
      SLUICE_TRY(close("else"));
      SLUICE_ASSIGN(statement.otherwise, parse_body({"endfor"}));
    }
    return close("endfor");
  }

  Status parse_set(Stmt& statement) {
    SLUICE_TRY(parse_targets(statement.targets));
    if (statement.targets.size() == 1 && accept_operator(".")) {
      SLUICE_ASSIGN(statement.attribute, expect_identifier());
    }
    if (accept_operator("=")) {
      statement.kind = StmtKind::kSet;
      SLUICE_ASSIGN(statement.expr, parse_tuple());
      return end_tag();
    }
    if (is_operator("|")) return error("filters on a block 'set' are not supported");
    if (statement.targets.size() != 1) return error("expected '='");
    statement.kind = StmtKind::kSetBlock;
    SLUICE_TRY(end_tag());
    SLUICE_ASSIGN(statement.body, parse_body({"endset"}));
    return close("endset");
  }

  Status parse_macro(Stmt& statement) {
    statement.kind = StmtKind::kMacro;
    SLUICE_ASSIGN(statement.text, expect_identifier());
    SLUICE_TRY(expect_operator("("));
    while (!is_operator(")")) {
      Parameter parameter;
      SLUICE_ASSIGN(parameter.name, expect_identifier());
      if (accept_operator("=")) {
        SLUICE_ASSIGN(parameter.fallback, parse_expression());
      } else if (!statement.parameters.empty() && statement.parameters.back().fallback) {
        return error("a parameter without a default comes after one with");
      }
      statement.parameters.push_back(std::move(parameter));
      if (!accept_operator(",")) break;
    }
    SLUICE_TRY(expect_operator(")"));
    SLUICE_TRY(end_tag());
    // A loop around the macro is not a loop of its body.
    const int loops = std::exchange(loop_depth_, 0);
    SLUICE_ASSIGN(statement.body, parse_body({"endmacro"}));
    loop_depth_ = loops;
    return close("endmacro");
  }

  // Expressions, from the loosest binding to the tightest. Chains are built by loops; the depth of the tree
  // that results is bounded in `finish`, recursion by `Deeper`.

  class Deeper {
   public:
    explicit Deeper(Parser& parser) : parser_(parser) { ++parser_.expr_depth_; }
    ~Deeper() { --parser_.expr_depth_; }
    Deeper(const Deeper&) = delete;
    Deeper& operator=(const Deeper&) = delete;
    bool too_deep() const { return parser_.expr_depth_ > kExprDepthMax; }

   private:
    Parser& parser_;
  };

  std::unique_ptr<Expr> make(ExprKind kind, Position at) const {
    auto expr = std::make_unique<Expr>();
    expr->kind = kind;
    expr->at = at;
    return expr;
  }

  static ExprResult finish(std::unique_ptr<Expr> expr) {
    int depth = 0;
    for (const ExprPtr& operand : expr->operands) {
      if (operand) depth = std::max(depth, operand->depth);
    }
    for (const auto& [name, value] : expr->named) depth = std::max(depth, value->depth);
    expr->depth = depth + 1;
    if (expr->depth > kExprDepthMax) return error_at(expr->at, "the expression is nested too deeply");
    return expr;
  }

  ExprResult finish_binary(ExprKind kind, Position at, std::string name, ExprPtr left, ExprPtr right) {
    auto expr = make(kind, at);
    expr->name = std::move(name);
    expr->operands.push_back(std::move(left));
    expr->operands.push_back(std::move(right));
    return finish(std::move(expr));
  }

  // One expression, or several with commas between them, which are a list.
  ExprResult parse_tuple() {
    const Position at = peek().at;
    SLUICE_ASSIGN(auto first, parse_expression());
    if (!is_operator(",")) return first;
    auto list = make(ExprKind::kList, at);
    list->operands.push_back(std::move(first));
    while (accept_operator(",")) {
      if (peek().kind == TokenKind::kOutputEnd || peek().kind == TokenKind::kTagEnd || is_operator(")"))
        break;
      SLUICE_ASSIGN(auto item, parse_expression());
      list->operands.push_back(std::move(item));
    }
    return finish(std::move(list));
  }

  ExprResult parse_expression() {
    const Deeper deeper(*this);
    if (deeper.too_deep()) return error("the expression is nested too deeply");
    SLUICE_ASSIGN(auto expr, parse_or());
    while (is_name("if")) {
      auto ternary = make(ExprKind::kTernary, take().at);
      SLUICE_ASSIGN(auto condition, parse_or());
      ternary->operands.push_back(std::move(condition));
      ternary->operands.push_back(std::move(expr));
      if (accept_name("else")) {
        SLUICE_ASSIGN(auto otherwise, parse_expression());
        ternary->operands.push_back(std::move(otherwise));
      }
      SLUICE_ASSIGN(expr, finish(std::move(ternary)));
    }
    return expr;
  }

  ExprResult parse_or() {
    SLUICE_ASSIGN(auto left, parse_and());
    while (is_name("or")) {
      const Position at = take().at;
      SLUICE_ASSIGN(auto right, parse_and());
      SLUICE_ASSIGN(left, finish_binary(ExprKind::kOr, at, {}, std::move(left), std::move(right)));
    }
    return left;
  }

  ExprResult parse_and() {
    SLUICE_ASSIGN(auto left, parse_not());
    while (is_name("and")) {
      const Position at = take().at;
      SLUICE_ASSIGN(auto right, parse_not());
      SLUICE_ASSIGN(left, finish_binary(ExprKind::kAnd, at, {}, std::move(left), std::move(right)));
    }
    return left;
  }

  ExprResult parse_not() {
    if (!is_name("not")) return parse_compare();
    const Deeper deeper(*this);
    if (deeper.too_deep()) return error("the expression is nested too deeply");
    auto expr = make(ExprKind::kNot, take().at);
    SLUICE_ASSIGN(auto operand, parse_not());
    expr->operands.push_back(std::move(operand));
    return finish(std::move(expr));
  }

  std::optional<std::string> take_comparison() {
    static constexpr std::array<std::string_view, 6> kOperators = {"==", "!=", "<=", ">=", "<", ">"};
    for (const std::string_view candidate : kOperators) {
      if (accept_operator(candidate)) return std::string(candidate);
    }
    if (accept_name("in")) return "in";
    if (is_name("not") && is_name("in", 1)) {
      next_ += 2;
      return "not in";
    }
    return std::nullopt;
  }

  ExprResult parse_compare() {
    const Position at = peek().at;
    SLUICE_ASSIGN(auto first, parse_sum());
    auto name = take_comparison();
    if (!name) return first;
    auto expr = make(ExprKind::kCompare, at);
    expr->operands.push_back(std::move(first));
    for (; name; name = take_comparison()) {
      expr->operators.push_back(std::move(*name));
      SLUICE_ASSIGN(auto operand, parse_sum());
      expr->operands.push_back(std::move(operand));
    }
    return finish(std::move(expr));
  }

  ExprResult parse_sum() {
    SLUICE_ASSIGN(auto left, parse_concat());
    while (is_operator("+") || is_operator("-")) {
      Token token = take();
      SLUICE_ASSIGN(auto right, parse_concat());
      SLUICE_ASSIGN(left, finish_binary(ExprKind::kArithmetic, token.at, std::move(token.text),
                                        std::move(left), std::move(right)));
    }
    return left;
  }

  ExprResult parse_concat() {
    const Position at = peek().at;
    SLUICE_ASSIGN(auto first, parse_product());
    if (!is_operator("~")) return first;
    auto expr = make(ExprKind::kConcat, at);
    expr->operands.push_back(std::move(first));
    while (accept_operator("~")) {
      SLUICE_ASSIGN(auto operand, parse_product());
      expr->operands.push_back(std::move(operand));
    }
    return finish(std::move(expr));
  }

  ExprResult parse_product() {
    SLUICE_ASSIGN(auto left, parse_power());
    while (is_operator("*") || is_operator("/") || is_operator("//") || is_operator("%")) {
      Token token = take();
      SLUICE_ASSIGN(auto right, parse_power());
      SLUICE_ASSIGN(left, finish_binary(ExprKind::kArithmetic, token.at, std::move(token.text),
                                        std::move(left), std::move(right)));
    }
    return left;
  }

  ExprResult parse_power() {
    SLUICE_ASSIGN(auto left, parse_unary(true));
    while (is_operator("**")) {
      Token token = take();
      SLUICE_ASSIGN(auto right, parse_unary(true));
      SLUICE_ASSIGN(left, finish_binary(ExprKind::kArithmetic, token.at, std::move(token.text),
                                        std::move(left), std::move(right)));
    }
    return left;
  }

  ExprResult parse_unary(bool with_filters) {
    const Deeper deeper(*this);
    if (deeper.too_deep()) return error("the expression is nested too deeply");
    std::unique_ptr<Expr> expr;
    if (is_operator("-")) {
      auto negate = make(ExprKind::kNegate, take().at);
      SLUICE_ASSIGN(auto operand, parse_unary(false));
      negate->operands.push_back(std::move(operand));
      SLUICE_ASSIGN(expr, finish(std::move(negate)));
    } else if (accept_operator("+")) {
      SLUICE_ASSIGN(expr, parse_unary(false));
    } else {
      SLUICE_ASSIGN(expr, parse_primary());
    }
    SLUICE_ASSIGN(expr, parse_postfix(std::move(expr)));
    if (with_filters) {
      SLUICE_ASSIGN(expr, parse_filters_and_tests(std::move(expr)));
    }
    return expr;
  }

  ExprResult parse_primary() {
    const Token token = take();
    switch (token.kind) {
      case TokenKind::kName:
        return parse_word(token);
      case TokenKind::kString: {
        auto expr = make(ExprKind::kLiteral, token.at);
        std::string text = token.text;
        while (peek().kind == TokenKind::kString) text += take().text;  // Adjacent ones are one.
        expr->literal = std::move(text);
        return expr;
      }
      case TokenKind::kInteger: {
        std::int64_t value = 0;
        const char* const end = token.text.data() + token.text.size();
        if (std::from_chars(token.text.data(), end, value).ec != std::errc()) {
          return error_at(token.at, "the number is too large");
        }
        auto expr = make(ExprKind::kLiteral, token.at);
        expr->literal = value;
        return expr;
      }
      case TokenKind::kFloat: {
        double value = 0;
        const char* const end = token.text.data() + token.text.size();
        if (std::from_chars(token.text.data(), end, value).ec != std::errc()) {
          return error_at(token.at, "the number is out of range");
        }
        auto expr = make(ExprKind::kLiteral, token.at);
        expr->literal = value;
        return expr;
      }
      case TokenKind::kOperator:
        if (token.text == "(") return parse_group();
        if (token.text == "[") return parse_list(token.at);
        if (token.text == "{") return parse_dict(token.at);
        break;
      default:
        break;
    }
    return error_at(token.at, "expected an expression");
  }

  ExprResult parse_word(const Token& token) {
    if (token.text == "true" || token.text == "True" || token.text == "false" || token.text == "False") {
      auto expr = make(ExprKind::kLiteral, token.at);
      expr->literal = token.text == "true" || token.text == "True";
      return expr;
    }
    if (token.text == "none" || token.text == "None") return make(ExprKind::kLiteral, token.at);
    auto expr = make(ExprKind::kName, token.at);
    expr->name = token.text;
    return expr;
  }

  ExprResult parse_group() {
    if (is_operator(")")) {
      auto empty = make(ExprKind::kList, take().at);
      return empty;
    }
    SLUICE_ASSIGN(auto expr, parse_tuple());
    SLUICE_TRY(expect_operator(")"));
    return expr;
  }

  ExprResult parse_list(Position at) {
    auto list = make(ExprKind::kList, at);
    while (!is_operator("]")) {
      SLUICE_ASSIGN(auto item, parse_expression());
      list->operands.push_back(std::move(item));
      if (!accept_operator(",")) break;
    }
    SLUICE_TRY(expect_operator("]"));
    return finish(std::move(list));
  }

  ExprResult parse_dict(Position at) {
    auto dict = make(ExprKind::kDict, at);
    while (!is_operator("}")) {
      SLUICE_ASSIGN(auto key, parse_expression());
      SLUICE_TRY(expect_operator(":"));
      SLUICE_ASSIGN(auto value, parse_expression());
      dict->operands.push_back(std::move(key));
      dict->operands.push_back(std::move(value));
      if (!accept_operator(",")) break;
    }
    SLUICE_TRY(expect_operator("}"));
    return finish(std::move(dict));
  }

  ExprResult parse_postfix(std::unique_ptr<Expr> expr) {
    while (true) {
      if (is_operator(".")) {
        const Position at = take().at;
        auto access = make(peek().kind == TokenKind::kInteger ? ExprKind::kItem : ExprKind::kAttribute, at);
        access->operands.push_back(std::move(expr));
        if (access->kind == ExprKind::kItem) {
          SLUICE_ASSIGN(auto key, parse_primary());
          access->operands.push_back(std::move(key));
        } else {
          SLUICE_ASSIGN(access->name, expect_identifier());
        }
        SLUICE_ASSIGN(expr, finish(std::move(access)));
      } else if (is_operator("[")) {
        SLUICE_ASSIGN(expr, parse_subscript(std::move(expr)));
      } else if (is_operator("(")) {
        auto call = make(ExprKind::kCall, peek().at);
        call->operands.push_back(std::move(expr));
        SLUICE_TRY(parse_arguments(*call));
        SLUICE_ASSIGN(expr, finish(std::move(call)));
      } else {
        return expr;
      }
    }
  }

  ExprResult parse_subscript(std::unique_ptr<Expr> object) {
    const Position at = take().at;
    std::array<ExprPtr, 3> parts;
    std::size_t part = 0;
    bool slice = false;
    while (!is_operator("]")) {
      if (accept_operator(":")) {
        slice = true;
        if (++part > 2) return error("a slice has three parts at most");
        continue;
      }
      if (parts[part]) return error("expected ']'");
      SLUICE_ASSIGN(parts[part], parse_expression());
    }
    SLUICE_TRY(expect_operator("]"));
    if (!slice && !parts[0]) return error_at(at, "the subscript is empty");
    auto access = make(slice ? ExprKind::kSlice : ExprKind::kItem, at);
    access->operands.push_back(std::move(object));
    access->operands.push_back(std::move(parts[0]));
    if (slice) {
      access->operands.push_back(std::move(parts[1]));
      access->operands.push_back(std::move(parts[2]));
    }
    return finish(std::move(access));
  }

  // "(" arguments ")"
  Status parse_arguments(Expr& call) {
    SLUICE_TRY(expect_operator("("));
    while (!is_operator(")")) {
      if (is_operator("*") || is_operator("**")) return error("'*' arguments are not supported");
      if (peek().kind == TokenKind::kName && is_operator("=", 1)) {
        std::string name = take().text;
        ++next_;
        SLUICE_ASSIGN(auto value, parse_expression());
        call.named.emplace_back(std::move(name), std::move(value));
      } else {
        if (!call.named.empty()) return error("a positional argument comes after a named one");
        SLUICE_ASSIGN(auto value, parse_expression());
        call.operands.push_back(std::move(value));
      }
      if (!accept_operator(",")) break;
    }
    return expect_operator(")");
  }

  ExprResult parse_filters_and_tests(std::unique_ptr<Expr> expr) {
    while (true) {
      if (is_operator("|")) {
        auto filter = make(ExprKind::kFilter, take().at);
        SLUICE_ASSIGN(filter->name, expect_identifier());
        filter->operands.push_back(std::move(expr));
        if (is_operator("(")) SLUICE_TRY(parse_arguments(*filter));
        SLUICE_ASSIGN(expr, finish(std::move(filter)));
      } else if (is_name("is")) {
        auto test = make(ExprKind::kTest, take().at);
        test->negated = accept_name("not");
        SLUICE_ASSIGN(test->name, expect_identifier());
        test->operands.push_back(std::move(expr));
        if (is_operator("(")) {
          SLUICE_TRY(parse_arguments(*test));
        } else if (begins_test_argument()) {
          SLUICE_ASSIGN(auto argument, parse_primary());
          SLUICE_ASSIGN(argument, parse_postfix(std::move(argument)));
          test->operands.push_back(std::move(argument));
        }
        SLUICE_ASSIGN(expr, finish(std::move(test)));
      } else if (is_operator("(")) {
        auto call = make(ExprKind::kCall, peek().at);
        call->operands.push_back(std::move(expr));
        SLUICE_TRY(parse_arguments(*call));
        SLUICE_ASSIGN(expr, finish(std::move(call)));
      } else {
        return expr;
      }
    }
  }

  // Whether a test's one argument follows without parentheses, as in `x is divisibleby 3`.
  bool begins_test_argument() const {
    switch (peek().kind) {
      case TokenKind::kString:
      case TokenKind::kInteger:
      case TokenKind::kFloat:
        return true;
      case TokenKind::kName:
        return !is_name("else") && !is_name("or") && !is_name("and") && !is_name("is") && !is_name("if") &&
               !is_name("in") && !is_name("not");
      case TokenKind::kOperator:
        return is_operator("[") || is_operator("{");
      default:
        return false;
    }
  }

  const std::vector<Token> tokens_;
  std::size_t next_ = 0;
  int block_depth_ = 0;
  int expr_depth_ = 0;
  int loop_depth_ = 0;
};

}  // namespace

Result<Body> parse(std::string_view source) {
  SLUICE_ASSIGN(std::vector<Token> tokens, lex(source));
  return Parser(std::move(tokens)).run();
}

}  // namespace sluice::jinja
