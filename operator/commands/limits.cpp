// limits list, set and unset.
#include "operator/commands/commands.h"
#include "operator/output/table.h"
#include "operator/output/text.h"

namespace sluice::operate {

using nlohmann::json;

Status list_limits(Tool& tool) {
  SLUICE_ASSIGN(const json limits, tool.api.get("/v1/admin/limits"));
  if (printed_json(tool, limits)) return {};
  Table table({{"LIMIT"},
               {"QUOTA", Align::kRight},
               {"UNIT"},
               {"WINDOW", Align::kRight},
               {"TENANT"},
               {"KEY"},
               {"ROUTE"},
               {"REGION"}});
  for (const json& limit : data_in(limits)) {
    const bool together = limit.contains("key") && limit["key"].is_null();
    table.add({text_in(limit, "name"), count_text(number_in(limit, "quota")), text_in(limit, "unit"),
               duration_text(number_in(limit, "window")), text_in(limit, "tenant"),
               together ? "(all together)" : text_in(limit, "key"), text_in(limit, "route"),
               text_in(limit, "region")});
  }
  if (table.empty()) tool.out() << "nothing is limited\n";
  table.print(tool.console);
  return {};
}

Status set_limit(Tool& tool, const LimitOptions& options) {
  json body = {{"name", options.name}, {"quota", options.quota}, {"window", options.window_s}};
  const auto put = [&body](const char* name, const std::string& value) {
    if (!value.empty()) body[name] = value;
  };
  put("tenant", options.tenant);
  put("key", options.key);
  put("route", options.route);
  put("region", options.region);
  put("unit", options.unit);
  if (options.keys_together) body["key"] = nullptr;
  SLUICE_ASSIGN(const json made, tool.api.post("/v1/admin/limits", std::move(body)));
  if (printed_json(tool, made)) return {};
  tool.out() << "limit " << safe_text(options.name) << ": " << count_text(number_in(made, "quota")) << " "
             << text_in(made, "unit") << " in " << duration_text(number_in(made, "window"))
             << "; every producer keeps to it within seconds\n";
  return {};
}

Status unset_limit(Tool& tool, const LimitOptions& options) {
  SLUICE_ASSIGN(const json ended, tool.api.post("/v1/admin/limits/unset", {{"name", options.name}}));
  if (printed_json(tool, ended)) return {};
  tool.out() << "limit " << safe_text(options.name) << " is no more\n";
  return {};
}

}  // namespace sluice::operate
