// From the file's blocks to the layout that the kernels read (packed_layout.h), and back.
//
// Pure functions over memory that the caller owns: safe for concurrent use.
#pragma once

#include <cstddef>

#include "worker/kernels/packed_layout.h"

namespace sluice::kernels {

// Bytes of a panel of rows of `cols` numbers, which are whole blocks.
std::size_t panel_bytes(PackedType type, std::size_t cols);

// Packs `rows` (at most 16) rows of `cols` numbers that lie without gaps, into one panel. False: a scale is
// not finite; the panel is unusable then.
bool pack_panel(PackedType type, const std::byte* from, std::size_t rows, std::size_t cols, std::byte* panel);

// Row `row` of a panel as floats: the numbers that the file's block stand for.
void unpack_row(PackedType type, const std::byte* panel, std::size_t row, std::size_t cols, float* to);

}  // namespace sluice::kernels
