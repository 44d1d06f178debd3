#include "operator/client/http_admin_api.h"

#include <cpprest/http_client.h>
#include <pplx/threadpool.h>
#include <signal.h>

#include <optional>
#include <utility>

#include "operator/client/refusal.h"
#include "operator/output/text.h"

namespace sluice::operate {

namespace rest = web::http;

namespace {

constexpr std::size_t kKeyBytesMax = 1000;
constexpr std::size_t kThreads = 2;

bool is_header_text(const std::string& text) {
  for (const char c : text) {
    if (c <= 0x20 || c >= 0x7f) return false;
  }
  return true;
}

std::string target_of(const ApiRequest& request) {
  std::string target = request.path;
  char separator = '?';
  for (const auto& [name, value] : request.query) {
    if (value.empty()) continue;
    target += separator + path_part(name) + "=" + path_part(value);
    separator = '&';
  }
  return target;
}

rest::client::http_client_config config_of(const Connection& connection) {
  rest::client::http_client_config config;
  config.set_timeout(connection.timeout);
  config.set_max_redirects(0);
  return config;
}

std::string header(const rest::http_response& response, const char* name) {
  const auto found = response.headers().find(name);
  return found == response.headers().end() ? std::string() : found->second;
}

// The client library's threads, once for the process. They must hold back every signal, so that Ctrl-C comes
// to the thread that waits for it.
void start_threads() {
  static const bool started = [] {
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    crossplat::threadpool::initialize_with_threads(kThreads);
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return true;
  }();
  static_cast<void>(started);
}

}  // namespace

struct HttpAdminApi::Client {
  explicit Client(Connection given)
      : connection(std::move(given)), rest(web::uri(connection.url), config_of(connection)) {}
  Connection connection;
  rest::client::http_client rest;
};

HttpAdminApi::HttpAdminApi(std::unique_ptr<Client> client) : client_(std::move(client)) {}
HttpAdminApi::~HttpAdminApi() = default;

std::string HttpAdminApi::name() const {
  return safe_text(client_->connection.url);
}

Result<std::unique_ptr<HttpAdminApi>> HttpAdminApi::open(Connection connection) {
  while (connection.url.ends_with('/')) connection.url.pop_back();
  if (connection.url.empty()) {
    return fail(
        ErrorCode::kInvalid,
        "no address of a producer: give --url http://HOST:PORT or set SLUICE_URL.\n  On a local stack: "
        "eval \"$(deploy/local/stack env)\"; export SLUICE_URL SLUICE_ADMIN_KEY");
  }
  if (connection.key.empty()) {
    return fail(
        ErrorCode::kInvalid,
        "no key: set SLUICE_ADMIN_KEY or SLUICE_ADMIN_KEY_FILE (or give --admin-key-file).\n  It is not "
        "taken as an argument, where everybody on the machine could read it.");
  }
  if (!is_header_text(connection.key.reveal()) || connection.key.reveal().size() > kKeyBytesMax) {
    return fail(ErrorCode::kInvalid, "the admin key holds characters that no key has: is it the right file?");
  }
  const auto wrong = [&connection](const std::string& why) {
    return fail(ErrorCode::kInvalid, "--url: '" + safe_text(connection.url) +
                                         "' is no address such as http://127.0.0.1:8080 (" + safe_text(why) +
                                         ")");
  };
  try {
    const web::uri uri(connection.url);
    if (uri.scheme() != "http" && uri.scheme() != "https")
      return wrong("it must begin with http:// or https://");
    if (!uri.user_info().empty()) return wrong("it must hold no user name");
    if (uri.port() > 65'535) return wrong("there is no such port");
    start_threads();
    return std::unique_ptr<HttpAdminApi>(new HttpAdminApi(std::make_unique<Client>(std::move(connection))));
  } catch (const std::exception& error) {
    return wrong(error.what());
  }
}

Result<ApiReply> HttpAdminApi::call(const ApiRequest& request) {
  try {
    rest::http_request sent(request.method);
    sent.set_request_uri(target_of(request));
    sent.headers().add("Authorization", "Bearer " + client_->connection.key.reveal());
    sent.headers().add("User-Agent", "sluicectl/" SLUICE_VERSION);
    if (!request.body.is_null()) {
      using nlohmann::json;
      // Words of a command line may be no UTF-8; the server then refuses what became of them by name.
      sent.set_body(request.body.dump(-1, ' ', false, json::error_handler_t::replace), "application/json");
    }
    // A request on a connection that was used before is sent once more, unasked, if that connection ends
    // without an answer: what changes something needs a fresh one, or it might be done twice.
    std::optional<rest::client::http_client> fresh;
    if (request.method != "GET") {
      fresh.emplace(web::uri(client_->connection.url), config_of(client_->connection));
    }
    const rest::http_response response = (fresh ? *fresh : client_->rest).request(sent).get();
    const std::vector<unsigned char> bytes = response.extract_vector().get();
    ApiReply reply;
    reply.text.assign(bytes.begin(), bytes.end());
    if (response.status_code() < 200 || response.status_code() > 299) {
      return fail(refusal_error(request, response.status_code(), reply.text, header(response, "Retry-After"),
                                name()));
    }
    reply.next_after = header(response, "X-Next-After");
    reply.body = nlohmann::json::parse(reply.text, nullptr, false);
    if (reply.body.is_discarded()) reply.body = nullptr;
    return reply;
  } catch (const rest::http_exception& error) {
    return fail(silence_error(request, error.error_code().value(), error.what(), name()));
  } catch (const std::exception& error) {
    return fail(silence_error(request, 0, error.what(), name()));
  }
}

}  // namespace sluice::operate
