#include "worker/ops/matmul.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "tests/unit/worker/kernels/normals.h"
#include "worker/kernels/formats/format.h"

namespace sluice::ops {
namespace {

using kernels::normals;

struct Stored {
  std::vector<std::byte> bytes;
  WeightMatrix matrix;

  WeightMatrix packed() const {
    ThreadPool pool(2);
    auto matrix_packed =
        WeightMatrix::pack({*kernels::kernel_sets().front(), pool}, matrix.type(), matrix.rows(),
                           matrix.cols(), bytes.data(), std::make_shared<PackedMemory>());
    EXPECT_TRUE(matrix_packed.has_value());
    return *matrix_packed;
  }
};

Stored stored(GgmlType type, std::size_t rows, std::size_t cols, const std::vector<float>& values) {
  Stored s;
  s.bytes.resize(ggml_row_bytes(type, cols) * rows);
  for (std::size_t r = 0; r < rows; ++r) {
    kernels::find_format(type)->quantize(&values[r * cols], cols, nullptr,
                                         &s.bytes[r * s.bytes.size() / rows]);
  }
  auto matrix = WeightMatrix::prepare(type, rows, cols, s.bytes.data());
  EXPECT_TRUE(matrix.has_value());
  s.matrix = *matrix;
  return s;
}

// Where the second block of a row has its half-precision numbers (for types without blocks: some number).
std::vector<std::size_t> scale_offsets(GgmlType type) {
  switch (type) {
    case GgmlType::kQ4_1:
    case GgmlType::kQ5_1:
    case GgmlType::kQ4_K:
    case GgmlType::kQ5_K: {
      const std::size_t block = ggml_type_traits(type).bytes;
      return {block, block + 2};
    }
    case GgmlType::kQ2_K:
      return {84 + 80, 84 + 82};
    case GgmlType::kQ3_K:
      return {110 + 108};
    case GgmlType::kQ6_K:
      return {210 + 208};
    default:
      return {ggml_type_traits(type).bytes};
  }
}

void write_bad(GgmlType type, float bad, std::byte* at) {
  const GgmlType as = type == GgmlType::kF32 || type == GgmlType::kBF16 ? type : GgmlType::kF16;
  kernels::find_format(as)->quantize(&bad, 1, nullptr, at);
}

std::vector<GgmlType> all_types() {
  std::vector<GgmlType> types;
  for (const kernels::Format& format : kernels::formats()) types.push_back(format.type);
  return types;
}

class MatmulTypes : public testing::TestWithParam<GgmlType> {};

TEST_P(MatmulTypes, SeveralProductsAtOnceEqualTheSlowProduct) {
  const std::size_t cols = 256;
  const std::vector<std::size_t> rows = {160, 3, 48};
  for (std::size_t threads : {1, 3}) {
    ThreadPool pool(threads);
    for (const kernels::KernelSet* set : kernels::kernel_sets()) {
      const Context context{*set, pool};
      for (std::size_t tokens : {1, 7}) {
        const std::vector<float> x = normals(tokens * cols, 1);
        std::vector<Stored> weights;
        std::vector<std::vector<float>> y;
        for (std::size_t i = 0; i < rows.size(); ++i) {
          weights.push_back(
              stored(GetParam(), rows[i], cols, normals(rows[i] * cols, 10 + static_cast<unsigned>(i))));
          if (i != 1) weights.back().matrix = weights.back().packed();  // The file's layout serves as well.
          y.emplace_back(tokens * rows[i]);
        }
        std::vector<Product> products;
        for (std::size_t i = 0; i < rows.size(); ++i) {
          products.push_back({&weights[i].matrix, y[i].data(), rows[i]});
        }
        Activations activations;
        activations.set(x.data(), tokens, cols);
        matmul(context, activations, products);
        std::vector<float> row(cols);
        for (std::size_t i = 0; i < rows.size(); ++i) {
          for (std::size_t r = 0; r < rows[i]; ++r) {
            weights[i].matrix.read_row(r, row.data());
            for (std::size_t t = 0; t < tokens; ++t) {
              double sum = 0.0;
              for (std::size_t k = 0; k < cols; ++k) sum += static_cast<double>(row[k]) * x[t * cols + k];
              // Blocks: each activation may be off by up to half a step of its block, about 3/254; 256 such
              // errors of random sign against weights of size 1 make a standard deviation of about 0.11.
              const double tolerance = ggml_type_traits(GetParam()).values > 1 ? 0.6 : 2e-4;
              ASSERT_NEAR(y[i][t * rows[i] + r], sum, tolerance) << set->name;
            }
          }
        }
      }
    }
  }
}

TEST_P(MatmulTypes, ThreadsDoNotChangeABit) {
  const std::size_t rows = 500;
  const std::size_t cols = 512;
  const std::size_t tokens = 5;
  const Stored w = stored(GetParam(), rows, cols, normals(rows * cols, 2));
  const std::vector<float> x = normals(tokens * cols, 3);
  std::vector<std::vector<float>> results;
  for (std::size_t threads : {1, 2, 4}) {
    ThreadPool pool(threads);
    Activations activations;
    activations.set(x.data(), tokens, cols);
    std::vector<float> y(rows * tokens);
    const WeightMatrix packed = w.packed();
    const Product product{&packed, y.data(), rows};
    matmul({*kernels::kernel_sets().front(), pool}, activations, {&product, 1});
    results.push_back(y);
  }
  EXPECT_EQ(results[0], results[1]);
  EXPECT_EQ(results[0], results[2]);
}

TEST_P(MatmulTypes, FindsNumbersThatAreNotFinite) {
  const std::size_t cols = 512;
  const Stored good = stored(GetParam(), 4, cols, normals(4 * cols, 4));
  EXPECT_TRUE(good.matrix.finite(0, 4));
  for (const float bad : {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    for (const std::size_t at : scale_offsets(GetParam())) {
      Stored s = stored(GetParam(), 4, cols, normals(4 * cols, 4));
      write_bad(GetParam(), bad, s.bytes.data() + 2 * s.bytes.size() / 4 + at);
      EXPECT_FALSE(s.matrix.finite(0, 4)) << at;
      EXPECT_TRUE(s.matrix.finite(0, 2));
      EXPECT_TRUE(s.matrix.finite(3, 4));
      ThreadPool pool(2);
      const Context context{*kernels::kernel_sets().front(), pool};
      EXPECT_EQ(s.matrix.check_finite(context).error().code, ErrorCode::kCorrupt);
      const auto packed =
          WeightMatrix::pack(context, GetParam(), 4, cols, s.bytes.data(), std::make_shared<PackedMemory>());
      ASSERT_FALSE(packed.has_value());
      EXPECT_EQ(packed.error().code, ErrorCode::kCorrupt);
    }
  }
}

TEST_P(MatmulTypes, PackedRowsAreTheFilesBitByBit) {
  const Stored s = stored(GetParam(), 37, 512, normals(37 * 512, 5));
  const WeightMatrix packed = s.packed();
  std::vector<float> expected(512), row(512);
  for (std::size_t r = 0; r < 37; ++r) {
    s.matrix.read_row(r, expected.data());
    packed.read_row(r, row.data());
    ASSERT_EQ(row, expected);
  }
}

INSTANTIATE_TEST_SUITE_P(Types, MatmulTypes, testing::ValuesIn(all_types()),
                         [](const auto& info) { return std::string(ggml_type_name(info.param)); });

TEST(WeightMatrix, RefusesWhatItHasNoKernelForByName) {
  const auto refused = WeightMatrix::prepare(GgmlType::kIQ4_XS, 1, 256, nullptr);
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalid);
  EXPECT_NE(refused.error().message.find("IQ4_XS"), std::string::npos);
  EXPECT_NE(refused.error().message.find("Q4_K"), std::string::npos);
  EXPECT_FALSE(WeightMatrix::prepare(GgmlType::kQ4_K, 1, 128, nullptr).has_value());
  EXPECT_FALSE(WeightMatrix::prepare(GgmlType::kQ8_0, 1, 33, nullptr).has_value());
}

}  // namespace
}  // namespace sluice::ops
