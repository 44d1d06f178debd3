// Pages that several sequences share because their prompts begin alike, and that outlive them.
//
// An index of whole pages: a tree in which a node stands for kPageTokens tokens after those of its parent,
// and names the page with their keys and values. Tokens are compared one by one; nothing rests on a hash.
// Because keys and values depend on the tokens up to their own alone, bit for bit, a page computed for one
// sequence is what any other with the same tokens would have computed.
//
// A sequence takes a KvLease. The nodes of its prompt that exist are its own from then on, those that don't
// are made for it at once, still to be computed: a second sequence with the same prompt finds them, takes up
// no memory for them, and waits until the first has computed them. Where its prompt leaves a known page
// halfway, that page is copied and the copy goes its own way: nobody writes to a page that others may read.
// Pages that a sequence has filled, its answer's included, join the index.
//
// When the last lease of a node ends, its page stays, and is given up only when room is needed: the least
// recently used first, and only where nothing continues it. A lease's pages are never given up.
//
// Scopes keep those apart who must not notice each other by how fast an answer comes: only sequences of the
// same scope share.
//
// Belongs to the thread that owns the cache. Must outlive its leases, and the cache must outlive it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "worker/ops/kv_cache.h"

namespace sluice::ops {

class PrefixCache;

// What one sequence has of the cache. Ends with its destruction.
class KvLease {
 public:
  ~KvLease();
  KvLease(const KvLease&) = delete;
  KvLease& operator=(const KvLease&) = delete;

  const KvPages& pages() const { return pages_; }

  // `done` tokens are in the cache. Returns how many are, now that others have computed, too: at least
  // `done`.
  std::size_t skip(std::size_t done) const;
  // How many tokens after the first `done` this sequence may compute in the next step, at most `wanted`;
  // none: another sequence is computing them. What it may compute it must, or end.
  std::size_t claim(std::size_t done, std::size_t wanted);
  // The first `done` tokens of `ids` are in the cache now.
  void computed(std::span<const std::int32_t> ids, std::size_t done);
  // Nobody shall share from now on what only this sequence has.
  void forget();

 private:
  friend class PrefixCache;
  struct Node;

  explicit KvLease(PrefixCache& cache) : cache_(cache) {}

  PrefixCache& cache_;
  KvPages pages_;
  Node* root_ = nullptr;
  std::vector<Node*> nodes_;   // Of the first pages.
  std::size_t ready_ = 0;      // Nodes known to be computed.
  std::size_t copied_ = 0;     // Tokens that came with a copied page …
  std::size_t copied_at_ = 0;  // … the first of which is this.
  bool publishes_ = false;
};

class PrefixCache {
 public:
  // `cache` is borrowed; from here on only this takes pages from it. Without `sharing` every page is its
  // lease's own.
  explicit PrefixCache(KvCache& cache, bool sharing = true);
  ~PrefixCache();
  PrefixCache(const PrefixCache&) = delete;
  PrefixCache& operator=(const PrefixCache&) = delete;

  // Room for `tokens` tokens that begin with `prompt`, which isn't empty. nullptr: there isn't as much. At
  // least the last token of the prompt is left to be computed.
  std::unique_ptr<KvLease> open(std::string_view scope, std::span<const std::int32_t> prompt,
                                std::size_t tokens);

  KvCache& cache() { return cache_; }
  // Pages that nobody holds but the index; they count as free.
  std::size_t pages_idle() const { return idle_; }
  std::size_t pages_free() const { return cache_.pages_free() + idle_; }
  std::size_t tokens_free() const { return pages_free() * kPageTokens; }
  std::size_t evictions() const { return evictions_; }

 private:
  friend class KvLease;
  using Node = KvLease::Node;

  Node* find(Node& parent, std::span<const std::int32_t> block) const;
  Node* add(Node& parent, std::span<const std::int32_t> block, std::uint32_t page, const KvLease* computer);
  void use(Node& node);
  void drop(Node& node);
  void remove(Node& node);
  bool make_room(std::size_t pages);
  std::pair<Node*, std::size_t> longest_start(Node& parent, std::span<const std::int32_t> rest) const;
  void close(KvLease& lease);

  KvCache& cache_;
  const bool sharing_;
  std::map<std::string, std::unique_ptr<Node>, std::less<>> roots_;  // One for each scope in use.
  std::set<std::pair<std::uint64_t, Node*>> evictable_;  // Idle, continued by none; by time of last use.
  std::size_t idle_ = 0;                                 // Nodes without a lease.
  std::size_t evictions_ = 0;
  std::uint64_t clock_ = 0;  // Counts leases that ended.
};

}  // namespace sluice::ops
