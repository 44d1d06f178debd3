// limits.
#include <cstdint>

#include "operator/cli/words.h"
#include "operator/commands/commands.h"

namespace sluice::operate {

void add_limits(CLI::App& app, Invocation& invocation) {
  CLI::App* limits = add_group(app, "limits", "Requests and tokens that tenants and keys may have in a time");
  on_call(*limits->add_subcommand("list", "What is limited"), invocation, list_limits);

  CLI::App* set = limits->add_subcommand("set", "Make a limit, or change the one of that name");
  const auto options = on_call<LimitOptions>(*set, invocation, set_limit);
  set->add_option("NAME", options->name, "Clients see it: small letters, digits, '-', '_' and '.'")
      ->required();
  set->add_option("--quota", options->quota, "So many")
      ->required()
      ->type_name("N")
      ->check(from_to<std::int64_t>(1, 1'000'000'000'000));
  set->add_option("--window", options->window_s, "In so many seconds")
      ->required()
      ->type_name("SECONDS")
      ->check(from_to<std::int64_t>(1, 86'400));
  set->add_option("--unit", options->unit, "requests (the default) or tokens")
      ->check(CLI::IsMember({"requests", "tokens"}));
  set->add_option("--tenant", options->tenant, "This one; none: each tenant by itself")->check(not_empty);
  CLI::Option* key = set->add_option("--key", options->key, "The key of this name; none: each key by itself")
                         ->check(not_empty);
  set->add_flag("--keys-together", options->keys_together, "All keys of a tenant share it")->excludes(key);
  set->add_option("--route", options->route, "submit, read, admin, or a path as /v1/jobs/{id}; none: all")
      ->check(not_empty);
  set->add_option("--region", options->region, "Only there; none: in each region by itself")
      ->check(not_empty);

  CLI::App* unset = limits->add_subcommand("unset", "End a limit");
  const auto gone = on_call<LimitOptions>(*unset, invocation, unset_limit);
  unset->add_option("NAME", gone->name, "Its name")->required();
}

}  // namespace sluice::operate
