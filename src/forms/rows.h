// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string_view>

#include "forms/quantized_weight.h"

namespace mcompress::forms {

/// A table of which single rows are read (an embedding), in 2, 4 or 8 bits with a scale for each row. The codes
/// are gathered first and only what was gathered becomes float, so that the table stays small in memory, too:
///   8 bits   Mul(Cast(Gather(codes, i)), Gather(scales, i))
///   4 bits   x = Cast(Gather(codes, i)), Mul(Sub(Concat(Mod(x, 16), Div(x, 16)), 8), Gather(scales, i))
/// A byte of 4-bit codes holds columns j and j + width / 2, so that nothing needs the rank of i; 2 bits alike, in
/// quarters. Opset 10 (Mod) below 8 bits, else 7.
struct RowTable {
  ValueRef codes;   ///< int8 [rows, width], or uint8 [rows, width * bits / 8]
  ValueRef scales;  ///< float [rows, 1]
  int bits = 8;
  int64_t width = 0;
};

/// True where so many columns can be packed.
bool fits_row_table(int64_t width, int bits);
/// `weight`: int8 codes [rows, width] of `bits` bits, scales per row (axis 0), no zero points.
RowTable add_row_table(Graph& graph, std::string_view hint, const QuantizedWeight& weight, int bits);
/// Reads rows of it in the graph of `gather`, with the indices that `gather` has now. Returns the float rows.
ValueRef emit_rows(const RowTable& table, const NodeRef& gather);

/// From the Gather that reads the codes; empty when what follows is not exactly the above.
std::optional<RowTable> match_rows(const NodeRef& gather);
/// The float table.
Tensor dequantized(const RowTable& table);

}  // namespace mcompress::forms
