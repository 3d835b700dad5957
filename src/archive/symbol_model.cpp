// SPDX-License-Identifier: Apache-2.0
#include "archive/symbol_model.h"

#include <algorithm>
#include <array>
#include <bit>
#include <utility>

#include "archive/mixing.h"

namespace mcompress::archive {
namespace {

/// Observations after which a context forgets: as late as it can, weights do not drift.
constexpr uint32_t kLimit = 1020;

/// Counters of contexts that are too many to have one each.
class HashedCounters {
 public:
  explicit HashedCounters(int bits) : shift_(32 - bits), counters_(size_t{1} << bits) {}
  Counter& at(uint32_t context, uint32_t node) {
    const uint32_t hash = (context * 0x9E3779B1u + node) * 0x85EBCA6Bu;
    return counters_[(hash ^ hash >> 15) * 0xC2B2AE35u >> shift_];
  }

 private:
  int shift_;
  std::vector<Counter> counters_;
};

int table_bits(uint64_t count) {
  return std::clamp(static_cast<int>(std::bit_width(count)), 10, 18);
}

/// Rough logarithm, for quantizing counts.
uint32_t level_of(uint32_t value, uint32_t most) {
  const auto width = static_cast<uint32_t>(std::bit_width(value));
  const uint32_t half = width < 2 ? 0 : (value >> (width - 2)) & 1;
  return std::min(width * 2 + half, most);
}

/// What is known of the columns: who was not zero lately, and how often.
struct Columns {
  explicit Columns(uint64_t width) : recent(width), weight(width) {}
  std::vector<uint8_t> recent;   ///< bit i: the symbol i + 1 rows above is not zero
  std::vector<uint16_t> weight;  ///< fading sum of non-zeros
};

template <class Coder, class Symbol>
class SymbolModel {
 public:
  SymbolModel(Coder& coder, const SymbolShape& shape)
      : coder_(coder),
        shape_(shape),
        columns_(shape.width),
        zero_columns_(table_bits(shape.width)),
        plain_(std::min(table_bits(uint64_t{4} * shape.alphabet), 18)),
        by_left_(table_bits(shape.count)),
        by_above_(table_bits(shape.count)),
        by_column_(table_bits(shape.count)),
        by_row_(table_bits(shape.count)) {
    value_bits_ = shape.alphabet <= 2 ? 0 : std::bit_width(shape.alphabet - 2);
  }

  /// Codes symbols[begin ..], which follow those coded before.
  void run(std::span<Symbol> symbols, size_t begin) {
    for (size_t i = begin; i < symbols.size(); ++i) {
      const uint32_t above = i >= shape_.width ? symbols[i - shape_.width] : 0;
      symbols[i] = static_cast<Symbol>(symbol(symbols[i], column_, row_, above));
      if (++column_ < shape_.width) continue;
      column_ = 0;
      ++row_;
      history_ = 0;
    }
  }

 private:
  uint32_t symbol(uint32_t value, uint64_t column, uint32_t row, uint32_t above) {
    const uint32_t bit = code_zero(value != 0 ? 1 : 0, column);
    history_ = (history_ << 1) | bit;
    columns_.recent[column] = static_cast<uint8_t>((columns_.recent[column] << 1) | bit);
    uint16_t& weight = columns_.weight[column];
    weight = static_cast<uint16_t>(weight - (weight >> 5) + (bit != 0 ? 2047 : 0));
    if (bit == 0) return 0;
    if (value_bits_ == 0) return 1;
    const uint32_t coded = code_value(value - 1, static_cast<uint32_t>(column), row, above) + 1;
    left_ = coded;
    return coded;
  }

  uint32_t code_zero(uint32_t bit, uint64_t column) {
    const uint64_t width = shape_.width;
    const uint32_t here = columns_.recent[column];
    // Columns to the left have moved on to this row: its bit 1 is the row above.
    const uint32_t up_left = column > 0 ? (columns_.recent[column - 1] >> 1) & 1u : 0;
    const uint32_t up_right = column + 1 < width ? columns_.recent[column + 1] & 1u : 0;
    const uint32_t up_right2 = column + 2 < width ? columns_.recent[column + 2] & 1u : 0;
    const auto lately = static_cast<uint32_t>(std::popcount(history_ & 0xffff));
    const auto long_ago = static_cast<uint32_t>(std::popcount(history_));
    const uint32_t weight = level_of(columns_.weight[column] >> 7, 15);
    const std::array<Counter*, kZeroInputs> counters{
        &row_table_[(history_ & 7) * 17 + lately],
        &column_table_[(here & 15) * 16 + weight],
        &near_table_[(history_ & 3) | (here & 3) << 2 | up_left << 4 | up_right << 5 |
                     up_right2 << 6],
        &zero_columns_.at(static_cast<uint32_t>(column), 0),
        &both_table_[long_ago * 16 + weight],
        &all_table_[0]};
    for (int i = 0; i < kZeroInputs; ++i) {
      zero_mixer_.set_input(i, counters[static_cast<size_t>(i)]->stretched());
    }
    const size_t set = std::min<uint32_t>(level_of(lately, 7), 7) * 8 + weight / 2;
    bit = coder_.code(bit, zero_mixer_.mix(set));
    zero_mixer_.update(bit);
    for (Counter* const counter : counters) counter->update(bit, kLimit);
    return bit;
  }

