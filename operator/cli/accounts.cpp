// keys and audit.
#include "operator/cli/words.h"
#include "operator/commands/commands.h"

namespace sluice::operate {

void add_accounts(CLI::App& app, Invocation& invocation) {
  CLI::App* keys = add_group(app, "keys", "API keys");

  CLI::App* list = keys->add_subcommand("list", "Keys, never the secrets themselves");
  const auto tenant = on_call<std::string>(*list, invocation, list_keys);
  list->add_option("--tenant", *tenant, "Only of this tenant")->type_name("NAME");

  CLI::App* create = keys->add_subcommand("create", "Make a key; it is shown once");
  const auto created = on_call<KeyCreateOptions>(*create, invocation, create_key);
  create->add_option("--name", created->name, "What it is for")->type_name("TEXT")->required();
  create->add_option("--tenant", created->tenant, "Whose it is; default: default")->type_name("NAME");
  create
      ->add_option("--scope", created->scopes,
                   "submit, read or admin; several times; default submit and read")
      ->expected(1)
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->check(CLI::IsMember({"submit", "read", "admin"}));

  CLI::App* revoke = keys->add_subcommand("revoke", "End a key");
  const auto revoked = on_call<std::string>(*revoke, invocation, revoke_key);
  revoke->add_option("KEY", *revoked, "Its id (sluicectl keys list)")->required();
  add_yes(*revoke, invocation);

  CLI::App* audit = app.add_subcommand("audit", "Who did what, the newest first");
  const auto audited = on_call<AuditOptions>(*audit, invocation, list_audit);
  audit
      ->add_option("--action", audited->action,
                   "Only this, or all that begin so if it ends with a dot (keys.)")
      ->type_name("NAME");
  add_paging(*audit, audited->limit, audited->after);
}

}  // namespace sluice::operate
