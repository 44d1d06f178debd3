// Every packed layout, by every table that this CPU can run: against the file's formats, against exact
// integers, against double precision, and against itself in other shapes.
#include "worker/kernels/packed.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "tests/unit/worker/kernels/normals.h"
#include "worker/kernels/formats/format.h"
#include "worker/kernels/kernels.h"

namespace sluice::kernels {
namespace {

constexpr double kEpsilon = 0x1p-24;  // Relative error of one single-precision operation.

struct Names {
  PackedType packed;
  GgmlType file;
  std::vector<std::size_t> halves;  // Where a block in the file has its half-precision numbers.
};

const std::vector<Names>& all_types() {
  static const std::vector<Names> types = {
      {PackedType::kQ8_0, GgmlType::kQ8_0, {0}},    {PackedType::kQ4_0, GgmlType::kQ4_0, {0}},
      {PackedType::kQ4_1, GgmlType::kQ4_1, {0, 2}}, {PackedType::kQ5_0, GgmlType::kQ5_0, {0}},
      {PackedType::kQ5_1, GgmlType::kQ5_1, {0, 2}}, {PackedType::kQ2_K, GgmlType::kQ2_K, {80, 82}},
      {PackedType::kQ3_K, GgmlType::kQ3_K, {108}},  {PackedType::kQ4_K, GgmlType::kQ4_K, {0, 2}},
      {PackedType::kQ5_K, GgmlType::kQ5_K, {0, 2}}, {PackedType::kQ6_K, GgmlType::kQ6_K, {208}},
  };
  return types;
}

struct Matrix {
  std::size_t rows, cols;
  std::vector<std::byte> file;
  std::vector<std::byte> panels;
  std::vector<float> numbers;  // What the file's blocks stand for.
};

Matrix packed(const Names& type, std::size_t rows, std::size_t cols, std::vector<std::byte> file) {
  Matrix m{rows, cols, std::move(file), {}, std::vector<float>(rows * cols)};
  const std::size_t row_bytes = m.file.size() / rows;
  const std::size_t bytes = panel_bytes(type.packed, cols);
  m.panels.resize((rows + kPanelRows - 1) / kPanelRows * bytes, std::byte{0xA5});
  for (std::size_t row = 0; row < rows; row += kPanelRows) {
    EXPECT_TRUE(pack_panel(type.packed, &m.file[row * row_bytes], std::min(kPanelRows, rows - row), cols,
                           &m.panels[row / kPanelRows * bytes]));
  }
  find_format(type.file)->dequantize(m.file.data(), m.numbers.size(), m.numbers.data());
  return m;
}

Matrix of_normals(const Names& type, std::size_t rows, std::size_t cols, unsigned seed) {
  const std::vector<float> values = normals(rows * cols, seed);
  std::vector<std::byte> file(ggml_row_bytes(type.file, cols) * rows);
  find_format(type.file)->quantize(values.data(), values.size(), nullptr, file.data());
  return packed(type, rows, cols, std::move(file));
}

// Any bytes, but scales and minima that are 1: every number is an integer.
Matrix of_integers(const Names& type, std::size_t rows, std::size_t cols, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<std::byte> file(ggml_row_bytes(type.file, cols) * rows);
  for (std::byte& byte : file) byte = static_cast<std::byte>(random());
  const std::uint16_t one = 0x3C00;
  for (std::size_t block = 0; block < file.size(); block += ggml_type_traits(type.file).bytes) {
    for (const std::size_t at : type.halves) std::memcpy(&file[block + at], &one, sizeof one);
  }
  return packed(type, rows, cols, std::move(file));
}

struct Tokens {
  std::size_t cols;
  std::vector<std::int8_t> values;
  std::vector<float> scales;
  std::vector<std::uint32_t> sums;
  QuantizedTokens all;