  uint32_t code_value(uint32_t value, uint32_t column, uint32_t row, uint32_t above) {
    uint32_t node = 1;
    for (int b = value_bits_ - 1; b >= 0; --b) {
      const std::array<Counter*, kValueInputs> counters{
          &plain_.at(0, node), &by_left_.at(left_, node), &by_above_.at(above, node),
          &by_column_.at(column, node), &by_row_.at(row, node)};
      for (int i = 0; i < kValueInputs; ++i) {
        value_mixer_.set_input(i, counters[static_cast<size_t>(i)]->stretched());
      }
      const uint32_t bit =
          coder_.code((value >> b) & 1, value_mixer_.mix(static_cast<size_t>(value_bits_ - 1 - b)));
      value_mixer_.update(bit);
      for (Counter* const counter : counters) counter->update(bit, kLimit);
      node = (node << 1) | bit;
    }
    return node - (1u << value_bits_);
  }

  static constexpr int kZeroInputs = 6, kValueInputs = 5;

  Coder& coder_;
  const SymbolShape& shape_;
  int value_bits_ = 0;
  uint64_t column_ = 0;
  uint32_t row_ = 0;
  uint32_t history_ = 0;  ///< non-zero flags of this row, last one lowest
  uint32_t left_ = 0;     ///< last non-zero symbol
  Columns columns_;
  std::array<Counter, 8 * 17> row_table_;
  std::array<Counter, 16 * 16> column_table_;
  std::array<Counter, 128> near_table_;
  std::array<Counter, 33 * 16> both_table_;
  std::array<Counter, 1> all_table_;
  HashedCounters zero_columns_, plain_, by_left_, by_above_, by_column_, by_row_;
  Mixer<kZeroInputs> zero_mixer_{64};
  Mixer<kValueInputs> value_mixer_{16};
};

template <class Symbol>
std::vector<std::byte> encode_any(std::span<const Symbol> symbols, const SymbolShape& shape) {
  BitEncoder coder;
  SymbolModel<BitEncoder, Symbol> model(coder, shape);
  // The model writes back what it codes: to an encoder, the same symbols.
  std::vector<Symbol> copy(symbols.begin(), symbols.end());
  model.run(copy, 0);
  return coder.finish();
}

template <class Coder>
void code_order0(Coder& coder, std::span<uint8_t> bytes) {
  std::array<Counter, 256> counters;
  for (uint8_t& byte : bytes) {
    uint32_t node = 1;
    for (int b = 7; b >= 0; --b) {
      Counter& counter = counters[node];
      const uint32_t probability =
          std::clamp(counter.probability(), kLeastProbability, kMostProbability);
      const uint32_t bit = coder.code((static_cast<uint32_t>(byte) >> b) & 1, probability);
      counter.update(bit, kLimit);
      node = (node << 1) | bit;
    }
    byte = static_cast<uint8_t>(node);
  }
}

}  // namespace

std::vector<std::byte> encode_symbols(std::span<const uint16_t> symbols, const SymbolShape& shape) {
  return encode_any(symbols, shape);
}

std::vector<std::byte> encode_symbols(std::span<const uint8_t> symbols, const SymbolShape& shape) {
  return encode_any(symbols, shape);
}

std::vector<uint16_t> decode_symbols(std::span<const std::byte> stream, const SymbolShape& shape) {
  constexpr size_t kChunk = size_t{1} << 20;
  BitDecoder coder(stream);
  SymbolModel<BitDecoder, uint16_t> model(coder, shape);
  std::vector<uint16_t> symbols;
  while (symbols.size() < shape.count) {
    const size_t begin = symbols.size();
    symbols.resize(std::min<uint64_t>(shape.count, begin + kChunk));
    model.run(symbols, begin);
  }
  return symbols;
}

void decode_symbols(std::span<const std::byte> stream, const SymbolShape& shape,
                    std::span<uint8_t> out) {
  BitDecoder coder(stream);
  SymbolModel<BitDecoder, uint8_t> model(coder, shape);
  model.run(out, 0);
}

std::vector<std::byte> encode_order0(std::span<const uint8_t> bytes) {
  BitEncoder coder;
  std::vector<uint8_t> copy(bytes.begin(), bytes.end());
  code_order0(coder, copy);
  return coder.finish();
}

void decode_order0(std::span<const std::byte> stream, std::span<uint8_t> out) {
  BitDecoder coder(stream);
  code_order0(coder, out);
}

}  // namespace mcompress::archive
