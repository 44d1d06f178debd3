#include <gtest/gtest.h>

#include <memory>

#include "common/store/file_lines.h"
#include "common/store/file_writer.h"
#include "common/store/mysql_file_store.h"
#include "common/store/mysql_idempotency_store.h"
#include "tests/support/due_tasks.h"
#include "tests/support/fake_file_store.h"
#include "tests/support/mysql_database.h"
#include "tests/support/mysql_test.h"

namespace sluice {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

// The store under test, and a way to let time pass for it.
class FileWorld {
 public:
  virtual ~FileWorld() = default;
  virtual FileStore& files() = 0;
  virtual IdempotencyStore& keys() = 0;
  virtual Clock& clock() = 0;
  virtual Rng& rng() = 0;
  virtual void advance(seconds by) = 0;
};

class FakeFileWorld final : public FileWorld {
 public:
  FileStore& files() override { return files_; }
  IdempotencyStore& keys() override { return files_; }
  Clock& clock() override { return clock_; }
  Rng& rng() override { return rng_; }
  void advance(seconds by) override { clock_.advance(by); }

 private:
  ManualClock clock_;
  SeededRng rng_{1};
  testing::FakeFileStore files_{clock_};
};

class MysqlFileWorld final : public FileWorld {
 public:
  explicit MysqlFileWorld(testing::MysqlDatabase& database)
      : database_(database), files_(database.pool()), keys_(database.pool()) {
    database.clear_jobs();
  }
  FileStore& files() override { return files_; }
  IdempotencyStore& keys() override { return keys_; }
  Clock& clock() override { return database_.clock(); }
  Rng& rng() override { return database_.rng(); }
  // The server's clock can't be moved, so everything it has written moves into the past instead.
  void advance(seconds by) override {
    const std::string interval = " - INTERVAL " + std::to_string(by.count()) + " SECOND";
    database_.execute("UPDATE file SET created_at = created_at" + interval + ", expires_at = expires_at" +
                      interval + ", sweep_due = sweep_due" + interval);
  }

 private:
  testing::MysqlDatabase& database_;
  MysqlFileStore files_;
  MysqlIdempotencyStore keys_;
};

enum class Kind { kFake, kMysql };

class FileStoreContract : public ::testing::TestWithParam<Kind> {
 protected:
  void SetUp() override {
    if (GetParam() == Kind::kFake) {
      world_ = std::make_unique<FakeFileWorld>();
    } else {
      auto* database = testing::MysqlDatabase::instance();
      if (database == nullptr) GTEST_SKIP() << "SLUICE_MYSQL_HOST is not set";
      world_ = std::make_unique<MysqlFileWorld>(*database);
    }
    ids_ = std::make_unique<IdMaker>(world_->clock(), world_->rng());
  }

  NewFile fresh(const TenantId& tenant = TenantId{"t"}, const std::string& purpose = "batch") {
    return NewFile{ids_->make<FileId>(3), tenant, purpose, "in \xc3\xa9.jsonl", std::nullopt};
  }
  FileInfo stored(NewFile file, std::string_view contents) {
    auto writer = FileWriter::open(files(), std::move(file), soon());
    EXPECT_TRUE(writer) << writer.error().message;
    EXPECT_TRUE(writer->write(contents, soon()));
    auto done = writer->finish(soon());
    EXPECT_TRUE(done) << done.error().message;
    return *done;
  }
  ErrorCode error_of_get(const TenantId& tenant, const FileId& id) {
    const auto found = files().get(tenant, id, soon());
    return found ? ErrorCode::kInternal : found.error().code;
  }
  std::vector<std::string> listed(const FileFilter& filter) {
    const auto found = files().list(filter, soon());
    EXPECT_TRUE(found) << found.error().message;
    std::vector<std::string> ids;
    for (const FileInfo& one : *found) ids.push_back(one.id.value);
    return ids;
  }
  FileSweep sweep() {
    const auto done = files().sweep(shards_, soon());
    EXPECT_TRUE(done) << done.error().message;
    return *done;
  }
  FileStore& files() { return world_->files(); }
  Deadline soon() { return Deadline::in(world_->clock(), seconds(20)); }

