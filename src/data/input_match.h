// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "data/stored_array.h"
#include "data/transform.h"
#include "mcompress/model.h"

namespace mcompress::data {

/// How an array feeds an input of rank r (the rule of product.md section 2): rank 0 is a constant,
/// rank r holds a sample per row, rank r + 1 holds a whole input per row.
enum class Feeding { kConstant, kBatch, kRows };

/// Rank and dimensions compared with the input's; throws kData naming input and file.
Feeding match_input(const ValueInfo& input, const StoredArray& array);

/// For files that do not know the model's axes (IDX, CSV): the array under a shape that matches, by
/// flattening samples, or by adding or leaving out axes of length 1; unchanged where none does.
StoredArray fit_input(const ValueInfo& input, const StoredArray& array, Layout layout);

/// Fixed batch dimension of an input; 0 where it is free.
int64_t fixed_batch(const ValueInfo& input);

/// True for types that can be fed.
bool is_feedable(DataType type);

}  // namespace mcompress::data
