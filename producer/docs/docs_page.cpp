#include "producer/docs/docs_page.h"

#include <cctype>
#include <map>
#include <nlohmann/json.hpp>

namespace sluice::producer {

using nlohmann::ordered_json;

namespace {

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string text_of(const ordered_json& from, const char* name) {
  return escaped(from.value(name, ""));
}

std::string upper(std::string text) {
  for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return text;
}

void append_operation(const std::string& method, const std::string& path, const ordered_json& operation,
                      std::string& out) {
  out += "<details><summary><code>" + upper(method) + " " + escaped(path) + "</code> " +
         text_of(operation, "summary") + "</summary>\n<p>" + text_of(operation, "description") + "</p>\n";
  if (operation.contains("parameters")) {
    out += "<table>\n";
    for (const ordered_json& parameter : operation["parameters"]) {
      out += "<tr><td><code>" + text_of(parameter, "name") + "</code></td><td>" + text_of(parameter, "in") +
             "</td><td>" + text_of(parameter, "description") + "</td></tr>\n";
    }
    out += "</table>\n";
  }
  if (operation.contains("requestBody")) {
    for (const auto& [type, content] : operation["requestBody"]["content"].items()) {
      out += "<p>Body: <code>" + escaped(type) + "</code></p>\n";
      if (content.contains("example")) out += "<pre>" + escaped(content["example"].dump(2)) + "</pre>\n";
    }
  }
  out += "<p>Answers:";
  for (const auto& [status, unused] : operation["responses"].items())
    out += " <code>" + escaped(status) + "</code>";
  out += "</p>\n</details>\n";
}

}  // namespace

std::string docs_page(std::string_view openapi, bool has_viewer) {
  const ordered_json description = ordered_json::parse(openapi);
  std::map<std::string, std::string> by_tag;
  for (const auto& [path, operations] : description["paths"].items()) {
    for (const auto& [method, operation] : operations.items()) {
      append_operation(method, path, operation, by_tag[operation["tags"][0].get<std::string>()]);
    }
  }
  std::string out =
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width\">\n<title>" +
      text_of(description["info"], "title") + " API</title>\n";
  if (has_viewer) out += "<link rel=\"stylesheet\" href=\"/docs/swagger-ui.css\">\n";
  out += "</head>\n<body>\n<div id=\"viewer\"></div>\n";
  if (has_viewer) {
    out += "<script src=\"/docs/swagger-ui-bundle.js\"></script>\n<script src=\"/docs/start.js\"></script>\n";
  }
  out += "<main>\n<h1>" + text_of(description["info"], "title") + " API</h1>\n<p>" +
         text_of(description["info"], "description") +
         "</p>\n<p>For programs: <a href=\"/openapi.json\">/openapi.json</a></p>\n";
  if (!has_viewer) {
    out +=
        "<p>A page to try the API out on appears here once the viewer is installed: "
        "<code>npm ci --prefix producer/docs/viewer</code>, and the setting <code>docs-viewer</code> names "
        "<code>producer/docs/viewer/node_modules/swagger-ui-dist</code>.</p>\n";
  }
  for (const ordered_json& tag : description["tags"]) {
    const std::string name = tag["name"];
    out += "<h2>" + escaped(name) + "</h2>\n<p>" + text_of(tag, "description") + "</p>\n" + by_tag[name];
  }
  return out + "</main>\n</body>\n</html>\n";
}

}  // namespace sluice::producer
