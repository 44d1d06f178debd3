// keys list, create and revoke.
#include "operator/commands/commands.h"
#include "operator/output/table.h"
#include "operator/output/text.h"

namespace sluice::operate {

using nlohmann::json;

namespace {

std::string scopes_text(const json& key) {
  std::string text;
  for (const json& scope : member_in(key, "scopes")) {
    if (!scope.is_string()) continue;
    if (!text.empty()) text += ",";
    text += scope.get<std::string>();
  }
  return text;
}

}  // namespace

Status list_keys(Tool& tool, const std::string& tenant) {
  SLUICE_ASSIGN(const json keys, tool.api.get("/v1/admin/keys", {{"tenant", tenant}}));
  if (printed_json(tool, keys)) return {};
  Table table({{"KEY"}, {"TENANT"}, {"NAME"}, {"ENDS IN"}, {"SCOPES"}, {"AGE", Align::kRight}, {"STATE"}});
  for (const json& key : data_in(keys)) {
    const bool revoked = number_in(key, "revoked_at") != 0;
    table.add({text_in(key, "id"), text_in(key, "tenant"), text_in(key, "name"), text_in(key, "hint"),
               scopes_text(key), age_in(tool, key, "created_at"),
               revoked ? Cell("revoked " + age_in(tool, key, "revoked_at") + " ago", Style::kDim)
                       : Cell("works", Style::kGood)});
  }
  if (table.empty()) tool.out() << "no such keys\n";
  table.print(tool.console);
  return {};
}

Status create_key(Tool& tool, const KeyCreateOptions& options) {
  json body = {{"tenant", options.tenant}, {"name", options.name}};
  if (!options.scopes.empty()) body["scopes"] = options.scopes;
  SLUICE_ASSIGN(const json key, tool.api.post("/v1/admin/keys", std::move(body)));
  if (printed_json(tool, key)) return {};
  tool.out() << safe_text(text_in(key, "key")) << "\n" << std::flush;
  // Beside the key, so that a script can take standard output as it is.
  tool.console.err << "key " << safe_text(text_in(key, "id")) << " of tenant " << safe_text(options.tenant)
                   << " with the scopes " << safe_text(scopes_text(key))
                   << ": keep it now, it is never shown again\n";
  return {};
}

Status revoke_key(Tool& tool, const std::string& id) {
  SLUICE_TRY(confirm(tool, "Revoke " + safe_text(id) + "? Whoever uses it is refused from then on."));
  SLUICE_ASSIGN(const json key, tool.api.post("/v1/admin/keys/" + path_part(id) + "/revoke", json::object()));
  if (printed_json(tool, key)) return {};
  tool.out() << safe_text(id) << " is revoked; within 5 seconds no producer takes it any more\n";
  return {};
}

}  // namespace sluice::operate
