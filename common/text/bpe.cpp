#include "common/text/bpe.h"

#include <algorithm>
#include <bit>
#include <limits>

namespace sluice {
namespace {

constexpr std::uint64_t kEmpty = ~std::uint64_t{0};
constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();
// Up to this length a scan over all pairs beats a heap.
constexpr std::size_t kShortBytes = 40;

std::uint64_t pair_of(BpeSymbol left, BpeSymbol right) {
  return (static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32) |
         static_cast<std::uint32_t>(right);
}

std::size_t mix(std::uint64_t pair) {
  pair ^= pair >> 32;
  pair *= 0x9E3779B97F4A7C15ULL;
  pair ^= pair >> 29;
  return static_cast<std::size_t>(pair);
}

// The heap's front is the candidate to merge next.
struct Later {
  bool operator()(const BpeMerger::Scratch::Candidate& a, const BpeMerger::Scratch::Candidate& b) const {
    return a.rank != b.rank ? a.rank > b.rank : a.node > b.node;
  }
};

}  // namespace

BpeMerger::BpeMerger(std::size_t merges_expected)
    : slots_(std::bit_ceil(std::max<std::size_t>(16, merges_expected * 2)), Slot{kEmpty, 0, 0}) {}

void BpeMerger::add_merge(std::uint32_t rank, BpeSymbol left, BpeSymbol right, BpeSymbol result) {
  if ((used_ + 1) * 2 > slots_.size()) grow();
  const std::uint64_t pair = pair_of(left, right);
  const std::size_t mask = slots_.size() - 1;
  std::size_t at = mix(pair) & mask;
  while (slots_[at].pair != kEmpty) {
    if (slots_[at].pair == pair) return;
    at = (at + 1) & mask;
  }
  slots_[at] = Slot{pair, rank, result};
  ++used_;
}

void BpeMerger::grow() {
  std::vector<Slot> old(slots_.size() * 2, Slot{kEmpty, 0, 0});
  old.swap(slots_);
  const std::size_t mask = slots_.size() - 1;
  for (const Slot& slot : old) {
    if (slot.pair == kEmpty) continue;
    std::size_t at = mix(slot.pair) & mask;
    while (slots_[at].pair != kEmpty) at = (at + 1) & mask;
    slots_[at] = slot;
  }
}

const BpeMerger::Slot* BpeMerger::find(BpeSymbol left, BpeSymbol right) const {
  const std::uint64_t pair = pair_of(left, right);
  const std::size_t mask = slots_.size() - 1;
  for (std::size_t at = mix(pair) & mask; slots_[at].pair != kEmpty; at = (at + 1) & mask) {
    if (slots_[at].pair == pair) return &slots_[at];
  }
  return nullptr;
}

void BpeMerger::merge(std::string_view piece, Scratch& scratch, std::vector<Part>& parts) const {
  if (piece.size() <= kShortBytes) {
    merge_short(piece, scratch, parts);
  } else {
    merge_long(piece, scratch, parts);
  }
}

void BpeMerger::merge_short(std::string_view piece, Scratch& scratch, std::vector<Part>& parts) const {
  const std::size_t first = parts.size();
  for (std::size_t i = 0; i < piece.size(); ++i) {
    parts.push_back({bytes_[static_cast<unsigned char>(piece[i])], static_cast<std::uint32_t>(i)});
  }
  // ranks[i]: of the pair that begins at part i.
  std::vector<std::uint32_t>& ranks = scratch.ranks;
  ranks.clear();
  const auto rank_at = [&](std::size_t i) {
    const Slot* slot = find(parts[first + i].symbol, parts[first + i + 1].symbol);
    return slot == nullptr ? kNone : slot->rank;
  };
  for (std::size_t i = 0; i + 1 < piece.size(); ++i) ranks.push_back(rank_at(i));
  while (!ranks.empty()) {
    const auto best = std::min_element(ranks.begin(), ranks.end());
    if (*best == kNone) break;
    const auto i = static_cast<std::size_t>(best - ranks.begin());
    parts[first + i].symbol = find(parts[first + i].symbol, parts[first + i + 1].symbol)->result;
    parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(first + i + 1));
    ranks.erase(best);
    if (i < ranks.size()) ranks[i] = rank_at(i);
    if (i > 0) ranks[i - 1] = rank_at(i - 1);
  }
}

void BpeMerger::merge_long(std::string_view piece, Scratch& scratch, std::vector<Part>& parts) const {
  std::vector<Scratch::Node>& nodes = scratch.nodes;
  std::vector<Scratch::Candidate>& heap = scratch.heap;
  nodes.clear();
  heap.clear();
  const auto count = static_cast<std::uint32_t>(piece.size());
  for (std::uint32_t i = 0; i < count; ++i) {
    nodes.push_back({bytes_[static_cast<unsigned char>(piece[i])], i, i + 1 < count ? i + 1 : kNone,
                     i > 0 ? i - 1 : kNone});
  }
  const auto candidate_at = [&](std::uint32_t node) -> std::optional<Scratch::Candidate> {
    if (node == kNone || nodes[node].next == kNone) return std::nullopt;
    const BpeSymbol left = nodes[node].symbol;
    const BpeSymbol right = nodes[nodes[node].next].symbol;
    const Slot* slot = find(left, right);
    if (slot == nullptr) return std::nullopt;
    return Scratch::Candidate{slot->rank, node, left, right};
  };
  const auto push = [&](std::uint32_t node) {
    if (const auto candidate = candidate_at(node)) {
      heap.push_back(*candidate);
      std::push_heap(heap.begin(), heap.end(), Later{});
    }
  };
  for (std::uint32_t i = 0; i < count; ++i) {
    if (const auto candidate = candidate_at(i)) heap.push_back(*candidate);
  }
  std::make_heap(heap.begin(), heap.end(), Later{});

  // A node that was merged into its left neighbour keeps a symbol that no candidate has.
  constexpr BpeSymbol kGone = -1;
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), Later{});
    const Scratch::Candidate best = heap.back();
    heap.pop_back();
    Scratch::Node& left = nodes[best.node];
    if (left.symbol != best.left || left.next == kNone) continue;
    Scratch::Node& right = nodes[left.next];
    if (right.symbol != best.right) continue;
    left.symbol = find(best.left, best.right)->result;
    right.symbol = kGone;
    left.next = right.next;
    if (left.next != kNone) nodes[left.next].previous = best.node;
    push(left.previous);
    push(best.node);
  }
  for (std::uint32_t node = 0; node != kNone; node = nodes[node].next) {
    parts.push_back({nodes[node].symbol, nodes[node].begin});
  }
}

}  // namespace sluice
