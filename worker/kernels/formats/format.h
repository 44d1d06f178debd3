// What the engine can do with each format that it knows: turn floats into blocks, blocks into floats, and
// find numbers that aren't finite. The table behind every place that treats formats alike.
//
// Immutable and made of pure functions: safe for concurrent use.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "common/text/ggml_type.h"

namespace sluice::kernels {

struct Format {
  GgmlType type;

  // `values` numbers, all finite, a whole number of blocks. `importance` weighs the squared error of each of
  // them (at least 0), or is null: all alike. Scales beyond what a half can hold are cut to it, so quantised
  // blocks are always finite; F16 and BF16 can come out infinite. The same input gives the same bytes on
  // every machine.
  void (*quantize)(const float* from, std::size_t values, const float* importance, std::byte* to);
  void (*dequantize)(const std::byte* from, std::size_t values, float* to);
  // Whether every number is finite; for formats of blocks: every half-precision scale and minimum.
  bool (*finite)(const std::byte* from, std::size_t values);
};

// In the order of the bits they take, the widest first.
std::span<const Format> formats();
// nullptr: the engine doesn't know this one.
const Format* find_format(GgmlType type);
// "F32, F16, …", for messages.
std::string format_names();

}  // namespace sluice::kernels
