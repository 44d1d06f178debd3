// Which tensor of a model gets which format when the model is quantised. Pure functions.
//
// Vectors (norms, biases) and matrices whose rows fit no block stay as they are. Rows that are whole blocks
// of 32 but not of 256 get a format of 32 with at least as many bits: Q4_0 for Q2_K and Q3_K, Q5_0 for Q4_K,
// Q5_1 for Q5_K, Q8_0 for Q6_K.
//
// Unless the plan is pure, more bits are spent where errors cost most: the output matrix (or the embedding
// that serves as one) is Q6_K in every file of fewer bits, and in files of Q2_K to Q5_K values' projections
// and the down projections of the first and last eighth of the layers and every third between are one or two
// formats wider.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/text/gguf.h"

namespace sluice::engine_cli {

struct PlanOptions {
  GgmlType type = GgmlType::kQ8_0;
  bool pure = false;
  bool requantize = false;  // Take matrices that are quantised already, too.
};

struct Plan {
  std::vector<GgmlType> types;  // Of each tensor, in the order of the file.
  std::uint32_t file_type = 0;  // general.file_type
};

// The format that a matrix gets whose rows have `cols` numbers: the one wanted, or its neighbour of blocks of
// 32. Empty: neither fits.
std::optional<GgmlType> type_for_rows(GgmlType wanted, std::uint64_t cols);
// The format that this tensor of a model of `layers` layers gets in the mix that `type` stands for; `type`
// itself where there is no such mix. `tied`: the embedding serves as the output matrix.
GgmlType type_in_mix(GgmlType type, std::string_view tensor, std::uint32_t layers, bool tied);

// kInvalid: a matrix is quantised already, and that isn't allowed; the message names it.
Result<Plan> plan_types(const GgufFile& file, const PlanOptions& options);

}  // namespace sluice::engine_cli