  const TenantId t_{"t"};
  std::unique_ptr<FileWorld> world_;
  std::unique_ptr<IdMaker> ids_;
  const std::vector<int> shards_ = testing::all_shards();
};

TEST_P(FileStoreContract, AKeyIsTakenWithTheFileThatItMade) {
  const IdempotencyClaim claim{std::string(64, 'k'), std::string(64, 'f'), 60};
  const auto made_with_key = [&] { return world_->keys().find_key(t_, claim.key_hash, soon()).value(); };
  NewFile file = fresh();
  file.claim = claim;
  NewFile second = fresh();
  second.claim = claim;
  for (const NewFile& one : {file, second}) {
    ASSERT_TRUE(files().begin(one, soon()));
    ASSERT_TRUE(files().append(one, 0, "abc", soon()));
  }
  EXPECT_FALSE(made_with_key().has_value());
  const auto done = files().finish(file, 3, soon());
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(made_with_key(), (IdempotencyRecord{file.id.value, claim.fingerprint}));
  EXPECT_TRUE(files().finish(file, 3, soon())) << "the same again";
  EXPECT_EQ(files().finish(second, 3, soon()).error().code, ErrorCode::kConflict);
  EXPECT_EQ(error_of_get(t_, second.id), ErrorCode::kNotFound);
  EXPECT_TRUE(files().abandon(second, soon()));
  EXPECT_EQ(made_with_key()->resource_id, file.id.value);
}

TEST_P(FileStoreContract, FileIsSeenOnceItIsFinishedAndOnlyByItsTenant) {
  NewFile file = fresh();
  ASSERT_EQ(files().begin(file, soon()), 0U);
  ASSERT_TRUE(files().append(file, 0, "hello ", soon()));
  ASSERT_TRUE(files().append(file, 6, "world", soon()));
  EXPECT_EQ(error_of_get(t_, file.id), ErrorCode::kNotFound);
  EXPECT_EQ(files().read(t_, file.id, 0, 5, soon()).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(files().remove(t_, file.id, soon()).error().code, ErrorCode::kNotFound);
  EXPECT_TRUE(listed({t_, "", {}, true, 10}).empty());

  file.purpose = "user_data";  // What came after the contents counts.
  file.filename = "other";
  file.expires_in_s = 3600;
  const auto done = files().finish(file, 11, soon());
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(done->bytes, 11U);
  EXPECT_EQ(done->purpose, "user_data");
  EXPECT_EQ(done->filename, "other");
  EXPECT_EQ(done->expires_us, done->created_us + 3'600'000'000);

  EXPECT_EQ(files().read(t_, file.id, 0, 100, soon()), "hello world");
  EXPECT_EQ(error_of_get(TenantId{"other"}, file.id), ErrorCode::kNotFound);
  EXPECT_EQ(files().read(TenantId{"other"}, file.id, 0, 5, soon()).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(files().remove(TenantId{"other"}, file.id, soon()).error().code, ErrorCode::kNotFound);
  EXPECT_TRUE(listed({TenantId{"other"}, "", {}, true, 10}).empty());
}

TEST_P(FileStoreContract, RepeatedStepsChangeNothingAndLateOnesAreRefused) {
  const NewFile file = fresh();
  ASSERT_EQ(files().begin(file, soon()), 0U);
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(files().append(file, 0, "abc", soon()));
  EXPECT_EQ(files().begin(file, soon()), 3U);  // Somebody else goes on.
  NewFile thief = file;
  thief.tenant = TenantId{"other"};
  EXPECT_EQ(files().begin(thief, soon()).error().code, ErrorCode::kConflict);
  EXPECT_EQ(files().append(thief, 3, "x", soon()).error().code, ErrorCode::kConflict);
  EXPECT_EQ(files().finish(thief, 3, soon()).error().code, ErrorCode::kConflict);
  EXPECT_EQ(files().finish(file, 4, soon()).error().code, ErrorCode::kCorrupt);
  const auto first = files().finish(file, 3, soon());
  ASSERT_TRUE(first);
  const auto second = files().finish(file, 3, soon());
  ASSERT_TRUE(second);
  EXPECT_EQ(second->created_us, first->created_us);
  EXPECT_EQ(files().append(file, 3, "d", soon()).error().code, ErrorCode::kConflict);
  EXPECT_EQ(files().begin(file, soon()).error().code, ErrorCode::kConflict);
  ASSERT_TRUE(files().abandon(file, soon()));  // Too late: it is finished.
  EXPECT_EQ(files().read(t_, file.id, 0, 9, soon()), "abc");
  EXPECT_EQ(files().append(fresh(), 0, "x", soon()).error().code, ErrorCode::kConflict);
}

TEST_P(FileStoreContract, GapIsFoundBeforeAnybodySeesTheFile) {
  const NewFile file = fresh();
  ASSERT_TRUE(files().begin(file, soon()));
  ASSERT_TRUE(files().append(file, 0, "abc", soon()));
  ASSERT_TRUE(files().append(file, 4, "efg", soon()));
  EXPECT_EQ(files().finish(file, 7, soon()).error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(error_of_get(t_, file.id), ErrorCode::kNotFound);
}

TEST_P(FileStoreContract, BytesOfEveryKindComeBackFromAnyPosition) {
  std::string contents;
  for (std::size_t i = 0; contents.size() < 2 * kFileChunkBytesMax + 777; ++i) {
    contents += static_cast<char>((i * 131 + i / 256) & 0xff);
  }
  const FileInfo file = stored(fresh(), contents);
  ASSERT_EQ(file.bytes, contents.size());
  constexpr std::size_t kChunk = kFileChunkBytesMax;
  const std::pair<std::size_t, std::size_t> ranges[] = {{0, 1},
                                                        {0, kChunk},
                                                        {kChunk - 1, 2},
                                                        {1, kChunk},
                                                        {2 * kChunk - 10, 300},
                                                        {2 * kChunk + 776, 50},
                                                        {kChunk, 0},
                                                        {contents.size(), 10},
                                                        {contents.size() + 9 * kChunk, 10}};
  for (const auto& [offset, length] : ranges) {
    const auto read = files().read(t_, file.id, offset, length, soon());
    ASSERT_TRUE(read) << read.error().message;
    const std::string expected = offset < contents.size() ? contents.substr(offset, length) : "";
    EXPECT_TRUE(*read == expected) << offset << "+" << length << ": " << read->size() << " bytes";
  }
  EXPECT_EQ(files().read(t_, file.id, 0, contents.size(), soon())->size(), kChunk);
}

TEST_P(FileStoreContract, EmptyFileIsAFile) {
  const FileInfo file = stored(fresh(), "");
  EXPECT_EQ(file.bytes, 0U);
  EXPECT_EQ(files().read(t_, file.id, 0, 10, soon()), "");
}

TEST_P(FileStoreContract, ListsPageThroughByIdInBothOrders) {
  std::vector<std::string> ids;
  for (int i = 0; i < 5; ++i) ids.push_back(stored(fresh(t_, i == 2 ? "user_data" : "batch"), "x").id.value);
  stored(fresh(TenantId{"other"}), "x");
  const std::vector<std::string> newest = {ids[4], ids[3], ids[2], ids[1], ids[0]};
  EXPECT_EQ(listed({t_, "", {}, true, 100}), newest);
  EXPECT_EQ(listed({t_, "", {}, false, 100}), ids);
  EXPECT_EQ(listed({t_, "", FileId{ids[3]}, true, 2}), (std::vector<std::string>{ids[2], ids[1]}));
  EXPECT_EQ(listed({t_, "", FileId{ids[3]}, false, 2}), (std::vector<std::string>{ids[4]}));
  EXPECT_EQ(listed({t_, "user_data", {}, true, 100}), (std::vector<std::string>{ids[2]}));
  ASSERT_TRUE(files().remove(t_, FileId{ids[3]}, soon()));
  EXPECT_EQ(listed({t_, "", FileId{ids[3]}, true, 1}), (std::vector<std::string>{ids[2]}));
}

TEST_P(FileStoreContract, RemovedFileIsGoneAtOnceAndItsChunksWithTheSweep) {
  const FileInfo kept = stored(fresh(), "kept");
  const FileInfo file = stored(fresh(), "gone");
  ASSERT_TRUE(files().remove(t_, file.id, soon()));
  EXPECT_EQ(error_of_get(t_, file.id), ErrorCode::kNotFound);
  EXPECT_EQ(files().remove(t_, file.id, soon()).error().code, ErrorCode::kNotFound);
  const int others[] = {1, 2};
  EXPECT_EQ(files().sweep(others, soon())->files, 0);
  const FileSweep done = sweep();
  EXPECT_EQ(done.files, 1);
  EXPECT_EQ(done.chunks, 1);
  EXPECT_EQ(done.expired + done.unfinished, 0);
  EXPECT_EQ(sweep().files, 0);
  EXPECT_EQ(files().read(t_, kept.id, 0, 9, soon()), "kept");
}

TEST_P(FileStoreContract, ExpiredFileIsNotSeenEvenBeforeTheSweep) {
  NewFile file = fresh();
  file.expires_in_s = 3600;
  stored(file, "x");
  EXPECT_EQ(sweep().files, 0);
  world_->advance(seconds(3601));
  EXPECT_EQ(error_of_get(t_, file.id), ErrorCode::kNotFound);
  EXPECT_EQ(files().read(t_, file.id, 0, 1, soon()).error().code, ErrorCode::kNotFound);
  EXPECT_TRUE(listed({t_, "", {}, true, 10}).empty());
  const FileSweep done = sweep();
  EXPECT_EQ(done.expired, 1);
  EXPECT_EQ(done.files, 1);
}

TEST_P(FileStoreContract, UnfinishedFileIsSweptADayAfterItsLastChunk) {
  const NewFile file = fresh();
  ASSERT_TRUE(files().begin(file, soon()));
  world_->advance(hours(23));
  ASSERT_TRUE(files().append(file, 0, "abc", soon()));
  world_->advance(hours(23));
  EXPECT_EQ(sweep().files, 0);
  world_->advance(hours(2));
  const FileSweep done = sweep();
  EXPECT_EQ(done.unfinished, 1);
  EXPECT_EQ(done.chunks, 1);
  EXPECT_EQ(files().append(file, 3, "late", soon()).error().code, ErrorCode::kConflict);
  EXPECT_EQ(files().finish(file, 3, soon()).error().code, ErrorCode::kConflict);

  const NewFile abandoned = fresh();
  ASSERT_TRUE(files().begin(abandoned, soon()));
  ASSERT_TRUE(files().append(abandoned, 0, "abc", soon()));
  ASSERT_TRUE(files().abandon(abandoned, soon()));
  ASSERT_TRUE(files().abandon(abandoned, soon()));
  EXPECT_EQ(files().append(abandoned, 3, "late", soon()).error().code, ErrorCode::kConflict);
  EXPECT_EQ(sweep().files, 1);
}

TEST_P(FileStoreContract, LinesComeOneByOneAndGoOnWhereTheyStood) {
  const std::string longest(50, 'l');
  const std::string too_long(2 * kFileChunkBytesMax + 5, 'x');
  std::string contents = "one\n\ntwo\r\n" + longest + "\r\n" + longest + "!\n" + too_long + "\n";
  // A line that lies on both sides of a chunk's border.
  contents += std::string(49, 'b') + "\n";
  contents += "last";
  const FileInfo file = stored(fresh(), contents);
  FileLines lines(files(), t_, file.id, 50);
  const std::vector<std::pair<std::string, bool>> expected = {{"one", false},
                                                              {"", false},
                                                              {"two", false},
                                                              {longest, false},
                                                              {"", true},
                                                              {"", true},
                                                              {std::string(49, 'b'), false},
                                                              {"last", false}};
  std::vector<std::uint64_t> starts;
  std::uint64_t end = 0;
  for (const auto& [text, long_one] : expected) {
    const auto line = lines.next(soon());
    ASSERT_TRUE(line) << line.error().message;
    ASSERT_TRUE(line->has_value());
    EXPECT_EQ((*line)->text, text);
    EXPECT_EQ((*line)->too_long, long_one);
    EXPECT_EQ((*line)->start, end);
    starts.push_back((*line)->start);
    end = (*line)->end;
  }
  EXPECT_EQ(end, contents.size());
  EXPECT_FALSE(lines.next(soon())->has_value());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const auto line = FileLines(files(), t_, file.id, 50, starts[i]).next(soon());
    ASSERT_TRUE(line && line->has_value());
    EXPECT_EQ((*line)->text, expected[i].first) << i;
    EXPECT_EQ((*line)->too_long, expected[i].second) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Stores, FileStoreContract, ::testing::Values(Kind::kFake, Kind::kMysql),
                         [](const auto& info) { return info.param == Kind::kFake ? "fake" : "mysql"; });

class MysqlFiles : public testing::MysqlTest {
 protected:
  void prepare() override {
    database_->clear_jobs();
    ids_ = std::make_unique<IdMaker>(database_->clock(), database_->rng());
  }
  NewFile fresh() {
    return NewFile{ids_->make<FileId>(3), TenantId{"t"}, "batch_output", "o.jsonl", std::nullopt};
  }
  std::int64_t number(const std::string& question) {
    const auto rows = database_->pool().query(Sql(question), soon());
    EXPECT_TRUE(rows) << rows.error().message;
    return rows->front().int64(0);
  }

  std::unique_ptr<IdMaker> ids_;
};

TEST_F(MysqlFiles, FileAppearsWithTheTransactionThatFinishesIt) {
  MysqlFileStore files(database_->pool());
  const NewFile file = fresh();
  ASSERT_TRUE(files.begin(file, soon()));
  ASSERT_TRUE(files.append(file, 0, "abc", soon()));
  const auto rolled_back = database_->pool().transaction(soon(), [&](MysqlConnection& db) -> Result<int> {
    EXPECT_TRUE(finish_file(db, file, 3, soon()));
    return fail(ErrorCode::kConflict, "the rest did not work");
  });
  EXPECT_FALSE(rolled_back);
  EXPECT_EQ(files.get(file.tenant, file.id, soon()).error().code, ErrorCode::kNotFound);
  const auto committed = database_->pool().transaction(
      soon(), [&](MysqlConnection& db) { return finish_file(db, file, 3, soon()); });
  ASSERT_TRUE(committed) << committed.error().message;
  EXPECT_EQ(files.read(file.tenant, file.id, 0, 10, soon()), "abc");
}

TEST_F(MysqlFiles, SweepTakesALargeFileInBoundedStepsAndItsRowLast) {
  FileRules rules;
  rules.sweep_chunks_max = 10;
  MysqlFileStore files(database_->pool(), rules);
  const NewFile file = fresh();
  ASSERT_TRUE(files.begin(file, soon()));
  for (std::uint64_t at = 0; at < 25; ++at) ASSERT_TRUE(files.append(file, at, "x", soon()));
  ASSERT_TRUE(files.finish(file, 25, soon()));
  ASSERT_TRUE(files.remove(file.tenant, file.id, soon()));
  const int shards[] = {3};
  for (const int left : {15, 5}) {
    const auto step = files.sweep(shards, soon());
    ASSERT_TRUE(step) << step.error().message;
    EXPECT_EQ(step->chunks, 10);
    EXPECT_EQ(step->files, 0);
    EXPECT_TRUE(step->more);
    EXPECT_EQ(number("SELECT COUNT(*) FROM file_chunk"), left);
    EXPECT_EQ(number("SELECT COUNT(*) FROM file"), 1);
  }
  const auto last = files.sweep(shards, soon());
  ASSERT_TRUE(last) << last.error().message;
  EXPECT_EQ(last->chunks, 5);
  EXPECT_EQ(last->files, 1);
  EXPECT_FALSE(last->more);
  EXPECT_EQ(number("SELECT COUNT(*) FROM file_chunk"), 0);
  EXPECT_EQ(number("SELECT COUNT(*) FROM file"), 0);
}

TEST_F(MysqlFiles, MissingChunkIsCorruptAndNotAShortFile) {
  MysqlFileStore files(database_->pool());
  const NewFile file = fresh();
  ASSERT_TRUE(files.begin(file, soon()));
  ASSERT_TRUE(files.append(file, 0, "abc", soon()));
  ASSERT_TRUE(files.append(file, 3, "def", soon()));
  ASSERT_TRUE(files.finish(file, 6, soon()));
  database_->execute("DELETE FROM file_chunk WHERE start = 3");
  EXPECT_EQ(files.read(file.tenant, file.id, 0, 3, soon()), "abc");
  EXPECT_EQ(files.read(file.tenant, file.id, 0, 6, soon()).error().code, ErrorCode::kCorrupt);
}

}  // namespace
}  // namespace sluice
