// audit: who did what.
#include "operator/commands/commands.h"
#include "operator/output/table.h"
#include "operator/output/text.h"

namespace sluice::operate {

using nlohmann::json;

Status list_audit(Tool& tool, const AuditOptions& options) {
  SLUICE_ASSIGN(const json entries,
                get_list(tool.api, "/v1/admin/audit", {{"action", options.action}, {"after", options.after}},
                         options.limit));
  if (printed_json(tool, entries)) return {};
  Table table(
      {{"TIME"}, {"WHO"}, {"ACTION"}, {"COUNT", Align::kRight}, {"TARGET"}, {"WHICH", Align::kLeft, true}});
  for (const json& entry : data_in(entries)) {
    const json& actor = member_in(entry, "actor");
    const json& filter = member_in(entry, "filter");
    table.add(
        {time_text(number_in(entry, "at")), text_in(actor, "tenant") + ": " + text_in(actor, "key"),
         text_in(entry, "action"), count_text(number_in(entry, "count")), text_in(entry, "target"),
         filter.is_null() ? std::string() : filter.dump(-1, ' ', false, json::error_handler_t::replace)});
  }
  if (table.empty()) tool.out() << "nothing is in the audit log\n";
  table.print(tool.console);
  print_more(tool, entries);
  return {};
}

}  // namespace sluice::operate