  std::int64_t value(std::size_t token, std::size_t k) const {
    return values[place(token, k / kGroupValues) * kGroupValues + k % kGroupValues];
  }
  float scale(std::size_t token, std::size_t k) const { return scales[place(token, k / kGroupValues)]; }

 private:
  std::size_t place(std::size_t token, std::size_t group) const {
    const std::size_t first = token / kTileTokens * kTileTokens;
    return first * cols / kGroupValues + group * std::min(kTileTokens, all.tokens - first) + token - first;
  }
};

Tokens tokens_of(const KernelSet& set, PackedType type, const std::vector<float>& x, std::size_t cols) {
  const std::size_t tokens = x.size() / cols;
  const std::size_t groups = cols / kGroupValues;
  const TokenSums kind = token_sums(type);
  const std::size_t each = kind == TokenSums::kHalfBiases || kind == TokenSums::kHalfFloats ? 2 : 1;
  Tokens q{cols,
           std::vector<std::int8_t>(x.size()),
           std::vector<float>(tokens * groups),
           std::vector<std::uint32_t>(tokens * groups * each),
           {}};
  for (std::size_t first = 0; first < tokens; first += kTileTokens) {
    const std::size_t pitch = std::min(kTileTokens, tokens - first);
    for (std::size_t t = 0; t < pitch; ++t) {
      set.quantize_token(&x[(first + t) * cols], cols, pitch, &q.values[first * cols + t * kGroupValues],
                         &q.scales[first * groups + t]);
    }
    set.sum_tokens(kind, &q.values[first * cols], &q.scales[first * groups], groups, pitch,
                   &q.sums[first * groups * each]);
  }
  q.all = {q.values.data(), q.scales.data(), q.sums.data(), tokens};
  return q;
}

std::vector<float> multiplied(const KernelSet& set, const Names& type, const Matrix& m, const Tokens& x) {
  std::vector<float> y(m.rows * x.all.tokens);
  set.matmul_packed[static_cast<std::size_t>(type.packed)](
      {m.panels.data(), m.rows, m.cols, x.all, y.data(), m.rows});
  return y;
}

// Rows and tokens around every tile's border.
constexpr std::size_t kRowCounts[] = {1, 7, 8, 16, 17, 32, 35, 48};
constexpr std::size_t kTokenCounts[] = {1, 2, 3, 15, 16, 17, 33};

class Packed : public testing::TestWithParam<Names> {};

TEST_P(Packed, RowsAreThoseOfTheFileBitByBit) {
  const Names& type = GetParam();
  for (const std::size_t rows : {1, 5, 16, 21}) {
    for (const Matrix& m : {of_normals(type, rows, 512, 1), of_integers(type, rows, 256, 2)}) {
      for (std::size_t row = 0; row < rows; ++row) {
        std::vector<float> own(m.cols);
        unpack_row(type.packed, &m.panels[row / kPanelRows * panel_bytes(type.packed, m.cols)],
                   row % kPanelRows, m.cols, own.data());
        ASSERT_EQ(own, std::vector<float>(&m.numbers[row * m.cols], &m.numbers[row * m.cols] + m.cols));
      }
    }
  }
}

TEST_P(Packed, BlocksHaveTheirSizesAndTakeLittleMoreThanInTheFile) {
  const Names& type = GetParam();
  EXPECT_EQ(packed_layout(type.packed).block_groups * kGroupValues, ggml_type_traits(type.file).values);
  EXPECT_LE(panel_bytes(type.packed, 1024), kPanelRows * ggml_row_bytes(type.file, 1024) * 104 / 100);
}

TEST_P(Packed, FindsScalesThatAreNotFinite) {
  const Names& type = GetParam();
  const Matrix good = of_normals(type, 16, 512, 3);
  std::vector<std::byte> panel(panel_bytes(type.packed, 512));
  for (const std::uint16_t bad : {0x7C00, 0xFC00, 0x7E01}) {
    for (const std::size_t at : type.halves) {
      std::vector<std::byte> file = good.file;
      std::memcpy(&file[file.size() - ggml_type_traits(type.file).bytes + at], &bad, sizeof bad);
      EXPECT_FALSE(pack_panel(type.packed, file.data(), 16, 512, panel.data()));
      EXPECT_TRUE(pack_panel(type.packed, file.data(), 15, 512, panel.data()));
    }
  }
}

// Integers times integers, and all sums below 2^24: exact in every table, whatever it rounds where.
TEST_P(Packed, ProductsOfIntegersAreExact) {
  const Names& type = GetParam();
  std::mt19937 random(4);
  for (const std::size_t rows : kRowCounts) {
    for (const std::size_t tokens : kTokenCounts) {
      const std::size_t cols = 256;
      const Matrix m = of_integers(type, rows, cols, static_cast<unsigned>(rows));
      std::vector<float> x(tokens * cols);
      for (float& value : x) value = static_cast<float>(static_cast<int>(random() % 255) - 127);
      for (std::size_t i = 0; i < x.size(); i += kGroupValues) x[i + random() % kGroupValues] = 127.0F;
      for (const KernelSet* set : kernel_sets()) {
        const Tokens q = tokens_of(*set, type.packed, x, cols);
        const std::vector<float> y = multiplied(*set, type, m, q);
        for (std::size_t t = 0; t < tokens; ++t) {
          for (std::size_t r = 0; r < rows; ++r) {
            std::int64_t sum = 0;
            for (std::size_t k = 0; k < cols; ++k) {
              ASSERT_EQ(q.scale(t, k) * static_cast<float>(q.value(t, k)), x[t * cols + k]);
              sum += static_cast<std::int64_t>(m.numbers[r * cols + k]) * q.value(t, k);
            }
            ASSERT_LT(std::abs(sum), 1 << 24);
            ASSERT_EQ(y[t * rows + r], static_cast<float>(sum)) << set->name << " " << rows << " " << tokens;
          }
        }
      }
    }
  }
}

TEST_P(Packed, ProductsMatchTheSameNumbersInDoublePrecision) {
  const Names& type = GetParam();
  const std::size_t rows = 37;
  const std::size_t cols = 768;
  const std::size_t tokens = 19;
  const Matrix m = of_normals(type, rows, cols, 5);
  const std::vector<float> x = normals(tokens * cols, 6);
  for (const KernelSet* set : kernel_sets()) {
    const Tokens q = tokens_of(*set, type.packed, x, cols);
    const std::vector<float> y = multiplied(*set, type, m, q);
    for (std::size_t t = 0; t < tokens; ++t) {
      for (std::size_t r = 0; r < rows; ++r) {
        double sum = 0.0;
        double magnitude = 0.0;
        for (std::size_t g = 0; g < cols; g += kGroupValues) {
          double largest = 0.0;
          double values = 0.0;
          for (std::size_t k = g; k < g + kGroupValues; ++k) {
            const double value = q.scale(t, k) * static_cast<double>(q.value(t, k));
            sum += static_cast<double>(m.numbers[r * cols + k]) * value;
            largest = std::fmax(largest, std::fabs(m.numbers[r * cols + k]));
            values += std::fabs(value);
          }
          // scale × code and minimum are both about as large as the group's numbers reach.
          magnitude += 3.0 * largest * values;
        }
        // Roundings: up to three additions for each group on the way of any term, and a few at its making.
        const double tolerance = (3.0 * cols / kGroupValues + 8.0) * kEpsilon * magnitude;
        ASSERT_NEAR(y[t * rows + r], sum, tolerance) << set->name;
      }
    }
  }
}

// All tokens and rows at once against single tokens and single panels: the same bits.
TEST_P(Packed, AnOutputDoesNotDependOnItsNeighbours) {
  const Names& type = GetParam();
  const std::size_t cols = 2048;  // More than any kernel takes at a time.
  const std::size_t rows = 83;
  const std::size_t tokens = 37;
  const Matrix m = of_normals(type, rows, cols, 7);
  const std::vector<float> x = normals(tokens * cols, 8);
  for (const KernelSet* set : kernel_sets()) {
    const auto multiply = set->matmul_packed[static_cast<std::size_t>(type.packed)];
    const std::vector<float> all = multiplied(*set, type, m, tokens_of(*set, type.packed, x, cols));
    for (std::size_t t = 0; t < tokens; ++t) {
      const Tokens one = tokens_of(*set, type.packed, {&x[t * cols], &x[t * cols] + cols}, cols);
      const std::vector<float> y = multiplied(*set, type, m, one);
      ASSERT_EQ(std::memcmp(y.data(), &all[t * rows], rows * sizeof(float)), 0)
          << set->name << " token " << t;
    }
    for (std::size_t count = 2; count < tokens; count += 5) {
      const Tokens some = tokens_of(*set, type.packed, {x.data(), x.data() + count * cols}, cols);
      for (std::size_t row = 0; row < rows; row += kPanelRows) {
        const std::size_t here = std::min(kPanelRows, rows - row);
        const std::size_t stride = here + 3;
        std::vector<float> y(stride * count, -77.0F);
        multiply({&m.panels[row / kPanelRows * panel_bytes(type.packed, cols)], here, cols, some.all,
                  y.data(), stride});
        for (std::size_t t = 0; t < count; ++t) {
          for (std::size_t r = 0; r < here; ++r) ASSERT_EQ(y[t * stride + r], all[t * rows + row + r]);
          for (std::size_t r = here; r < stride; ++r) ASSERT_EQ(y[t * stride + r], -77.0F) << set->name;
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, Packed, testing::ValuesIn(all_types()),
                         [](const auto& info) { return std::string(ggml_type_name(info.param.file)); });

TEST(PackedQ8_0, HoldsAtTheEndsOfTheRange) {
  // A file may hold -128, which no quantiser writes.
  const Names& type = all_types()[0];
  std::vector<std::byte> file(2 * 34, std::byte{0x80});
  std::fill(file.begin() + 34, file.end(), std::byte{0x7F});
  const std::uint16_t one = 0x3C00;
  std::memcpy(&file[0], &one, sizeof one);
  std::memcpy(&file[34], &one, sizeof one);
  const Matrix m = packed(type, 1, 64, file);
  std::vector<float> x(64, -127.0F);
  std::fill(x.begin() + 32, x.end(), 127.0F);
  for (const KernelSet* set : kernel_sets()) {
    EXPECT_EQ(multiplied(*set, type, m, tokens_of(*set, type.packed, x, 64))[0], 32 * 127 * (128 + 127));
  }
}

TEST(QuantizedActivations, AreWithinHalfAStepAndTheSameInEveryTable) {
  std::vector<float> x = normals(256, 11);
  std::fill(x.begin() + 32, x.begin() + 64, 0.0F);
  for (std::size_t i = 64; i < 96; ++i) x[i] *= 1e-38F;
  const Tokens expected = tokens_of(*kernel_sets().back(), PackedType::kQ6_K, x, x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    EXPECT_GE(expected.value(0, i), -127);
    const float scale = expected.scale(0, i);
    EXPECT_NEAR(scale * static_cast<float>(expected.value(0, i)), x[i], 0.501F * scale + 2e-36F);
  }
  for (const KernelSet* set : kernel_sets()) {
    for (const PackedType type :
         {PackedType::kQ4_0, PackedType::kQ6_K, PackedType::kQ4_K, PackedType::kQ2_K}) {
      const Tokens own = tokens_of(*set, type, x, x.size());
      EXPECT_EQ(own.values, expected.values) << set->name;
      EXPECT_EQ(own.scales, expected.scales) << set->name;
      EXPECT_EQ(own.sums, tokens_of(*kernel_sets().back(), type, x, x.size()).sums) << set->name;
    }
  }
}

}  // namespace
}  // namespace sluice::kernels
