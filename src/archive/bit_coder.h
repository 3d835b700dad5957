// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "archive/damage.h"

namespace mcompress::archive {

/// Probabilities are of a 1, in 1/65536, and stay within these bounds: a coded bit costs at least
/// 0.0004 bits, so that a short stream cannot stand for endless data.
constexpr uint32_t kLeastProbability = 16;
constexpr uint32_t kMostProbability = 65536 - 16;
/// Symbols that a stream of `bytes` can hold at most, whoever wrote it.
constexpr uint64_t symbols_within(uint64_t bytes) { return (bytes + 8) * 32768; }

/// Binary range coder: [low, high] is narrowed in proportion to the probability of each bit, and
/// leading bytes on which both ends agree are put out. Integers only: the same bytes everywhere.
class BitEncoder {
 public:
  /// Returns `bit`, as the decoder does: one model drives both.
  uint32_t code(uint32_t bit, uint32_t probability) {
    const uint32_t middle =
        low_ + static_cast<uint32_t>((static_cast<uint64_t>(high_ - low_) * probability) >> 16);
    if (bit != 0) {
      high_ = middle;
    } else {
      low_ = middle + 1;
    }
    while (((low_ ^ high_) >> 24) == 0) {
      bytes_.push_back(static_cast<std::byte>(high_ >> 24));
      low_ <<= 8;
      high_ = (high_ << 8) | 0xff;
    }
    return bit;
  }

  /// Ends the stream. Zeros are implied behind it, so the first byte above `low_` is enough.
  std::vector<std::byte> finish() {
    bytes_.push_back(static_cast<std::byte>((low_ >> 24) + ((low_ << 8) != 0 ? 1 : 0)));
    return std::move(bytes_);
  }

 private:
  uint32_t low_ = 0, high_ = 0xffffffff;
  std::vector<std::byte> bytes_;
};

class BitDecoder {
 public:
  explicit BitDecoder(std::span<const std::byte> bytes) : bytes_(bytes) {
    for (int i = 0; i < 4; ++i) value_ = (value_ << 8) | next();
  }

  uint32_t code(uint32_t /*bit*/, uint32_t probability) {
    const uint32_t middle =
        low_ + static_cast<uint32_t>((static_cast<uint64_t>(high_ - low_) * probability) >> 16);
    const uint32_t bit = value_ <= middle ? 1 : 0;
    if (bit != 0) {
      high_ = middle;
    } else {
      low_ = middle + 1;
    }
    while (((low_ ^ high_) >> 24) == 0) {
      low_ <<= 8;
      high_ = (high_ << 8) | 0xff;
      value_ = (value_ << 8) | next();
    }
    return bit;
  }

 private:
  uint32_t next() {
    if (at_ < bytes_.size()) return static_cast<uint32_t>(bytes_[at_++]);
    // A whole stream is read at most 4 bytes beyond its end.
    if (++beyond_ > 4) throw damaged("a stream ends before its data");
    return 0;
  }

  std::span<const std::byte> bytes_;
  size_t at_ = 0;
  int beyond_ = 0;
  uint32_t low_ = 0, high_ = 0xffffffff, value_ = 0;
};

}  // namespace mcompress::archive
