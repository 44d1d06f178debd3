#include "worker/ops/prefix_cache.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"

namespace sluice::ops {
namespace {

using Block = std::array<std::int32_t, kPageTokens>;

Block block_of(std::span<const std::int32_t> ids) {
  Block block;
  std::copy_n(ids.begin(), kPageTokens, block.begin());
  return block;
}

std::size_t common_start(std::span<const std::int32_t> a, std::span<const std::int32_t> b) {
  const std::size_t n = std::min(a.size(), b.size());
  return static_cast<std::size_t>(
      std::mismatch(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(n), b.begin()).first - a.begin());
}

}  // namespace

struct KvLease::Node {
  using Children = std::map<Block, std::unique_ptr<Node>>;
  Node* parent = nullptr;     // None: the root of a scope, which has no page.
  Children::iterator self{};  // In the parent's children.
  std::map<std::string, std::unique_ptr<Node>, std::less<>>::iterator scope{};  // Of a root.
  Children children;
  std::uint32_t page = 0;
  std::size_t users = 0;              // Leases.
  bool ready = false;                 // Computed.
  const KvLease* computer = nullptr;  // Who has begun to compute it.
  std::uint64_t used = 0;
};

KvLease::~KvLease() {
  cache_.close(*this);
}

std::size_t KvLease::skip(std::size_t done) const {
  std::size_t next = done / kPageTokens;
  if (done % kPageTokens == 0) {
    while (next < nodes_.size() && nodes_[next]->ready) ++next;
    done = next * kPageTokens;
  }
  return copied_ > 0 && done == copied_at_ ? done + copied_ : done;
}

std::size_t KvLease::claim(std::size_t done, std::size_t wanted) {
  std::size_t end = done;
  while (end < done + wanted) {
    const std::size_t page = end / kPageTokens;
    if (page >= nodes_.size()) return wanted;
    Node& node = *nodes_[page];
    if (node.ready || (node.computer != nullptr && node.computer != this)) break;
    // From a page's beginning, or in a page that is its own already.
    SLUICE_CHECK(end % kPageTokens == 0 || node.computer == this);
    node.computer = this;
    end = std::min(done + wanted, (page + 1) * kPageTokens);
  }
  return end - done;
}

void KvLease::computed(std::span<const std::int32_t> ids, std::size_t done) {
  const std::size_t full = done / kPageTokens;
  for (; ready_ < std::min(full, nodes_.size()); ++ready_) {
    nodes_[ready_]->ready = true;
    nodes_[ready_]->computer = nullptr;
  }
  while (publishes_ && nodes_.size() < full) {
    const std::size_t page = nodes_.size();
    Node& parent = nodes_.empty() ? *root_ : *nodes_.back();
    const auto block = ids.subspan(page * kPageTokens, kPageTokens);
    Node* known = cache_.find(parent, block);
    if (known != nullptr && !known->ready) {
      // Somebody is about to compute the same: two pages for it, and this one stays unknown.
      publishes_ = false;
      return;
    }
    if (known != nullptr) {
      cache_.use(*known);
      cache_.cache_.replace(pages_, page, known->page);
    } else {
      known = cache_.add(parent, block, pages_.page(page), nullptr);
      known->ready = true;
    }
    nodes_.push_back(known);
    ready_ = nodes_.size();
  }
}

void KvLease::forget() {
  publishes_ = false;
  while (!nodes_.empty() && nodes_.back()->users == 1 && nodes_.back()->children.empty()) {
    nodes_.back()->ready = false;
    cache_.drop(*nodes_.back());
    nodes_.pop_back();
  }
  ready_ = std::min(ready_, nodes_.size());
}

PrefixCache::PrefixCache(KvCache& cache, bool sharing) : cache_(cache), sharing_(sharing) {}

PrefixCache::~PrefixCache() {
  while (!evictable_.empty()) remove(*evictable_.begin()->second);
  SLUICE_CHECK(roots_.empty());  // Else a lease outlives it.
}

PrefixCache::Node* PrefixCache::find(Node& parent, std::span<const std::int32_t> block) const {
  const auto found = parent.children.find(block_of(block));
  return found == parent.children.end() ? nullptr : found->second.get();
}

// The new node has one user.
PrefixCache::Node* PrefixCache::add(Node& parent, std::span<const std::int32_t> block, std::uint32_t page,
                                    const KvLease* computer) {
  const auto [self, is_new] = parent.children.emplace(block_of(block), std::make_unique<Node>());
  SLUICE_CHECK(is_new);
  Node& node = *self->second;
  node.parent = &parent;
  node.self = self;
  node.page = page;
  node.users = 1;
  node.computer = computer;
  cache_.hold(page);
  return &node;
}

void PrefixCache::use(Node& node) {
  if (node.users++ > 0) return;
  --idle_;
  evictable_.erase({node.used, &node});
}

// A lease lets go of a node; of the nodes of its path the last one first.
void PrefixCache::drop(Node& node) {
  if (--node.users > 0) return;
  ++idle_;
  node.used = clock_;
  if (node.children.empty()) evictable_.emplace(node.used, &node);
  if (!node.ready) remove(node);
}

// Of a node without users and children.
void PrefixCache::remove(Node& node) {
  SLUICE_CHECK(node.users == 0 && node.children.empty());
  evictable_.erase({node.used, &node});
  --idle_;
  cache_.let_go(node.page);
  Node& parent = *node.parent;
  parent.children.erase(node.self);  // The node is no more.
  if (parent.users > 0 || !parent.children.empty()) return;
  if (parent.parent == nullptr) {
    roots_.erase(parent.scope);
  } else {
    evictable_.emplace(parent.used, &parent);
  }
}

bool PrefixCache::make_room(std::size_t pages) {
  if (pages > pages_free()) return false;
  while (cache_.pages_free() < pages) {
    SLUICE_CHECK(!evictable_.empty());
    remove(*evictable_.begin()->second);
    ++evictions_;
  }
  return true;
}

// The computed page after `parent` that begins with most of `rest`. In the order of the tree these are
// neighbours of where `rest` would stand.
std::pair<PrefixCache::Node*, std::size_t> PrefixCache::longest_start(
    Node& parent, std::span<const std::int32_t> rest) const {
  Block wanted;
  wanted.fill(-1);  // Before any token.
  std::copy_n(rest.begin(), std::min(rest.size(), kPageTokens), wanted.begin());
  const auto after = parent.children.lower_bound(wanted);
  std::pair<Node*, std::size_t> best{nullptr, 0};
  const auto consider = [&](Node::Children::iterator child) {
    const std::size_t same = common_start(rest, child->first);
    if (child->second->ready && same > best.second) best = {child->second.get(), same};
  };
  if (after != parent.children.end()) consider(after);
  if (after != parent.children.begin()) consider(std::prev(after));
  return best;
}

std::unique_ptr<KvLease> PrefixCache::open(std::string_view scope, std::span<const std::int32_t> prompt,
                                           std::size_t tokens) {
  SLUICE_CHECK(!prompt.empty() && prompt.size() <= tokens);
  std::unique_ptr<KvLease> lease(new KvLease(*this));
  const std::size_t total = KvCache::pages_for(tokens);
  if (!sharing_) {
    if (!make_room(total)) return nullptr;
    lease->pages_ = *cache_.reserve(tokens);
    return lease;
  }
  auto root = roots_.find(scope);
  if (root == roots_.end()) {
    root = roots_.emplace(scope, std::make_unique<Node>()).first;
    root->second->scope = root;
  }
  lease->root_ = root->second.get();
  ++lease->root_->users;
  lease->publishes_ = true;

  // The last token of the prompt is computed in any case: its logits are wanted.
  const std::size_t shareable = (prompt.size() - 1) / kPageTokens;
  const auto block = [&](std::size_t page) { return prompt.subspan(page * kPageTokens, kPageTokens); };
  Node* last = lease->root_;
  std::vector<std::uint32_t> shared;
  while (lease->nodes_.size() < shareable) {
    Node* known = find(*last, block(lease->nodes_.size()));
    if (known == nullptr) break;
    use(*known);
    lease->nodes_.push_back(known);
    shared.push_back(known->page);
    last = known;
  }
  const std::size_t first_own = shared.size();
  std::pair<Node*, std::size_t> start{nullptr, 0};
  if (last == lease->root_ || last->ready) {
    start = longest_start(
        *last, prompt.subspan(first_own * kPageTokens, prompt.size() - 1 - first_own * kPageTokens));
  }
  if (start.first != nullptr) use(*start.first);  // Not to be given up before it is copied.
  bool fits = make_room(total - first_own);
  if (!fits && start.first != nullptr) {
    drop(*start.first);
    start.first = nullptr;
    fits = make_room(total - first_own);
  }
  if (fits) {
    lease->pages_ = *cache_.reserve(tokens, shared);
    if (start.first != nullptr) {
      cache_.copy(start.first->page, lease->pages_.page(first_own));
      lease->copied_ = start.second;
      lease->copied_at_ = first_own * kPageTokens;
    }
    for (std::size_t page = first_own; page < shareable; ++page) {
      const KvLease* computer = page == first_own && start.first != nullptr ? lease.get() : nullptr;
      last = add(*last, block(page), lease->pages_.page(page), computer);
      lease->nodes_.push_back(last);
    }
  }
  if (start.first != nullptr) drop(*start.first);
  if (!fits) return nullptr;  // The lease lets go of what it found.
  return lease;
}

void PrefixCache::close(KvLease& lease) {
  ++clock_;
  for (; !lease.nodes_.empty(); lease.nodes_.pop_back()) {
    Node& node = *lease.nodes_.back();
    if (node.computer == &lease) node.computer = nullptr;
    drop(node);
  }
  lease.pages_.release();
  if (lease.root_ != nullptr && --lease.root_->users == 0 && lease.root_->children.empty()) {
    roots_.erase(lease.root_->scope);
  }
}

}  // namespace sluice::ops
