#include "producer/admin/admin_input.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::producer {
namespace {

constexpr const char* kId = "job_01900000-0000-7000-8000-00000000000a";

http::RequestHead head(std::vector<std::pair<std::string, std::string>> query) {
  http::RequestHead made;
  made.query = std::move(query);
  return made;
}

// The field at fault and its code, "field: code".
std::string wrong(const std::string& body, OperationKind kind = OperationKind::kRedrive) {
  const auto asked = read_letters_asked(body, kind);
  if (asked) return "";
  return asked.error().param + ": " + asked.error().code;
}

TEST(LettersAsked, ChoosesByIdsFilterOrAll) {
  auto asked = read_letters_asked(std::string(R"({"ids": [")") + kId + "\", \"" + kId + R"("]})",
                                  OperationKind::kDiscard);
  ASSERT_TRUE(asked.has_value());
  EXPECT_EQ(asked->operation.kind, OperationKind::kDiscard);
  ASSERT_EQ(asked->operation.filter.ids.size(), 1U) << "an id given twice is one";
  EXPECT_FALSE(asked->dry_run);

  asked = read_letters_asked(
      R"({"filter": {"tenant": "t", "model": "m", "fingerprint": "0123456789abcdef", "error_code": "e", "reason": "poison",
          "died_from": 1700000000.25, "died_before": 1700000001}, "dry_run": true})",
      OperationKind::kRedrive);
  ASSERT_TRUE(asked.has_value()) << asked.error().message;
  const DeadLetterFilter& filter = asked->operation.filter;
  EXPECT_EQ(filter.tenant.value, "t");
  EXPECT_EQ(filter.model, "m");
  EXPECT_EQ(filter.fingerprint, "0123456789abcdef");
  EXPECT_EQ(filter.error_code, "e");
  EXPECT_EQ(filter.reason, DeadReason::kPoison);
  EXPECT_EQ(filter.died_from_us, 1700000000250000);
  EXPECT_EQ(filter.died_before_us, 1700000001000000);
  EXPECT_TRUE(asked->dry_run);
  EXPECT_EQ(filter_from_json(filter_to_json(filter)).value(), filter);

  asked = read_letters_asked(R"({"all": true, "canary": 5, "rate": 2.5, "force": true, "expires_in": 60})",
                             OperationKind::kRedrive);
  ASSERT_TRUE(asked.has_value());
  EXPECT_TRUE(asked->operation.filter.everything());
  EXPECT_EQ(asked->operation.canary, 5);
  EXPECT_EQ(asked->operation.rate_max, 2.5);
  EXPECT_TRUE(asked->operation.forced);
  EXPECT_EQ(asked->operation.expires_in_s, 60);
}

TEST(LettersAsked, NothingIsChosenByAccident) {
  EXPECT_EQ(wrong("{}"), ": missing_field");
  EXPECT_EQ(wrong(R"({"all": false})"), ": missing_field");
  EXPECT_EQ(wrong(R"({"filter": {}})"), "filter: invalid_value");
  EXPECT_EQ(wrong(R"({"ids": []})"), "ids: out_of_range");
  EXPECT_EQ(wrong(R"({"all": true, "filter": {"model": "m"}})"), ": invalid_value");
  EXPECT_EQ(wrong(R"({"filter": {"modle": "m"}})"), "filter.modle: unknown_field");
  EXPECT_EQ(wrong(R"({"filter": {"died_before": 1e-7}})", OperationKind::kDiscard),
            "filter.died_before: invalid_value")
      << "it rounds to 0, which would be any time";
  EXPECT_EQ(wrong(R"({"filter": {"died_before": 1e-6}})"), "");
}

TEST(LettersAsked, EachMistakeNamesItsField) {
  EXPECT_EQ(wrong("[]"), ": invalid_type");
  EXPECT_EQ(wrong("{"), ": invalid_json");
  EXPECT_EQ(wrong(R"({"ids": "x"})"), "ids: invalid_type");
  EXPECT_EQ(wrong(R"({"ids": ["batch_1"]})"), "ids[0]: invalid_value");
  EXPECT_EQ(wrong(R"({"filter": 1})"), "filter: invalid_type");
  EXPECT_EQ(wrong(R"({"filter": {"model": ""}})"), "filter.model: invalid_value");
  EXPECT_EQ(wrong(R"({"filter": {"model": 1}})"), "filter.model: invalid_type");
  EXPECT_EQ(wrong(R"({"filter": {"tenant": "é"}})"), "filter.tenant: invalid_value");
  EXPECT_EQ(wrong(R"({"filter": {"model": "é"}})"), "");
  EXPECT_EQ(wrong(R"({"filter": {"fingerprint": "XYZ"}})"), "filter.fingerprint: invalid_value");
  EXPECT_EQ(wrong(R"({"filter": {"reason": "bad"}})"), "filter.reason: invalid_value");
  EXPECT_EQ(wrong(R"({"filter": {"died_from": -1}})"), "filter.died_from: invalid_value");
  EXPECT_EQ(wrong(R"({"filter": {"died_from": "1"}})"), "filter.died_from: invalid_type");
  EXPECT_EQ(wrong(R"({"all": true, "canary": 0})"), "canary: out_of_range");
  EXPECT_EQ(wrong(R"({"all": true, "rate": 0})"), "rate: out_of_range");
  EXPECT_EQ(wrong(R"({"all": true, "rate": 1e-12})"), "rate: out_of_range");
  EXPECT_EQ(wrong(R"({"all": true, "rate": 0.001})"), "");
  EXPECT_EQ(wrong(R"({"all": true, "force": "yes"})"), "force: invalid_type");
  EXPECT_EQ(wrong(R"({"all": true, "expires_in": 0})"), "expires_in: out_of_range");
  EXPECT_EQ(wrong(R"({"all": true, "canary": 1})", OperationKind::kDiscard), "canary: unknown_field");
  EXPECT_EQ(wrong(R"({"all": "yes"})"), "all: invalid_type");
}

