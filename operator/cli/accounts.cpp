// audit.
#include "operator/cli/words.h"
#include "operator/commands/commands.h"

namespace sluice::operate {

void add_accounts(CLI::App& app, Invocation& invocation) {
  CLI::App* audit = app.add_subcommand("audit", "Who did what, the newest first");
  const auto audited = on_call<AuditOptions>(*audit, invocation, list_audit);
  audit
      ->add_option("--action", audited->action,
                   "Only this, or all that begin so if it ends with a dot (keys.)")
      ->type_name("NAME");
  add_paging(*audit, audited->limit, audited->after);
}

}  // namespace sluice::operate
