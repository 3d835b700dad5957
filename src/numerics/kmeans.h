// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace mcompress::numerics {

enum class KMeansMethod {
  kAuto,       ///< exact up to a few hundred thousand values, else histogram
  kExact,      ///< global optimum; about 0.15 us and 60 bytes a value
  kHistogram,  ///< optimum over 65536 bins with exact moments, then cuts refined to 1/64 bin
};

struct KMeansOptions {
  int codes = 16;          ///< size of the codebook, 1..256, the zero code included
  bool keep_zeros = true;  ///< zeros are left out of the clustering and get code 0 to themselves
  KMeansMethod method = KMeansMethod::kAuto;
};

struct Codebook {
  /// Ascending, but for a 0 in front when has_zero_code; at most KMeansOptions::codes entries.
  std::vector<float> values;
  bool has_zero_code = false;
  /// Sum of importance * (value - codebook value)^2.
  double squared_error = 0;
};

/// Optimal 1-D k-means codebook of all `parts` together: the partition of least squared error, not
/// a local one. With at most `codes` distinct values the codebook is those values, exactly.
/// `importance` is empty or holds one weight >= 0 per value (part by part). Deterministic.
/// Throws Error(kModel) on NaN or infinite values. (algorithms.md section 1)
Codebook cluster_values(std::span<const std::span<const float>> parts, const KMeansOptions& options,
                        std::span<const std::span<const float>> importance = {});
Codebook cluster_values(std::span<const float> values, const KMeansOptions& options,
                        std::span<const float> importance = {});

/// Finds the code of the nearest codebook value (the lower one on a tie) in O(1) by a table. With a
/// zero code, zeros get it and nothing else does.
class CodeAssigner {
 public:
  explicit CodeAssigner(const Codebook& codebook);

  uint8_t code(float value) const;
  /// `codes` has the size of `values`.
  void assign(std::span<const float> values, std::span<uint8_t> codes) const;

 private:
  bool has_zero_code_;
  uint8_t first_code_;
  std::vector<float> thresholds_;  // a value above thresholds_[i] has a code above first_code_ + i
  std::vector<uint8_t> below_;     // thresholds that lie in cells before this one
  double origin_ = 0;
  double cells_per_unit_ = 1;
};

/// values[i] = codebook[codes[i]].
void decode_codes(std::span<const uint8_t> codes, std::span<const float> codebook,
                  std::span<float> values);

}  // namespace mcompress::numerics
