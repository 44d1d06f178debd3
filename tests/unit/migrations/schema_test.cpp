#include "schema/schema.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>
#include <string>

namespace sluice {
namespace {

// Without comments and the contents of quotes: what is left is SQL's own words and signs.
std::string bare(std::string_view sql) {
  std::string out;
  for (std::size_t i = 0; i < sql.size(); ++i) {
    if (sql.substr(i, 2) == "--") {
      i = std::min(sql.find('\n', i), sql.size() - 1);
    } else if (sql.substr(i, 2) == "/*") {
      i = sql.find("*/", i) + 1;
    } else if (sql[i] == '\'' || sql[i] == '`' || sql[i] == '"') {
      i = sql.find(sql[i], i + 1);
    } else {
      out.push_back(static_cast<char>(std::toupper(static_cast<unsigned char>(sql[i]))));
    }
  }
  return out;
}

TEST(SchemaSql, VersionsCountUpWithoutGaps) {
  const auto files = schema::sql_files();
  ASSERT_FALSE(files.empty());
  for (std::size_t i = 0; i < files.size(); ++i)
    EXPECT_EQ(files[i].version, static_cast<int>(i) + 1) << files[i].name;
}

TEST(SchemaSql, EachFileIsOneStatementThatEndsWithASemicolon) {
  for (const auto& file : schema::sql_files()) {
    for (const std::string_view text : {file.up, file.down}) {
      const std::string words = bare(text);
      EXPECT_EQ(std::count(words.begin(), words.end(), ';'), 1) << file.name;
      EXPECT_LT(words.find_last_not_of(" \n"), words.size()) << file.name;
      EXPECT_EQ(words[words.find_last_not_of(" \n")], ';') << file.name;
    }
  }
}

TEST(SchemaSql, KeepsToWhatMariaDbAndMySqlShare) {
  for (const auto& file : schema::sql_files()) {
    const std::string words = bare(file.up) + bare(file.down);
    for (const char* word :
         {"IF NOT EXISTS", "IF EXISTS", " UUID ", "RETURNING", "SEQUENCE", "CURRENT_TIMESTAMP()",
          "WITH SYSTEM VERSIONING", "INVISIBLE", "MYISAM", "ARIA"}) {
      EXPECT_EQ(words.find(word), std::string::npos) << file.name << " uses " << word;
    }
    if (words.find("CREATE TABLE") != std::string::npos) {
      EXPECT_NE(words.find("INNODB"), std::string::npos) << file.name;
      EXPECT_NE(words.find("UTF8MB4"), std::string::npos) << file.name;
      EXPECT_NE(words.find("PRIMARY KEY"), std::string::npos) << file.name;
    }
  }
}

TEST(SchemaTopology, IsJson) {
  EXPECT_FALSE(nlohmann::json::parse(schema::topology_json(), nullptr, false).is_discarded());
}

}  // namespace
}  // namespace sluice
