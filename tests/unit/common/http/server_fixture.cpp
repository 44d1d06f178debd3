#include "server_fixture.h"

#include <algorithm>
#include <chrono>

namespace sluice::http {

using namespace std::chrono_literals;

void Signal::raise() {
  std::lock_guard lock(mutex_);
  ++count_;
  changed_.notify_all();
}

bool Signal::wait_for(int count) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, 10s, [&] { return count_ >= count; });
}

int Signal::count() {
  std::lock_guard lock(mutex_);
  return count_;
}

ServerFixture::ServerFixture() {
  config_.port = 0;
  config_.handler_threads = 4;
  config_.stop_grace = 5s;
}

ServerFixture::~ServerFixture() {
  finish_waits();
  {
    std::lock_guard lock(streams_mutex_);
    streams_.clear();
  }
  if (server_) server_->stop();
}

void ServerFixture::finish_waits() {
  std::lock_guard lock(waits_mutex_);
  for (const Responder& responder : waits_) responder.send(Response::text(200, "waited"));
  waits_.clear();
}

void ServerFixture::start() {
  Router router;
  const auto counted = [&](Handler handler, std::size_t body_max = 0) {
    Route route;
    route.body_max = body_max;
    route.handler = [this, handler = std::move(handler)](Request request, Responder responder) {
      ++handled_;
      handler(std::move(request), std::move(responder));
    };
    return route;
  };
  const auto simple = [&](Method method, const char* pattern, Handler handler, std::size_t body_max = 0) {
    router.add(method, pattern, counted(std::move(handler), body_max));
  };
  const Handler echo = [](Request request, Responder responder) {
    responder.send(Response::text(200, std::move(request.body)));
  };
  simple(Method::kGet, "/hello",
         [](Request, Responder responder) { responder.send(Response::text(200, "hello")); });
  simple(Method::kPost, "/echo", echo, 1000);
  simple(Method::kGet, "/items/{id}", [](Request request, Responder responder) {
    responder.send(Response::text(200, std::string(request.path_param("id"))));
  });
  simple(Method::kGet, "/throw", [](Request, Responder) { throw std::runtime_error("secret detail"); });
  simple(Method::kGet, "/forget", [](Request, Responder) {});
  simple(Method::kGet, "/large", [](Request, Responder responder) {
    responder.send(Response::text(200, std::string(8 << 20, 'x')));
  });
  simple(Method::kGet, "/medium",
         [](Request, Responder responder) { responder.send(Response::text(200, std::string(60'000, 'x'))); });
  simple(Method::kGet, "/dirty", [](Request, Responder responder) {
    Response response = Response::text(200, "");
    response.headers.add("X-Bad", "a\r\nX-Injected: 1");
    response.headers.add("X-Bad\r\nX-Injected", "1");
    response.headers.add("Content-Length", "99");
    response.headers.add("X-Good", "b");
    responder.send(std::move(response));
  });
  simple(Method::kGet, "/wait", [this](Request, Responder responder) {
    responder.on_disconnect([this] { left_.raise(); });
    {
      std::lock_guard lock(waits_mutex_);
      waits_.push_back(std::move(responder));
    }
    waiting_.raise();
  });
  const auto open = [this](std::optional<ResponseStream> opened) {
    ASSERT_TRUE(opened);
    opened->on_disconnect([this] { left_.raise(); });
    {
      std::lock_guard lock(streams_mutex_);
      streams_.push_back(std::make_unique<ResponseStream>(std::move(*opened)));
    }
    streaming_.raise();
  };
  simple(Method::kGet, "/stream", [this, open](Request, Responder responder) {
    open(responder.stream(Response::text(200, ""), {.queue_bytes_max = stream_queue_bytes_}));
  });
  simple(Method::kGet, "/events", [open](Request, Responder responder) { open(open_sse(responder)); });
  simple(Method::kGet, "/sized", [open](Request, Responder responder) {
    open(responder.stream(Response::text(200, ""), {.content_length = 10}));
  });
  simple(Method::kGet, "/pull", [this](Request request, Responder responder) {
    const auto left = std::make_shared<std::size_t>(kPulledBytes);
    responder.send_from(
        Response::text(200, ""),
        [this, left,
         fails = request.query_value("fails").has_value()](std::size_t wanted) -> Result<std::string> {
          if (fails && ++pulled_ > 3) return fail(ErrorCode::kUnavailable, "down");
          ++pulled_;
          const std::size_t size = std::min(wanted, *left);
          *left -= size;
          return std::string(size, 'p');
        },
        request.query_value("sized") ? std::optional<std::uint64_t>(kPulledBytes) : std::nullopt);
  });
  {
    Route route = counted(echo, 1000);
    route.content_type = "application/json";
    router.add(Method::kPost, "/json", std::move(route));
  }
  {
    Route route = counted(echo, 10);
    route.authenticate = [](RequestHead& head) -> std::optional<Response> {
      if (head.headers.get("x-key").value_or("") != "open") {
        return error_response(401, error_type::kAuthentication, "invalid_api_key", "no");
      }
      head.principal = std::string("me");
      head.answer_headers.add("X-Left", "4");
      head.answer_headers.add("Content-Type", "text/html");
      return std::nullopt;
    };
    router.add(Method::kPost, "/private", std::move(route));
  }
  {
    Route route =
        counted([](Request, Responder responder) { responder.send(Response::text(200, "inline")); });
    route.handler_on = RunOn::kIoThread;
    router.add(Method::kGet, "/inline", std::move(route));
  }
  {
    Route route = counted(echo);
    route.admit = [](const RequestHead&) -> std::optional<Response> {
      return busy_response(429, "rate_limited", "slow down", 3);
    };
    router.add(Method::kGet, "/refused", std::move(route));
  }
  add_routes(router);
  add_service_endpoints(router, registry_,
                        {{"good", [] { return Status{}; }},
                         {"optional", [] { return Status(fail(ErrorCode::kUnavailable, "down")); }, false}});
  server_ = std::make_unique<Server>(
      config_, std::move(router), registry_, clock_, rng_, [this](const AccessRecord& r) {
        std::lock_guard lock(log_mutex_);
        log_.push_back(std::string(r.method) + " " + std::string(r.pattern) + " " + std::to_string(r.status) +
                       " " + std::string(r.code));
      });
  const Status started = server_->start();
  ASSERT_TRUE(started) << started.error().message;
}

RawResponse ServerFixture::ask(const std::string& bytes) {
  RawClient client = connect();
  client.send(bytes);
  return client.receive().value_or(RawResponse{});
}

ResponseStream& ServerFixture::stream(int index) {
  EXPECT_TRUE(streaming_.wait_for(index + 1));
  std::lock_guard lock(streams_mutex_);
  return *streams_.at(static_cast<std::size_t>(index));
}

double ServerFixture::metric(const std::string& line_start) {
  const std::string text = registry_.expose();
  const std::size_t at = text.find("\n" + line_start + " ");
  return at == std::string::npos ? 0 : std::stod(text.substr(at + line_start.size() + 2));
}

}  // namespace sluice::http
