// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace mcompress::evaluation {

/// Best path of connectionist temporal classification: repeats merged, then class 0 (blank)
/// dropped.
std::vector<int32_t> decode_ctc(std::span<const int32_t> best);

/// Levenshtein distance.
size_t edit_distance(std::span<const int32_t> a, std::span<const int32_t> b);

}  // namespace mcompress::evaluation
