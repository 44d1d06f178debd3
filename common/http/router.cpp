#include "common/http/router.h"

#include <algorithm>
#include <array>
#include <map>
#include <tuple>

#include "common/base/check.h"

namespace sluice::http {

namespace {

constexpr std::size_t kMethods = 7;

// Takes the next segment off `rest`, which starts with '/'.
std::string_view next_segment(std::string_view& rest) {
  rest.remove_prefix(1);
  const std::size_t slash = std::min(rest.find('/'), rest.size());
  const std::string_view segment = rest.substr(0, slash);
  rest.remove_prefix(slash);
  return segment;
}

}  // namespace

struct Router::Node {
  std::map<std::string, std::unique_ptr<Node>, std::less<>> texts;
  std::unique_ptr<Node> any;  // `{name}`

  // Set where a pattern ends.
  std::string pattern;
  std::vector<std::string> names;
  std::array<std::unique_ptr<Route>, kMethods> routes;

  bool ends_pattern() const { return !pattern.empty(); }

  const Node* find(std::string_view rest, std::vector<std::string_view>& values) const {
    if (rest.empty()) return ends_pattern() ? this : nullptr;
    const std::string_view segment = next_segment(rest);
    if (const auto text = texts.find(segment); text != texts.end()) {
      if (const Node* found = text->second->find(rest, values)) return found;
    }
    if (!any || segment.empty()) return nullptr;
    values.push_back(segment);
    if (const Node* found = any->find(rest, values)) return found;
    values.pop_back();
    return nullptr;
  }
};

Router::Router() : root_(std::make_unique<Node>()) {}
Router::~Router() = default;
Router::Router(Router&&) noexcept = default;
Router& Router::operator=(Router&&) noexcept = default;

void Router::add(Method method, std::string pattern, Route route) {
  SLUICE_CHECK(pattern.starts_with('/'));
  SLUICE_CHECK((route.handler != nullptr) != (route.open_body != nullptr));
  Node* node = root_.get();
  std::vector<std::string> names;
  for (std::string_view rest = pattern; !rest.empty();) {
    const std::string_view segment = next_segment(rest);
    std::unique_ptr<Node>* next = nullptr;
    if (segment.starts_with('{')) {
      SLUICE_CHECK(segment.size() > 2 && segment.ends_with('}'));
      names.emplace_back(segment.substr(1, segment.size() - 2));
      next = &node->any;
    } else {
      next = &node->texts[std::string(segment)];
    }
    if (!*next) *next = std::make_unique<Node>();
    node = next->get();
  }
  // Two methods of one path must agree on its names: they share one pattern.
  SLUICE_CHECK(!node->ends_pattern() || node->pattern == pattern);
  node->pattern = std::move(pattern);
  node->names = std::move(names);
  std::unique_ptr<Route>& place = node->routes[static_cast<std::size_t>(method)];
  SLUICE_CHECK(place == nullptr);
  place = std::make_unique<Route>(std::move(route));
}

std::vector<std::pair<Method, std::string>> Router::routes() const {
  std::vector<std::pair<Method, std::string>> found;
  std::vector<const Node*> left{root_.get()};
  while (!left.empty()) {
    const Node* node = left.back();
    left.pop_back();
    for (std::size_t i = 0; i < kMethods; ++i) {
      if (node->routes[i]) found.emplace_back(static_cast<Method>(i), node->pattern);
    }
    for (const auto& [text, next] : node->texts) left.push_back(next.get());
    if (node->any) left.push_back(node->any.get());
  }
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) {
    return std::tie(a.second, a.first) < std::tie(b.second, b.first);
  });
  return found;
}

Router::Match Router::match(Method method, std::string_view path) const {
  Match match;
  if (!path.starts_with('/')) return match;
  std::vector<std::string_view> values;
  const Node* node = root_->find(path, values);
  if (node == nullptr) return match;
  match.pattern = &node->pattern;
  match.route = node->routes[static_cast<std::size_t>(method)].get();
  if (match.route == nullptr && method == Method::kHead) {
    match.route = node->routes[static_cast<std::size_t>(Method::kGet)].get();
  }
  if (match.route == nullptr) {
    const bool has_head = node->routes[static_cast<std::size_t>(Method::kHead)] != nullptr;
    for (std::size_t i = 0; i < kMethods; ++i) {
      if (!node->routes[i]) continue;
      match.allow += std::string(method_name(static_cast<Method>(i))) + ", ";
      if (static_cast<Method>(i) == Method::kGet && !has_head) match.allow += "HEAD, ";
    }
    match.allow += "OPTIONS";
    return match;
  }
  match.path_params.reserve(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    std::optional<std::string> value = percent_decode(values[i], false);
    if (!value) {
      match.bad_escape = true;
      return match;
    }
    match.path_params.emplace_back(node->names[i], std::move(*value));
  }
  return match;
}

}  // namespace sluice::http
