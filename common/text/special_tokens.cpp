#include "common/text/special_tokens.h"

#include <algorithm>

namespace sluice {
namespace {

constexpr auto kByByte = [](const std::pair<std::uint8_t, std::uint32_t>& edge, std::uint8_t byte) {
  return edge.first < byte;
};

}  // namespace

SpecialTokens::SpecialTokens() : nodes_(1) {}

void SpecialTokens::add(std::string_view text, std::int32_t id, bool control) {
  first_[static_cast<unsigned char>(text.front())] = true;
  if (!control) user_defined_ = true;
  std::size_t node = 0;
  for (const char c : text) {
    const auto byte = static_cast<std::uint8_t>(c);
    if (const auto next = child(node, byte)) {
      node = *next;
      continue;
    }
    const std::size_t created = nodes_.size();
    auto& edges = nodes_[node].children;
    edges.insert(std::lower_bound(edges.begin(), edges.end(), byte, kByByte),
                 {byte, static_cast<std::uint32_t>(created)});
    nodes_.emplace_back();
    node = created;
  }
  if (nodes_[node].id >= 0) return;
  nodes_[node].id = id;
  nodes_[node].control = control;
}

std::optional<std::size_t> SpecialTokens::child(std::size_t node, std::uint8_t byte) const {
  const auto& edges = nodes_[node].children;
  const auto edge = std::lower_bound(edges.begin(), edges.end(), byte, kByByte);
  if (edge == edges.end() || edge->first != byte) return std::nullopt;
  return edge->second;
}

}  // namespace sluice