TEST(LettersAsked, TakesNoMoreIdsThanOneStatementShould) {
  std::string ids;
  for (int i = 0; i < 1001; ++i) ids += std::string(ids.empty() ? "\"" : ",\"") + kId + "\"";
  EXPECT_EQ(wrong("{\"ids\": [" + ids + "]}"), "ids: out_of_range");
}

TEST(Query, FiltersAreReadAndStrangersRefused) {
  auto request = head({{"model", "m"}, {"died_before", "1700000000.5"}, {"limit", "7"}, {"after", kId}});
  QueryReader reader(request);
  const DeadLetterFilter filter = take_filter(reader);
  EXPECT_EQ(filter.model, "m");
  EXPECT_EQ(filter.died_before_us, 1700000000500000);
  EXPECT_EQ(reader.take_limit(), 7);
  EXPECT_EQ(reader.take_id<JobId>("after", "job_").value, kId);
  EXPECT_FALSE(reader.finish().has_value());

  const auto param_at_fault = [](std::vector<std::pair<std::string, std::string>> query) {
    auto bad = head(std::move(query));
    QueryReader again(bad);
    take_filter(again);
    again.take_limit();
    again.take_id<JobId>("after", "job_");
    const auto refused = again.finish();
    return refused ? refused->param : "";
  };
  EXPECT_EQ(param_at_fault({{"colour", "red"}}), "colour");
  EXPECT_EQ(param_at_fault({{"model", "a"}, {"model", "b"}}), "model");
  EXPECT_EQ(param_at_fault({{"limit", "0"}}), "limit");
  EXPECT_EQ(param_at_fault({{"limit", "101"}}), "limit");
  EXPECT_EQ(param_at_fault({{"limit", "1x"}}), "limit");
  EXPECT_EQ(param_at_fault({{"after", "evt_1"}}), "after");
  EXPECT_EQ(param_at_fault({{"reason", "x"}}), "reason");
  EXPECT_EQ(param_at_fault({{"died_from", "soon"}}), "died_from");
  EXPECT_EQ(param_at_fault({{"tenant", "\xc3\xa9"}}), "tenant") << "the database would not compare it";
  EXPECT_EQ(param_at_fault({{"model", "\xff"}}), "model") << "the database would refuse what is no UTF-8";
}

TEST(Query, AnActionIsPlainOrRefused) {
  const auto read = [](const std::string& value) -> std::string {
    auto request = head({{"action", value}});
    QueryReader reader(request);
    const std::string action = take_action(reader);
    return reader.finish() ? "refused" : action;
  };
  EXPECT_EQ(read("dead_letters.redrive"), "dead_letters.redrive");
  EXPECT_EQ(read("dead_letters."), "dead_letters.");
  for (const char* bad : {"", "\xc3\xa9", "\xff", "A", "dead letters"})
    EXPECT_EQ(read(bad), "refused") << bad;
  EXPECT_EQ(read(std::string(65, 'a')), "refused");
}

TEST(Query, ALetterIsNamedByItsJobAndPerhapsItsGeneration) {
  const auto read = [](const std::string& value) -> std::optional<LetterRef> {
    auto request = head({{"after", value}});
    QueryReader reader(request);
    const auto letter = take_letter(reader, "after");
    return reader.finish() ? std::nullopt : letter;
  };
  EXPECT_EQ(read(kId), (LetterRef{JobId{kId}, 0}));
  EXPECT_EQ(read(kId + std::string(":3")), (LetterRef{JobId{kId}, 3}));
  for (const char* bad : {":", ":0", ":-1", ":1x", ":99999999999999999999", "0"}) {
    EXPECT_FALSE(read(kId + std::string(bad)).has_value()) << bad;
  }
  EXPECT_FALSE(read("evt_1").has_value());
}

}  // namespace
}  // namespace sluice::producer
