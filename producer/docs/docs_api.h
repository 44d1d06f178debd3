// GET /openapi.json and GET /docs. Needs no key, as it tells nothing that isn't public.
#pragma once

#include <map>
#include <string>

#include "common/http/router.h"

namespace sluice::producer {

// Reads everything when it is made; from then on constant, and safe for concurrent use.
class DocsApi {
 public:
  // `viewer_folder`: where swagger-ui-dist was installed. Empty, or without its files: /docs is plain HTML.
  explicit DocsApi(const std::string& viewer_folder);

  // The router must not outlive this.
  void add_routes(http::Router& router) const;

 private:
  struct File {
    std::string type;
    std::string text;
  };
  std::map<std::string, File, std::less<>> files_;  // By name, below /docs/.
  std::string page_;
};

}  // namespace sluice::producer
