#include "common/http/router.h"

#include <gtest/gtest.h>

namespace sluice::http {
namespace {

Route route(std::size_t body_max = 0) {
  Route made;
  made.body_max = body_max;
  made.handler = [](Request, Responder) {};
  return made;
}

class RouterTest : public ::testing::Test {
 protected:
  RouterTest() {
    router_.add(Method::kGet, "/", route(1));
    router_.add(Method::kGet, "/v1/jobs", route(2));
    router_.add(Method::kPost, "/v1/jobs", route(3));
    router_.add(Method::kGet, "/v1/jobs/{id}", route(4));
    router_.add(Method::kPost, "/v1/jobs/{id}/cancel", route(5));
    router_.add(Method::kGet, "/v1/jobs/special", route(6));
    router_.add(Method::kGet, "/v1/{kind}/{id}/events", route(7));
  }
  std::size_t found(Method method, std::string_view path) {
    const Router::Match match = router_.match(method, path);
    return match.route == nullptr ? 0 : match.route->body_max;
  }
  Router router_;
};

TEST_F(RouterTest, FindsRoutesByMethodAndPath) {
  EXPECT_EQ(found(Method::kGet, "/"), 1u);
  EXPECT_EQ(found(Method::kGet, "/v1/jobs"), 2u);
  EXPECT_EQ(found(Method::kHead, "/v1/jobs"), 2u);
  EXPECT_EQ(found(Method::kPost, "/v1/jobs"), 3u);
  EXPECT_EQ(found(Method::kGet, "/v1/jobs/abc"), 4u);
  EXPECT_EQ(found(Method::kGet, "/v1/jobs/special"), 6u);
  EXPECT_EQ(found(Method::kPost, "/v1/jobs/special/cancel"), 5u);  // Text first, then back to {id}.
  EXPECT_EQ(found(Method::kGet, "/v1/jobs/x/events"), 7u);
}

TEST_F(RouterTest, NothingElseMatches) {
  for (const char* path : {"", "v1/jobs", "/v1", "/v1/", "/v1/jobs/", "/v1/jobs//cancel", "//v1/jobs",
                           "/v1/jobs/a/b", "/V1/jobs", "/v1/jobs/a/../special/x", "*"}) {
    EXPECT_EQ(router_.match(Method::kGet, path).pattern, nullptr) << path;
  }
}

TEST_F(RouterTest, AnotherMethodIsToldWhichAreAllowed) {
  const Router::Match match = router_.match(Method::kDelete, "/v1/jobs");
  EXPECT_EQ(match.route, nullptr);
  EXPECT_EQ(*match.pattern, "/v1/jobs");
  EXPECT_EQ(match.allow, "GET, HEAD, POST, OPTIONS");
}

TEST_F(RouterTest, ParametersAreDecodedAfterTheSplit) {
  const Router::Match match = router_.match(Method::kGet, "/v1/jobs/a%2Fcancel");
  ASSERT_NE(match.route, nullptr);
  ASSERT_EQ(match.path_params.size(), 1u);
  EXPECT_EQ(match.path_params[0].first, "id");
  EXPECT_EQ(match.path_params[0].second, "a/cancel");
  EXPECT_TRUE(router_.match(Method::kGet, "/v1/jobs/%00").bad_escape);
}

TEST_F(RouterTest, TellsWhatWasAdded) {
  Router router;
  router.add(Method::kPost, "/b/{id}", route());
  router.add(Method::kGet, "/b/{id}", route());
  router.add(Method::kGet, "/a", route());
  EXPECT_EQ(router.routes(),
            (std::vector<std::pair<Method, std::string>>{
                {Method::kGet, "/a"}, {Method::kGet, "/b/{id}"}, {Method::kPost, "/b/{id}"}}));
}

TEST_F(RouterTest, DefectsInTheTableAbort) {
  EXPECT_DEATH(router_.add(Method::kGet, "/v1/jobs", route()), "");
  EXPECT_DEATH(router_.add(Method::kPost, "/v1/jobs/{other}", route()), "");
  EXPECT_DEATH(router_.add(Method::kGet, "no/slash", route()), "");
  EXPECT_DEATH(router_.add(Method::kGet, "/no/handler", Route()), "");
}

}  // namespace
}  // namespace sluice::http
