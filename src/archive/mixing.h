// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "archive/bit_coder.h"

namespace mcompress::archive {

/// Logistic domain in 1/256, within (-8, 8): stretch(p) = ln(p / (1 - p)), squash its inverse.
/// Tables made of integers, so that every compiler decodes what another one encoded.
constexpr int kStretchLimit = 2047;

namespace detail {

/// Probability in 1/65536 of each x + 2048.
constexpr std::array<uint16_t, 4096> make_squash() {
  std::array<uint16_t, 4096> table{};
  constexpr uint64_t kOne = uint64_t{1} << 32;
  constexpr uint64_t kStep = 4278222805;  // 2^32 * exp(-1 / 256)
  uint64_t power = kOne;                  // 2^32 * exp(-x / 256)
  for (size_t x = 0; x <= kStretchLimit; ++x) {
    const uint64_t p = (uint64_t{1} << 48) / (kOne + power);
    table[2048 + x] = static_cast<uint16_t>(p < kMostProbability ? p : kMostProbability);
    table[2048 - x] = static_cast<uint16_t>(65536 - table[2048 + x]);
    power = power * kStep >> 32;
  }
  table[0] = table[1];
  return table;
}
inline constexpr std::array<uint16_t, 4096> kSquash = make_squash();

/// x of each probability in 1/4096.
constexpr std::array<int16_t, 4096> make_stretch() {
  std::array<int16_t, 4096> table{};
  int x = -kStretchLimit;
  for (uint32_t p = 0; p < table.size(); ++p) {
    while (x < kStretchLimit && kSquash[static_cast<size_t>(x + 2048)] < p * 16 + 8) ++x;
    table[p] = static_cast<int16_t>(x);
  }
  return table;
}
inline constexpr std::array<int16_t, 4096> kStretch = make_stretch();

/// 65536 / (n + 1.5): how far the n-th observation moves a probability.
constexpr std::array<uint16_t, 1024> make_reciprocals() {
  std::array<uint16_t, 1024> table{};
  for (uint32_t n = 0; n < table.size(); ++n) {
    table[n] = static_cast<uint16_t>(131072 / (2 * n + 3));
  }
  return table;
}
inline constexpr std::array<uint16_t, 1024> kReciprocals = make_reciprocals();

}  // namespace detail

inline uint32_t squash(int x) {
  return detail::kSquash[static_cast<size_t>(std::clamp(x, -kStretchLimit, kStretchLimit) + 2048)];
}

/// What has been seen in one context: a probability in 22 bits and a count in 10, which sets how
/// fast it still moves.
class Counter {
 public:
  /// In 1/65536, not bounded.
  uint32_t probability() const { return state_ >> 16; }
  int stretched() const { return detail::kStretch[state_ >> 20]; }
  /// `limit` (below 1024): observations after which old ones fade.
  void update(uint32_t bit, uint32_t limit) {
    const uint32_t count = state_ & 1023;
    const auto p = static_cast<int64_t>(state_ >> 10);
    const int64_t target = bit != 0 ? (1 << 22) - 1 : 0;
    const int64_t moved = p + (((target - p) * detail::kReciprocals[count]) >> 16);
    state_ = (static_cast<uint32_t>(moved) << 10) | (count < limit ? count + 1 : count);
  }

 private:
  uint32_t state_ = uint32_t{1} << 31;
};

/// Weighs the opinions of `kInputs` contexts in the logistic domain and learns the weights by
/// gradient descent on coding cost, one set of weights for each situation.
template <int kInputs>
class Mixer {
 public:
  explicit Mixer(size_t sets) : weights_(sets) {
    for (auto& set : weights_) set.fill(65536 / kInputs);
  }

  void set_input(int i, int stretched) { inputs_[static_cast<size_t>(i)] = stretched; }

  uint32_t mix(size_t set) {
    chosen_ = &weights_[set];
    int64_t sum = 0;
    for (size_t i = 0; i < kInputs; ++i) sum += int64_t{(*chosen_)[i]} * inputs_[i];
    probability_ = squash(static_cast<int>(std::clamp<int64_t>(sum >> 16, -2047, 2047)));
    return std::clamp(probability_, kLeastProbability, kMostProbability);
  }

  void update(uint32_t bit) {
    // Large steps find the weights, small ones keep them.
    const int shift = updates_ < 1000 ? 14 : updates_ < 30000 ? 15 : 16;
    ++updates_;
    const int error = static_cast<int>(bit << 16) - static_cast<int>(probability_);
    for (size_t i = 0; i < kInputs; ++i) {
      const int64_t step = (int64_t{inputs_[i]} * error + (1 << (shift - 1))) >> shift;
      (*chosen_)[i] = static_cast<int32_t>(
          std::clamp<int64_t>((*chosen_)[i] + step, -kWeightLimit, kWeightLimit));
    }
  }

 private:
  static constexpr int64_t kWeightLimit = int64_t{16} << 16;
  std::vector<std::array<int32_t, kInputs>> weights_;
  std::array<int32_t, kInputs> inputs_{};
  std::array<int32_t, kInputs>* chosen_ = nullptr;
  uint32_t probability_ = 32768;
  uint64_t updates_ = 0;
};

}  // namespace mcompress::archive
