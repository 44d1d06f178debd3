#include "producer/dispatch/fair_share.h"

#include <algorithm>

namespace sluice::producer {

namespace {

std::int64_t cost_of(std::int64_t tokens) {
  return std::max<std::int64_t>(1, tokens);
}

}  // namespace

void FairShare::wait(const TenantId& tenant) {
  const auto [at, added] = accounts_.try_emplace(tenant);
  if (added) {
    at->second.deficit = quantum_;
    newcomers_.push_back(tenant);
  }
  if (!at->second.waiting) ++waiting_;
  at->second.waiting = true;
}

void FairShare::come_to_rest(Account& account) {
  if (account.waiting) --waiting_;
  account.waiting = false;
}

void FairShare::rest(const TenantId& tenant) {
  const auto found = accounts_.find(tenant);
  if (found == accounts_.end()) return;
  come_to_rest(found->second);
  forget_if_idle();
}

void FairShare::forget_if_idle() {
  // With nobody waiting there is nothing to share, and no debt counts.
  if (waiting_ > 0) return;
  accounts_.clear();
  newcomers_.clear();
  turns_.clear();
}

bool FairShare::waits(const TenantId& tenant) const {
  const auto found = accounts_.find(tenant);
  return found != accounts_.end() && found->second.waiting;
}

std::vector<TenantId> FairShare::upcoming(std::size_t count) const {
  std::vector<TenantId> tenants;
  for (const auto* list : {&newcomers_, &turns_}) {
    for (const TenantId& tenant : *list) {
      if (tenants.size() == count) return tenants;
      if (accounts_.at(tenant).waiting) tenants.push_back(tenant);
    }
  }
  return tenants;
}

std::vector<DueTask> FairShare::take(std::map<TenantId, TenantTasks>& tasks, std::size_t max) {
  std::vector<DueTask> taken;
  // With nobody left who can be served no turn may pass: it would pay debts for nothing.
  std::size_t servable = 0;
  for (const auto& [tenant, own] : tasks) servable += !own.tasks.empty() && waits(tenant) ? 1 : 0;
  std::deque<TenantId> held_newcomers;
  std::deque<TenantId> held_turns;
  while (taken.size() < max && servable > 0) {
    const bool newcomer = !newcomers_.empty();
    std::deque<TenantId>& list = newcomer ? newcomers_ : turns_;
    const TenantId tenant = list.front();
    Account& account = accounts_.at(tenant);
    const auto own = tasks.find(tenant);
    const bool has_tasks = own != tasks.end() && !own->second.tasks.empty();
    if (account.waiting && !has_tasks) {
      (newcomer ? held_newcomers : held_turns).push_back(tenant);
      list.pop_front();
      continue;
    }
    if (account.deficit <= 0) {
      account.deficit += quantum_;
      list.pop_front();
      turns_.push_back(tenant);
      continue;
    }
    if (!account.waiting) {
      list.pop_front();
      // Not forgotten before the others had their turn: else coming and going would be a way to the front.
      if (newcomer && !turns_.empty()) {
        turns_.push_back(tenant);
      } else {
        accounts_.erase(tenant);
      }
      continue;
    }
    account.deficit -= cost_of(own->second.tasks.front().tokens_max);
    taken.push_back(std::move(own->second.tasks.front()));
    own->second.tasks.pop_front();
    if (!own->second.tasks.empty()) continue;
    --servable;
    if (!own->second.more) come_to_rest(account);
  }
  newcomers_.insert(newcomers_.begin(), held_newcomers.begin(), held_newcomers.end());
  turns_.insert(turns_.begin(), held_turns.begin(), held_turns.end());
  forget_if_idle();
  return taken;
}

std::size_t FairShare::pass(const TenantId& tenant, const std::vector<std::int64_t>& tokens) {
  if (waiting_ == 0) return tokens.size();
  if (waits(tenant)) return 0;
  const auto found = accounts_.find(tenant);
  std::int64_t deficit = found == accounts_.end() ? quantum_ : found->second.deficit;
  std::size_t passed = 0;
  while (passed < tokens.size() && deficit > 0) deficit -= cost_of(tokens[passed++]);
  if (passed == 0) return 0;
  if (found == accounts_.end()) turns_.push_back(tenant);
  accounts_[tenant].deficit = deficit;
  return passed;
}

}  // namespace sluice::producer
