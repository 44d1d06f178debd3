// Whose jobs go next: deficit round robin over the tenants that wait for one queue, counted in tokens.
//
// Each turn earns a tenant `quantum` tokens; it sends while it has some left, and what the last job took too
// much it pays in its next turns. So with n tenants waiting each gets an n-th of the tokens, whatever the
// number and the size of its jobs. A tenant that was not waiting goes before those that were, for one turn: a
// single job never waits for a round of everybody.
//
// Not safe for concurrent use; nothing here blocks.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <vector>

#include "common/ids/ids.h"
#include "common/store/job_store.h"

namespace sluice::producer {

// A tenant's next jobs, as read from the database.
struct TenantTasks {
  std::deque<DueTask> tasks;
  bool more = false;  // It has others behind these.
};

class FairShare {
 public:
  // A small quantum mixes tenants finely, a large one keeps a tenant's jobs together.
  explicit FairShare(std::int64_t quantum_tokens) : quantum_(quantum_tokens) {}

  // It has jobs in the database that are to be published.
  void wait(const TenantId& tenant);
  // It has none after all.
  void rest(const TenantId& tenant);
  bool waits(const TenantId& tenant) const;
  std::size_t waiting() const { return waiting_; }
  // The first `count` waiting tenants in the order of their turns.
  std::vector<TenantId> upcoming(std::size_t count) const;

  // Up to `max` jobs in their turns, taken out of `tasks`. A waiting tenant that is not in `tasks`, or whose
  // tasks are used up while it has `more`, keeps its turn for the next call; one without more comes to rest.
  std::vector<DueTask> take(std::map<TenantId, TenantTasks>& tasks, std::size_t max);

  // How many of a tenant's new jobs, of so many tokens each, may go past the turns: all while nobody waits;
  // none if it waits itself; else what its turns would have allowed, and they pay for it.
  std::size_t pass(const TenantId& tenant, const std::vector<std::int64_t>& tokens);

 private:
  struct Account {
    std::int64_t deficit = 0;  // Tokens it may still take in this turn; negative: it took too many.
    bool waiting = false;
  };
  void come_to_rest(Account& account);
  void forget_if_idle();

  std::int64_t quantum_;
  std::map<TenantId, Account> accounts_;
  // Each tenant with an account is in one of these, once.
  std::deque<TenantId> newcomers_;  // Before the others, for one turn.
  std::deque<TenantId> turns_;
  std::size_t waiting_ = 0;
};

}  // namespace sluice::producer
