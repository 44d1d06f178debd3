// Every table that this CPU can run, against double precision, against OpenBLAS, and against itself in other
// shapes.
#include "worker/kernels/kernels.h"

#include <cblas.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "tests/unit/worker/kernels/normals.h"
#include "worker/kernels/half.h"

namespace sluice::kernels {
namespace {

constexpr double kEpsilon = 0x1p-24;  // Relative error of one single-precision operation.

std::vector<std::uint16_t> halves(const std::vector<float>& values) {
  std::vector<std::uint16_t> out(values.size());
  std::transform(values.begin(), values.end(), out.begin(), float_to_half);
  return out;
}

std::vector<float> floats(const std::vector<std::uint16_t>& values) {
  std::vector<float> out(values.size());
  std::transform(values.begin(), values.end(), out.begin(), half_to_float);
  return out;
}

struct Shape {
  std::size_t rows, cols, tokens;
};

// Rows and tokens around every tile's border; columns with and without a remainder.
std::vector<Shape> shapes() {
  std::vector<Shape> all;
  for (std::size_t rows : {1, 3, 4, 7, 8, 9, 17}) {
    for (std::size_t tokens : {1, 2, 3, 4, 5, 6, 7, 13}) all.push_back({rows, 64, tokens});
  }
  for (std::size_t cols : {1, 7, 8, 15, 16, 31, 33, 100, 512, 1000}) all.push_back({5, cols, 4});
  return all;
}

class Kernels : public testing::TestWithParam<const KernelSet*> {};

// y has some room between tokens, which must stay as it was.
void check_float(void (*matmul)(const FloatMatmul&), const void* weights, const std::vector<float>& w,
                 const Shape& s, const std::vector<float>& x) {
  const std::size_t stride = s.rows + 3;
  std::vector<float> y(stride * s.tokens, -77.0F);
  matmul({weights, s.rows, s.cols, x.data(), s.tokens, y.data(), stride});
  for (std::size_t t = 0; t < s.tokens; ++t) {
    for (std::size_t r = 0; r < s.rows; ++r) {
      double sum = 0.0;
      double magnitude = 0.0;
      for (std::size_t k = 0; k < s.cols; ++k) {
        const double product = static_cast<double>(w[r * s.cols + k]) * x[t * s.cols + k];
        sum += product;
        magnitude += std::fabs(product);
      }
      // At most one rounding for each product and each addition on the way of any term.
      const double tolerance = static_cast<double>(s.cols + 1) * kEpsilon * magnitude;
      ASSERT_NEAR(y[t * stride + r], sum, tolerance) << s.rows << "x" << s.cols << " tokens " << s.tokens;
    }
    for (std::size_t r = s.rows; r < stride; ++r) ASSERT_EQ(y[t * stride + r], -77.0F);
  }
}

TEST_P(Kernels, F32MatchesDoublePrecision) {
  for (const Shape& s : shapes()) {
    const std::vector<float> w = normals(s.rows * s.cols, 1);
    check_float(GetParam()->matmul_f32, w.data(), w, s, normals(s.tokens * s.cols, 2));
  }
}

TEST_P(Kernels, F16MatchesDoublePrecision) {
  for (const Shape& s : shapes()) {
    const std::vector<std::uint16_t> w = halves(normals(s.rows * s.cols, 3));
    check_float(GetParam()->matmul_f16, w.data(), floats(w), s, normals(s.tokens * s.cols, 4));
  }
}

// Whole calls against single rows and single tokens: the same bits.
TEST_P(Kernels, AnOutputDoesNotDependOnItsNeighbours) {
  const std::size_t rows = 19;
  const std::size_t tokens = 17;
  const std::size_t cols = 192;
  const std::vector<float> w = normals(rows * cols, 7);
  const std::vector<float> x = normals(tokens * cols, 8);
  const std::vector<std::uint16_t> w16 = halves(w);
  const KernelSet& set = *GetParam();
  std::vector<float> all32(rows * tokens), all16(rows * tokens);
  set.matmul_f32({w.data(), rows, cols, x.data(), tokens, all32.data(), rows});
  set.matmul_f16({w16.data(), rows, cols, x.data(), tokens, all16.data(), rows});
  for (std::size_t t = 0; t < tokens; ++t) {
    std::vector<float> token(rows);
    set.matmul_f32({w.data(), rows, cols, &x[t * cols], 1, token.data(), rows});
    EXPECT_EQ(std::memcmp(token.data(), &all32[t * rows], rows * sizeof(float)), 0) << "f32, token " << t;
    set.matmul_f16({w16.data(), rows, cols, &x[t * cols], 1, token.data(), rows});
    EXPECT_EQ(std::memcmp(token.data(), &all16[t * rows], rows * sizeof(float)), 0) << "f16, token " << t;
    for (std::size_t r = 0; r < rows; ++r) {
      float one = 0.0F;
      set.matmul_f32({&w[r * cols], 1, cols, &x[t * cols], 1, &one, 1});
      EXPECT_EQ(one, all32[t * rows + r]);
    }
  }
}

TEST_P(Kernels, FloatPathMatchesOpenBlas) {
  openblas_set_num_threads(1);
  const std::size_t rows = 96;
  const std::size_t tokens = 33;
  const std::size_t cols = 512;
  const std::vector<std::uint16_t> w16 = halves(normals(rows * cols, 9));
  const std::vector<float> w = floats(w16);
  const std::vector<float> x = normals(tokens * cols, 10);
  std::vector<float> expected(rows * tokens);
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, tokens, rows, cols, 1.0F, x.data(), cols, w.data(),
              cols, 0.0F, expected.data(), rows);
  std::vector<float> y(rows * tokens);
  GetParam()->matmul_f16({w16.data(), rows, cols, x.data(), tokens, y.data(), rows});
  for (std::size_t i = 0; i < y.size(); ++i) {
    double magnitude = 0.0;
    for (std::size_t k = 0; k < cols; ++k) {
      magnitude += std::fabs(static_cast<double>(w[i % rows * cols + k]) * x[i / rows * cols + k]);
    }
    ASSERT_NEAR(y[i], expected[i], 2.0 * cols * kEpsilon * magnitude);
  }
}

TEST_P(Kernels, DotMatchesDoublePrecision) {
  for (std::size_t n : {1, 5, 8, 16, 31, 32, 64, 100, 128}) {
    const std::vector<float> a = normals(n, 12);
    const std::vector<float> b = normals(n, 13);
    double sum = 0.0;
    double magnitude = 0.0;
    for (std::size_t i = 0; i < n; ++i) {
      sum += static_cast<double>(a[i]) * b[i];
      magnitude += std::fabs(static_cast<double>(a[i]) * b[i]);
    }
    EXPECT_NEAR(GetParam()->dot(a.data(), b.data(), n), sum,
                static_cast<double>(n + 1) * kEpsilon * magnitude);
  }
}

TEST_P(Kernels, SoftmaxMatchesDoublePrecision) {
  for (std::size_t n : {1, 2, 7, 8, 9, 100, 1024}) {
    std::vector<float> x = normals(n, 14);
    for (float& value : x) value *= 10.0F;
    double largest = -1e30;
    for (float value : x) largest = std::fmax(largest, value);
    double sum = 0.0;
    for (float value : x) sum += std::exp(value - largest);
    std::vector<float> y = x;
    GetParam()->softmax(y.data(), n);
    for (std::size_t i = 0; i < n; ++i) {
      const double expected = std::exp(x[i] - largest) / sum;
      // The difference x - max rounds by up to 2^-24 of its size (here below 128), and e^ carries that over.
      EXPECT_NEAR(y[i], expected, expected * 1e-5 + 1e-37) << i << " of " << n;
    }
  }
}

TEST_P(Kernels, SoftmaxStandsLargeDifferences) {
  std::vector<float> x = {1000.0F, -1000.0F, 999.0F, -3e38F};
  GetParam()->softmax(x.data(), x.size());
  EXPECT_NEAR(x[0], 1.0 / (1.0 + std::exp(-1.0)), 1e-6);
  EXPECT_EQ(x[1], 0.0F);
  EXPECT_EQ(x[3], 0.0F);
}

TEST_P(Kernels, SiluMatchesDoublePrecision) {
  std::vector<float> gate;
  for (int i = -2000; i <= 2000; ++i) gate.push_back(static_cast<float>(i) * 0.06F);
  const std::vector<float> up = normals(gate.size(), 15);
  std::vector<float> y = gate;
  GetParam()->silu_multiply(y.data(), up.data(), y.size());
  for (std::size_t i = 0; i < y.size(); ++i) {
    const double expected = gate[i] / (1.0 + std::exp(-static_cast<double>(gate[i]))) * up[i];
    EXPECT_NEAR(y[i], expected, std::fabs(expected) * 2e-6 + 1e-34) << gate[i];
  }
}

std::string name_of(const testing::TestParamInfo<const KernelSet*>& info) {
  std::string name(info.param->name);
  for (char& c : name) c = c == '-' ? '_' : c;
  return name;
}

INSTANTIATE_TEST_SUITE_P(OnThisCpu, Kernels, testing::ValuesIn(kernel_sets().begin(), kernel_sets().end()),
                         name_of);

TEST(KernelSets, PortableIsAlwaysThereAndLast) {
  ASSERT_FALSE(kernel_sets().empty());
  EXPECT_EQ(kernel_sets().back()->name, "portable");
  EXPECT_EQ(find_kernel_set("portable"), kernel_sets().back());
  EXPECT_EQ(find_kernel_set("quantum"), nullptr);
}

}  // namespace
}  // namespace sluice::kernels
