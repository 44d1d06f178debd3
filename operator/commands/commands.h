// The commands that call the admin API: what each may be asked, and the function that does it. Who parses the
// command line (operator/cli) fills the options in.
//
// Results go to the tool's console. Errors: kInvalid for words that are wrong, kCancelled when somebody said
// no or pressed Ctrl-C; the rest as the admin API has them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "operator/commands/tool.h"

namespace sluice::operate {

inline constexpr int kListDefault = 20;

// --- the fleet ---
Status show_status(Tool& tool);
Status list_queues(Tool& tool);
Status list_workers(Tool& tool);

struct DrainOptions {
  std::string worker;
  bool undo = false;
  bool wait = false;  // Until it holds no job any more.
};
Status drain_worker(Tool& tool, const DrainOptions& options);

struct PauseOptions {
  std::string kind;  // model or tenant
  std::string name;
  std::string reason;
};
Status list_pauses(Tool& tool);
Status pause(Tool& tool, const PauseOptions& options);
Status resume(Tool& tool, const PauseOptions& options);

// --- limits ---
struct LimitOptions {
  std::string name;
  std::string tenant, key, route, region, unit;  // Empty: not given.
  bool keys_together = false;
  std::int64_t quota = 0;
  std::int64_t window_s = 0;
};
Status list_limits(Tool& tool);
Status set_limit(Tool& tool, const LimitOptions& options);
Status unset_limit(Tool& tool, const LimitOptions& options);

// --- jobs ---
struct JobListOptions {
  std::string status, model, tenant, batch, after;
  int limit = kListDefault;
};
Status list_jobs(Tool& tool, const JobListOptions& options);
Status show_job(Tool& tool, const std::string& id);
Status cancel_jobs(Tool& tool, const std::vector<std::string>& ids);

// --- dead letters ---
struct LetterFilter {
  std::string tenant, model, fingerprint, error_code, reason;
  std::string from, before;  // As people write times.
};
struct LetterListOptions {
  LetterFilter filter;
  bool each = false;  // Single letters instead of groups.
  std::string state, after;
  std::optional<int> limit;  // 0: all. None: the default of what is listed.
};
Status list_letters(Tool& tool, const LetterListOptions& options);
// A job's letter, or the group of a fingerprint.
Status show_letter(Tool& tool, const std::string& id);

struct ExportOptions {
  LetterFilter filter;
  std::string file;  // Empty: standard output.
};
Status export_letters(Tool& tool, const ExportOptions& options);

struct ReplayOptions {
  std::string id;
  std::vector<std::string> set;  // FIELD=VALUE
  std::string changes;           // A JSON file; "-": standard input.
};
Status replay_letter(Tool& tool, const ReplayOptions& options);

struct MoveOptions {
  std::vector<std::string> ids;
  LetterFilter filter;
  bool all = false;
  bool dry_run = false;
  bool no_wait = false;
  // Of redrives only.
  bool force = false;
  bool outcome = false;  // Wait until the redriven jobs have ended.
  std::optional<int> canary;
  std::optional<double> rate;
  std::string expires_in;
};
Status redrive_letters(Tool& tool, const MoveOptions& options);
Status discard_letters(Tool& tool, const MoveOptions& options);

// --- redrives and discards under way ---
Status list_operations(Tool& tool, int limit, const std::string& after);
struct WatchOptions {
  std::string id;
  bool outcome = false;
  bool no_wait = false;
};
Status watch_operation(Tool& tool, const WatchOptions& options);
Status continue_operation(Tool& tool, const WatchOptions& options);
Status stop_operation(Tool& tool, const WatchOptions& options);

// --- keys, audit ---
struct KeyCreateOptions {
  std::string tenant = "default";
  std::string name;
  std::vector<std::string> scopes;
};
Status list_keys(Tool& tool, const std::string& tenant);
Status create_key(Tool& tool, const KeyCreateOptions& options);
Status revoke_key(Tool& tool, const std::string& id);

// --- webhooks, of the key's own tenant ---
struct PageOptions {
  std::string after;
  int limit = kListDefault;
};
Status list_endpoints(Tool& tool, const PageOptions& options);
Status show_endpoint(Tool& tool, const std::string& id);
Status test_endpoint(Tool& tool, const std::string& id);

struct DeliveryListOptions {
  std::string status, endpoint, job, event;
  PageOptions page;
};
Status list_deliveries(Tool& tool, const DeliveryListOptions& options);
// With its attempts.
Status show_delivery(Tool& tool, const std::string& id);
struct DeliveryReplayOptions {
  std::string id;     // One, or …
  std::string since;  // … all since then, as people write times.
  std::string endpoint, after;
  bool any = false;  // Delivered ones, too.
};
Status replay_deliveries(Tool& tool, const DeliveryReplayOptions& options);

struct AuditOptions {
  std::string action, after;
  int limit = kListDefault;
};
Status list_audit(Tool& tool, const AuditOptions& options);

}  // namespace sluice::operate
