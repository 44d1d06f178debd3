#include "producer/docs/docs_api.h"

#include <fstream>
#include <sstream>
#include <utility>

#include "common/http/error_response.h"
#include "producer/docs/docs_page.h"
#include "schema/schema.h"

namespace sluice::producer {

namespace {

// The viewer runs with what this server sends and nothing else, whoever's script it may be.
constexpr const char* kPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src "
    "'self' "
    "data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

constexpr const char* kStart =
    "SwaggerUIBundle({url: \"/openapi.json\", dom_id: \"#viewer\", deepLinking: true, validatorUrl: null,\n"
    "                 presets: [SwaggerUIBundle.presets.apis], layout: \"BaseLayout\"});\n"
    "document.querySelector(\"main\").hidden = true;\n";

std::string read_file(const std::string& path) {
  const std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  if (file) text << file.rdbuf();
  return text.str();
}

http::Response answer_with(const std::string& type, std::string text) {
  http::Response response{.status = 200, .headers = {}, .body = std::move(text)};
  response.headers.add("Content-Type", type);
  response.headers.add("X-Content-Type-Options", "nosniff");
  return response;
}

}  // namespace

DocsApi::DocsApi(const std::string& viewer_folder) {
  if (!viewer_folder.empty()) {
    std::string script = read_file(viewer_folder + "/swagger-ui-bundle.js");
    std::string style = read_file(viewer_folder + "/swagger-ui.css");
    if (!script.empty() && !style.empty()) {
      files_["swagger-ui-bundle.js"] = {"text/javascript; charset=utf-8", std::move(script)};
      files_["swagger-ui.css"] = {"text/css; charset=utf-8", std::move(style)};
      files_["start.js"] = {"text/javascript; charset=utf-8", kStart};
    }
  }
  page_ = docs_page(schema::openapi_json(), !files_.empty());
}

void DocsApi::add_routes(http::Router& router) const {
  const auto add = [&router](const char* path, http::Handler handler) {
    http::Route route;
    route.handler = std::move(handler);
    router.add(http::Method::kGet, path, std::move(route));
  };
  add("/openapi.json", [](http::Request, http::Responder responder) {
    responder.send(answer_with("application/json", std::string(schema::openapi_json())));
  });
  add("/docs", [this](http::Request, http::Responder responder) {
    http::Response response = answer_with("text/html; charset=utf-8", page_);
    response.headers.add("Content-Security-Policy", kPolicy);
    responder.send(std::move(response));
  });
  add("/docs/{file}", [this](http::Request request, http::Responder responder) {
    const auto file = files_.find(request.path_param("file"));
    if (file == files_.end()) {
      responder.send(http::error_response(404, http::error_type::kNotFound, "file_not_found",
                                          "There is no such file; the viewer may not be installed.", "file"));
      return;
    }
    responder.send(answer_with(file->second.type, file->second.text));
  });
}

}  // namespace sluice::producer
