// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>

#include "mcompress/model.h"
#include "mcompress/tensor.h"
#include "support/hash.h"

namespace mcompress::analysis {

/// What the report tells of one weight.
struct WeightFigures {
  uint64_t count = 0;
  uint64_t nonzeros = 0;
  uint64_t distinct = 0;   ///< different values, -0 and 0 alike, all NaNs alike; 0 when over 65,536
  double entropy_bits = 0; ///< per weight, of its values (numerics/entropy.h); 0 without `distinct`
  float min = 0, max = 0;  ///< of the values that are not NaN
  uint64_t nans = 0;

  double sparsity() const {
    return count == 0 ? 0.0 : 1.0 - static_cast<double>(nonzeros) / static_cast<double>(count);
  }
};

/// Any numeric type.
WeightFigures weight_figures(const Tensor& weight);
uint64_t count_nonzeros(const Tensor& weight);
/// Of a constant; large ones are not read into memory.
uint64_t count_nonzeros(const ValueRef& constant);
/// Hash of the file that the model was loaded from; what count_nonzeros would read of it is counted
/// in the same reading, and known afterwards to all clones of the model.
support::Hash128 hash_and_count(const Model& model, const std::filesystem::path& path);

}  // namespace mcompress::analysis
