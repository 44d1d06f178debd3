#include "common/text/score_merger.h"

#include <algorithm>
#include <unordered_map>

namespace sluice {
namespace {

constexpr std::uint32_t kNone = 0xFFFFFFFFU;

struct Node {
  std::uint32_t begin;
  std::uint32_t bytes;  // 0: was joined to its left neighbour.
  std::uint32_t previous;
  std::uint32_t next;
};

struct Candidate {
  float score;
  std::uint32_t node;   // Its left half …
  std::uint32_t bytes;  // … and how long both were when they met: else the candidate is stale.
};

// The best candidate is at the heap's top: the highest score, then the leftmost.
bool worse(const Candidate& a, const Candidate& b) {
  return a.score != b.score ? a.score < b.score : a.node > b.node;
}

// Bytes of the character that begins at `at`; 1 for a byte that begins none.
std::uint32_t character_bytes(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(at);
  const std::uint32_t bytes = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
  if (lead >= 0xF8 || at + bytes > text.size()) return 1;
  for (std::uint32_t i = 1; i < bytes; ++i) {
    if ((byte(at + i) & 0xC0) != 0x80) return 1;
  }
  return bytes;
}

class Merge {
 public:
  Merge(std::string_view text, const ScoreMerger::Find& find, std::size_t piece_bytes_max)
      : text_(text), find_(find), piece_bytes_max_(piece_bytes_max) {
    for (std::size_t at = 0; at < text.size();) {
      const std::uint32_t bytes = character_bytes(text, at);
      const auto index = static_cast<std::uint32_t>(nodes_.size());
      nodes_.push_back({static_cast<std::uint32_t>(at), bytes, index == 0 ? kNone : index - 1, index + 1});
      at += bytes;
    }
    if (!nodes_.empty()) nodes_.back().next = kNone;
  }

  void run(std::vector<ScoreMerger::Part>& parts) {
    for (std::uint32_t i = 0; i + 1 < nodes_.size(); ++i) consider(i);
    while (!heap_.empty()) {
      std::pop_heap(heap_.begin(), heap_.end(), worse);
      const Candidate best = heap_.back();
      heap_.pop_back();
      Node& left = nodes_[best.node];
      if (left.bytes == 0 || left.next == kNone || left.bytes + nodes_[left.next].bytes != best.bytes)
        continue;
      Node& right = nodes_[left.next];
      left.bytes += right.bytes;
      right.bytes = 0;
      left.next = right.next;
      if (left.next != kNone) nodes_[left.next].previous = best.node;
      if (left.previous != kNone) consider(left.previous);
      consider(best.node);
    }
    for (std::uint32_t i = nodes_.empty() ? kNone : 0; i != kNone; i = nodes_[i].next) {
      emit(nodes_[i].begin, nodes_[i].bytes, parts);
    }
  }

 private:
  // The piece that the node and its right neighbour would make.
  void consider(std::uint32_t index) {
    const Node& left = nodes_[index];
    if (left.next == kNone) return;
    const std::uint32_t bytes = left.bytes + nodes_[left.next].bytes;
    if (bytes > piece_bytes_max_) return;
    const ScoreMerger::Piece piece = find_(text_.substr(left.begin, bytes));
    if (piece.id < 0) return;
    if (!piece.emitted) halves_[{left.begin, bytes}] = left.bytes;
    heap_.push_back({piece.score, index, bytes});
    std::push_heap(heap_.begin(), heap_.end(), worse);
  }

  // Halves are shorter than the whole, and no piece is longer than piece_bytes_max: the recursion is bounded.
  void emit(std::uint32_t begin, std::uint32_t bytes, std::vector<ScoreMerger::Part>& parts) {
    const ScoreMerger::Piece piece = find_(text_.substr(begin, bytes));
    const auto half = piece.id >= 0 && !piece.emitted ? halves_.find({begin, bytes}) : halves_.end();
    if (half != halves_.end()) {
      const std::uint32_t left = half->second;
      emit(begin, left, parts);
      emit(begin + left, bytes - left, parts);
      return;
    }
    parts.push_back({piece.emitted ? piece.id : -1, begin});
  }

  struct PlaceHash {
    std::size_t operator()(const std::pair<std::uint32_t, std::uint32_t>& place) const {
      return std::hash<std::uint64_t>()((std::uint64_t{place.first} << 32) | place.second);
    }
  };

  std::string_view text_;
  const ScoreMerger::Find& find_;
  std::size_t piece_bytes_max_;
  std::vector<Node> nodes_;
  std::vector<Candidate> heap_;
  // Where a piece that is split again was put together: (begin, bytes) to bytes of its left half.
  std::unordered_map<std::pair<std::uint32_t, std::uint32_t>, std::uint32_t, PlaceHash> halves_;
};

}  // namespace

void ScoreMerger::merge(std::string_view text, const Find& find, std::size_t piece_bytes_max,
                        std::vector<Part>& parts) {
  Merge(text, find, piece_bytes_max).run(parts);
}

}  // namespace sluice
