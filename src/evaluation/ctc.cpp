// SPDX-License-Identifier: Apache-2.0
#include "evaluation/ctc.h"

#include <algorithm>
#include <numeric>

namespace mcompress::evaluation {

std::vector<int32_t> decode_ctc(std::span<const int32_t> best) {
  constexpr int32_t kBlank = 0;
  std::vector<int32_t> sequence;
  for (size_t i = 0; i < best.size(); ++i) {
    const bool repeated = i > 0 && best[i] == best[i - 1];
    if (!repeated && best[i] != kBlank) sequence.push_back(best[i]);
  }
  return sequence;
}

size_t edit_distance(std::span<const int32_t> a, std::span<const int32_t> b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i + 1;
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({row[j + 1] + 1, row[j] + 1, replaced});
    }
  }
  return row.back();
}

}  // namespace mcompress::evaluation
