// SPDX-License-Identifier: Apache-2.0
#include "numerics/sparsity.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "mcompress/error.h"
#include "numerics/float_sort.h"

namespace mcompress::numerics {
namespace {

constexpr uint8_t kKeep = 1;
constexpr uint8_t kPrune = 0;
constexpr uint8_t kEligible = 2;

size_t to_size(int64_t value) { return static_cast<size_t>(value); }

void require_numbers(std::span<const float> scores) {
  const auto is_nan = [](float score) { return std::isnan(score); };
  const auto count = std::count_if(scores.begin(), scores.end(), is_nan);
  if (count == 0) return;
  throw Error(ErrorCode::kModel, "pruning scores hold " + std::to_string(count) + " NaN values");
}

// Moves the `count` lowest of the eligible weights of all masks to `state`.
void move_lowest(std::span<const ScoredLayer> layers, std::vector<Mask>& masks, int64_t count,
                 uint8_t state) {
  std::vector<float> scores;
  for (size_t layer = 0; layer < layers.size(); ++layer) {
    for (size_t i = 0; i < masks[layer].size(); ++i) {
      if (masks[layer][i] == kEligible) scores.push_back(layers[layer].scores[i]);
    }
  }
  count = std::min(count, static_cast<int64_t>(scores.size()));
  if (count <= 0) return;
  const auto nth = scores.begin() + static_cast<ptrdiff_t>(count - 1);
  std::nth_element(scores.begin(), nth, scores.end());
  const float threshold = *nth;
  int64_t ties = count - std::count_if(scores.begin(), nth,
                                       [threshold](float score) { return score < threshold; });
  for (size_t layer = 0; layer < layers.size(); ++layer) {
    for (size_t i = 0; i < masks[layer].size(); ++i) {
      if (masks[layer][i] != kEligible) continue;
      const float score = layers[layer].scores[i];
      if (score < threshold || (score == threshold && ties-- > 0)) masks[layer][i] = state;
    }
  }
}

void replace_state(Mask& mask, uint8_t from, uint8_t to) {
  std::replace(mask.begin(), mask.end(), from, to);
}

void protect_outputs(const ScoredLayer& layer, Mask& mask) {
  const ReductionLayout& layout = *layer.keep_outputs;
  for (int64_t output = 0; output < layout.outputs; ++output) {
    size_t best = to_size(layout.offset(output, 0, 0));
    for (int64_t channel = 0; channel < layout.channels; ++channel) {
      for (int64_t tap = 0; tap < layout.taps; ++tap) {
        const size_t at = to_size(layout.offset(output, channel, tap));
        if (layer.scores[at] > layer.scores[best]) best = at;
      }
    }
    if (layer.scores[best] > 0) mask[best] = kKeep;
  }
}

// Marks what may be pruned at all: not the best of an output, not more than the cap.
Mask eligible_mask(const ScoredLayer& layer) {
  std::vector<Mask> mask(1, Mask(layer.scores.size(), kEligible));
  if (layer.keep_outputs != nullptr) protect_outputs(layer, mask[0]);
  const double limit = std::clamp(layer.max_sparsity, 0.0, 1.0);
  const auto cap = static_cast<int64_t>(limit * static_cast<double>(layer.scores.size()) + 1e-9);
  if (cap < static_cast<int64_t>(layer.scores.size())) {
    move_lowest({&layer, 1}, mask, cap, kPrune);
    replace_state(mask[0], kEligible, kKeep);
    replace_state(mask[0], kPrune, kEligible);
  }
  return std::move(mask[0]);
}

}  // namespace

std::vector<float> magnitude_scores(std::span<const float> weights) {
  std::vector<float> scores(weights.size());
  for (size_t i = 0; i < weights.size(); ++i) scores[i] = std::abs(weights[i]);
  return scores;
}

std::vector<float> lamp_scores(std::span<const float> weights) {
  std::vector<IndexedValue> items(weights.size());
  for (size_t i = 0; i < weights.size(); ++i) {
    items[i] = {std::abs(weights[i]), static_cast<uint32_t>(i)};
  }
  sort_by_value(items);
  std::vector<float> scores(weights.size(), 0.0F);
  double sum = 0;
  for (size_t end = items.size(); end > 0;) {
    size_t begin = end;
    const double square = static_cast<double>(items[end - 1].value) * items[end - 1].value;
    for (; begin > 0 && items[begin - 1].value == items[end - 1].value; --begin) sum += square;
    const float score = sum > 0 ? static_cast<float>(square / sum) : 0.0F;
    for (size_t i = begin; i < end; ++i) scores[items[i].index] = score;
    if (begin == end) break;  // NaN: refused where the scores are used
    end = begin;
  }
  return scores;
}

int64_t prune_count(int64_t count, double sparsity) {
  return std::clamp<int64_t>(std::llround(static_cast<double>(count) * sparsity), 0, count);
}

std::vector<Mask> prune_lowest(std::span<const ScoredLayer> layers, int64_t prune) {
  std::vector<Mask> masks;
  for (const ScoredLayer& layer : layers) {
    require_numbers(layer.scores);
    masks.push_back(eligible_mask(layer));
  }
  move_lowest(layers, masks, prune, kPrune);
  for (Mask& mask : masks) replace_state(mask, kEligible, kKeep);
  return masks;
}

Mask n_of_m_mask(std::span<const float> scores, const ReductionLayout& layout, int n, int m) {
  require_numbers(scores);
  Mask mask(scores.size(), kKeep);
  std::vector<std::pair<float, int>> group(static_cast<size_t>(m));
  for (int64_t output = 0; output < layout.outputs; ++output) {
    for (int64_t tap = 0; tap < layout.taps; ++tap) {
      for (int64_t first = 0; first + m <= layout.channels; first += m) {
        const auto at = [&](int i) { return to_size(layout.offset(output, first + i, tap)); };
        for (int i = 0; i < m; ++i) group[static_cast<size_t>(i)] = {-scores[at(i)], i};
        std::sort(group.begin(), group.end());
        for (int i = n; i < m; ++i) mask[at(group[static_cast<size_t>(i)].second)] = kPrune;
      }
    }
  }
  return mask;
}

int64_t block_count(int64_t rows, int64_t columns, int64_t block_rows, int64_t block_columns) {
  return ((rows + block_rows - 1) / block_rows) * ((columns + block_columns - 1) / block_columns);
}

Mask block_mask(std::span<const float> scores, int64_t rows, int64_t columns, int64_t block_rows,
                int64_t block_columns, int64_t prune) {
  const int64_t blocks_across = (columns + block_columns - 1) / block_columns;
  const size_t blocks = to_size(block_count(rows, columns, block_rows, block_columns));
  const auto block_of = [&](int64_t row, int64_t column) {
    return to_size(row / block_rows * blocks_across + column / block_columns);
  };
  std::vector<double> squares(blocks, 0.0);
  std::vector<double> sizes(blocks, 0.0);
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t column = 0; column < columns; ++column) {
      const double score = scores[to_size(row * columns + column)];
      squares[block_of(row, column)] += score * score;
      sizes[block_of(row, column)] += 1;
    }
  }
  std::vector<float> block_scores(blocks);
  for (size_t i = 0; i < blocks; ++i) block_scores[i] = static_cast<float>(squares[i] / sizes[i]);

  const ScoredLayer layer{block_scores};
  const Mask kept = prune_lowest({&layer, 1}, prune)[0];
  Mask mask(scores.size());
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t column = 0; column < columns; ++column) {
      mask[to_size(row * columns + column)] = kept[block_of(row, column)];
    }
  }
  return mask;
}

int64_t apply_mask(std::span<const uint8_t> mask, std::span<float> weights) {
  for (size_t i = 0; i < weights.size(); ++i) {
    if (mask[i] == kPrune) weights[i] = 0.0F;
  }
  return count_zeros(weights);
}

int64_t count_zeros(std::span<const float> weights) {
  return std::count(weights.begin(), weights.end(), 0.0F);
}

}  // namespace mcompress::numerics
