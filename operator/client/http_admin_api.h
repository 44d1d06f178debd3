// AdminApi over HTTP, by cpprestsdk's client (its server side is not for us: ADR 0001).
//
// Not safe for concurrent use. Redirects are not followed: the key goes to no other server.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "common/base/secret.h"
#include "operator/client/admin_api.h"

namespace sluice::operate {

struct Connection {
  std::string url;
  Secret key;
  std::chrono::milliseconds timeout{30'000};  // Of one call.
};

class HttpAdminApi final : public AdminApi {
 public:
  // kInvalid: the address is none.
  static Result<std::unique_ptr<HttpAdminApi>> open(Connection connection);
  ~HttpAdminApi() override;

  Result<ApiReply> call(const ApiRequest& request) override;
  std::string name() const override;

 private:
  struct Client;
  explicit HttpAdminApi(std::unique_ptr<Client> client);
  std::unique_ptr<Client> client_;
};

}  // namespace sluice::operate
