// Mutates model files of every architecture and type and computes with those that are still accepted.
// Whatever the file says, loading ends in a model or an error, and a model that was accepted can be run. A
// failure prints the seed.
#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <vector>

#include "tests/fuzz/mutator.h"
#include "tests/unit/worker/model/random_model.h"
#include "worker/kernels/formats/format.h"
#include "worker/model/model.h"

namespace sluice {
namespace {

using testmodel::RandomModel;
using testmodel::TemporaryFolder;

std::string bytes_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// Shapes are read from the file, so that a mutation may make it ask for a context or a vocabulary that was
// not meant.
void run(model::Model& model) {
  ops::KvShape shape = model.kv_shape();
  if (shape.token_bytes() > (std::size_t{1} << 24)) return;  // Would be refused for its memory.
  const auto cache = ops::KvCache::make(shape, ops::kPageTokens);
  if (!cache) return;
  const auto pages = (*cache)->reserve(2);
  ASSERT_TRUE(pages);
  const auto last = static_cast<std::int32_t>(model.shape().vocabulary - 1);
  const std::vector<model::StepToken> step = {{0, 0, &*pages, false}, {last, 1, &*pages, true}};
  EXPECT_EQ(model.forward(**cache, step).size(), model.shape().vocabulary);
}

TEST(Fuzz, ModelFiles) {
  const TemporaryFolder folder;
  std::vector<std::string> valid;
  std::vector<std::size_t> headers;  // Where the data begins: most mutations belong before.
  const char* const architectures[] = {"qwen2", "qwen3", "llama"};
  for (const kernels::Format& format : kernels::formats()) {
    RandomModel random;
    random.architecture = architectures[valid.size() % 3];
    random.type = format.type;
    random.layers = 1;
    random.width = random.feed_forward = ggml_type_traits(format.type).values == 256 ? 256 : 64;
    random.vocabulary = 8;
    random.own_output = valid.size() % 2 == 0;
    const std::string path = folder.path("valid.gguf");
    random.write(path);
    valid.push_back(bytes_of(path));
    headers.push_back(GgufFile::open(path)->data_offset());
  }
  fuzz::Mutator mutator(fuzz::seed() + 4);
  ops::ThreadPool pool(1);
  const ops::Context context{*kernels::kernel_sets().front(), pool};
  std::uint64_t accepted = 0;
  for (std::uint64_t round = 0; round < fuzz::rounds(60'000) / 100; ++round) {
    SCOPED_TRACE("seed " + std::to_string(fuzz::seed()) + ", round " + std::to_string(round));
    const std::size_t which = mutator.below(valid.size());
    std::string bytes = valid[which];
    if (mutator.below(4) == 0) {
      bytes = mutator.mutate(bytes, {});
    } else {
      // In place: a header of another length moves all the data, which is refused at once.
      const std::string head = mutator.overwrite(bytes.substr(0, headers[which]));
      bytes.replace(0, head.size(), head);
    }
    const std::string path = folder.path("x.gguf");
    std::ofstream(path, std::ios::binary) << bytes;
    const auto file = GgufFile::open(path);
    if (!file) continue;
    const auto model = model::load_model(*file, context);
    if (!model) {
      ASSERT_TRUE(model.error().code == ErrorCode::kInvalid || model.error().code == ErrorCode::kCorrupt ||
                  model.error().code == ErrorCode::kNotFound || model.error().code == ErrorCode::kExhausted)
          << model.error().message;
      continue;
    }
    ++accepted;
    run(**model);
  }
  EXPECT_GT(accepted, 0U);
}

}  // namespace
}  // namespace sluice
