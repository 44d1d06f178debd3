// The functions behind the table of format.h, each as described there. Only for this folder and its tests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "worker/kernels/formats/blocks.h"

namespace sluice::kernels {

void quantize_q4_0(const float* from, std::size_t values, const float* importance, std::byte* to);
void quantize_q4_1(const float* from, std::size_t values, const float* importance, std::byte* to);
void quantize_q5_0(const float* from, std::size_t values, const float* importance, std::byte* to);
void quantize_q5_1(const float* from, std::size_t values, const float* importance, std::byte* to);
void quantize_q2_k(const float* from, std::size_t values, const float* importance, std::byte* to);
void quantize_q3_k(const float* from, std::size_t values, const float* importance, std::byte* to);
void quantize_q4_k(const float* from, std::size_t values, const float* importance, std::byte* to);
void quantize_q5_k(const float* from, std::size_t values, const float* importance, std::byte* to);
void quantize_q6_k(const float* from, std::size_t values, const float* importance, std::byte* to);

void dequantize_q4_0(const std::byte* from, std::size_t values, float* to);
void dequantize_q4_1(const std::byte* from, std::size_t values, float* to);
void dequantize_q5_0(const std::byte* from, std::size_t values, float* to);
void dequantize_q5_1(const std::byte* from, std::size_t values, float* to);
void dequantize_q2_k(const std::byte* from, std::size_t values, float* to);
void dequantize_q3_k(const std::byte* from, std::size_t values, float* to);
void dequantize_q4_k(const std::byte* from, std::size_t values, float* to);
void dequantize_q5_k(const std::byte* from, std::size_t values, float* to);
void dequantize_q6_k(const std::byte* from, std::size_t values, float* to);

// Block number `index` of a row; files promise no alignment beyond the block's own, so it is copied.
template <class Block>
Block block_at(const std::byte* from, std::size_t index) {
  Block block;
  std::memcpy(&block, from + index * sizeof(Block), sizeof(Block));
  return block;
}

template <class Block>
void put_block(const Block& block, std::byte* to, std::size_t index) {
  std::memcpy(to + index * sizeof(Block), &block, sizeof(Block));
}

}  // namespace sluice::kernels
