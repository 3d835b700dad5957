// SPDX-License-Identifier: Apache-2.0
#include "forms/nbits.h"

#include <fmt/format.h>

#include <utility>

#include "forms/digits.h"

namespace mcompress::forms {
namespace {

constexpr const char* kDomain = "com.microsoft";

/// Codes of `bits` bits, low bits first.
uint32_t code_at(std::span<const uint8_t> row, int64_t index, int bits) {
  const int64_t bit = index * bits;
  const uint32_t byte = row[static_cast<size_t>(bit / 8)];
  return (byte >> (bit % 8)) & ((1U << bits) - 1U);
}

void set_code(std::span<uint8_t> row, int64_t index, int bits, uint32_t code) {
  const int64_t bit = index * bits;
  uint8_t& byte = row[static_cast<size_t>(bit / 8)];
  byte = static_cast<uint8_t>(byte | (code << (bit % 8)));
}

size_t scale_index(const QuantizedWeight& weight, int64_t input, int64_t output) {
  if (weight.scales.count() == 1) return 0;
  const int64_t outputs = weight.codes.shape()[1];
  return static_cast<size_t>(weight.block > 0 ? input / weight.block * outputs + output : output);
}

bool is_power_of_two(int64_t value) { return value > 0 && (value & (value - 1)) == 0; }

void check_packable(const QuantizedWeight& weight, int bits, int64_t block) {
  if (weight.codes.shape().size() != 2) throw Unsupported("weight is not a matrix");
  if (bits != 2 && bits != 4 && bits != 8) throw Unsupported(fmt::format("no kernel for {} bits", bits));
  if (!is_power_of_two(block) || block < 16 || block > 256) {
    throw Unsupported(fmt::format("blocks of {} are not a power of two in 16..256", block));
  }
  if (weight.block > 0 && (weight.axis != 0 || weight.block % block != 0)) {
    throw Unsupported(fmt::format("blocks of {} along axis {} do not divide into {}", weight.block,
                                  weight.axis, block));
  }
  if (weight.block == 0 && weight.scales.count() > 1 && weight.axis != 1) {
    throw Unsupported("scales are not per output");
  }
}

/// What makes an unsigned code of one of QuantizedWeight: with zero points, codes of less than 8 bits
/// start at 0 already.
int64_t code_offset(const QuantizedWeight& weight, int bits) {
  return weight.zero_points && bits < 8 ? 0 : int64_t{1} << (bits - 1);
}

/// [outputs, bytes], the blocks of one output side by side.
Tensor pack_zero_points(const QuantizedWeight& weight, const NBitsWeight& packed) {
  const int64_t row_bytes = (packed.blocks() * packed.bits + 7) / 8;
  Tensor result(DataType::kUint8, {packed.outputs, row_bytes});
  const std::span<uint8_t> bytes = result.mutate_as<uint8_t>();
  const std::vector<int64_t> zeros = weight.zero_points->to_int64();
  const int64_t offset = code_offset(weight, packed.bits);
  for (int64_t n = 0; n < packed.outputs; ++n) {
    for (int64_t b = 0; b < packed.blocks(); ++b) {
      const int64_t zero = zeros[scale_index(weight, b * packed.block, n)] + offset;
      set_code(bytes.subspan(static_cast<size_t>(n * row_bytes)), b, packed.bits,
               static_cast<uint32_t>(zero));
    }
  }
  return result;
}

}  // namespace

Tensor NBitsWeight::dequantized() const {
  Tensor result(DataType::kFloat, {inputs, outputs});
  const std::span<float> out = result.mutate_as<float>();
  const std::span<const uint8_t> bytes = packed.as<uint8_t>();
  const std::span<const float> scale = scales.as<float>();
  const auto block_bytes = static_cast<size_t>(block * bits / 8);
  const int64_t zero_row = (blocks() * bits + 7) / 8;
  for (int64_t n = 0; n < outputs; ++n) {
    for (int64_t k = 0; k < inputs; ++k) {
      const int64_t b = k / block;
      const auto at = static_cast<size_t>(n * blocks() + b);
      uint32_t zero = 1U << (bits - 1);
      if (zero_points) {
        zero = code_at(zero_points->as<uint8_t>().subspan(static_cast<size_t>(n * zero_row)), b, bits);
      }
      const uint32_t code = code_at(bytes.subspan(at * block_bytes), k % block, bits);
      out[static_cast<size_t>(k * outputs + n)] =
          (static_cast<float>(code) - static_cast<float>(zero)) * scale[at];
    }
  }
  return result;
}

NBitsWeight pack_nbits(const QuantizedWeight& weight, int bits, int64_t block) {
  check_packable(weight, bits, block);
  NBitsWeight result;
  result.inputs = weight.codes.shape()[0];
  result.outputs = weight.codes.shape()[1];
  result.bits = bits;
  result.block = block;
  result.packed = Tensor(DataType::kUint8, {result.outputs, result.blocks(), block * bits / 8});
  result.scales = Tensor(DataType::kFloat, {result.outputs * result.blocks()});
  const std::vector<int64_t> codes = weight.codes.to_int64();
  const std::span<uint8_t> bytes = result.packed.mutate_as<uint8_t>();
  const std::span<float> scales = result.scales.mutate_as<float>();
  const auto block_bytes = static_cast<size_t>(block * bits / 8);
  const int64_t offset = code_offset(weight, bits);
  const std::span<const float> given = weight.scales.as<float>();
  for (int64_t n = 0; n < result.outputs; ++n) {
    for (int64_t k = 0; k < result.blocks() * block; ++k) {
      const auto at = static_cast<size_t>(n * result.blocks() + k / block);
      if (k % block == 0) scales[at] = given[scale_index(weight, k, n)];
      // Beyond the last input the kernel reads the filling against zeros: any code will do.
      const int64_t code =
          k < result.inputs ? codes[static_cast<size_t>(k * result.outputs + n)] : 0;
      if (code < -offset || code >= (int64_t{1} << bits) - offset) {
        throw Unsupported(fmt::format("code {} does not fit {} bits", code, bits));
      }
      set_code(bytes.subspan(at * block_bytes), k % block, bits, static_cast<uint32_t>(code + offset));
    }
  }
  if (weight.zero_points) result.zero_points = pack_zero_points(weight, result);
  return result;
}

ValueRef emit_nbits(Graph& graph, std::string_view hint, const ValueRef& a,
                    const NBitsWeight& weight, const ValueRef& bias, NodeRef before) {
  graph.model().import_domain(kDomain, 1);
  const std::string name(hint);
  NodeSpec spec;
  spec.op = "MatMulNBits";
  spec.domain = kDomain;
  spec.inputs = {a, graph.add_constant(name + "_q", weight.packed),
                 graph.add_constant(name + "_s", weight.scales)};
  if (weight.zero_points || bias) {
    spec.inputs.push_back(weight.zero_points ? graph.add_constant(name + "_z", *weight.zero_points)
                                             : ValueRef());
  }
  if (bias) {
    spec.inputs.emplace_back();
    spec.inputs.push_back(bias);
  }
  spec.attributes = {{"K", weight.inputs},
                     {"N", weight.outputs},
                     {"bits", int64_t{weight.bits}},
                     {"block_size", weight.block},
                     {"accuracy_level", int64_t{4}}};
  return graph.insert(std::move(spec), before).output();
}

std::optional<NBitsWeight> match_nbits(const NodeRef& node) {
  if (!node || !node.is("MatMulNBits", kDomain) || node.input(4)) return std::nullopt;
  NBitsWeight weight;
  weight.inputs = node.attribute("K", int64_t{0});
  weight.outputs = node.attribute("N", int64_t{0});
  weight.bits = static_cast<int>(node.attribute("bits", int64_t{4}));
  weight.block = node.attribute("block_size", int64_t{0});
  if (weight.inputs < 1 || weight.outputs < 1 || weight.block < 1) return std::nullopt;
  if (weight.bits != 2 && weight.bits != 4 && weight.bits != 8) return std::nullopt;
  const auto packed = constant_or_form(node.input(1));
  const auto scales = constant_or_form(node.input(2));
  if (!packed || !scales || packed->type() != DataType::kUint8) return std::nullopt;
  if (scales->type() != DataType::kFloat) return std::nullopt;
  const int64_t rows = weight.outputs * weight.blocks();
  if (packed->count() != rows * weight.block * weight.bits / 8) return std::nullopt;
  if (scales->count() != rows) return std::nullopt;
  weight.packed = *packed;
  weight.scales = *scales;
  if (const ValueRef zero = node.input(3)) {
    weight.zero_points = constant_or_form(zero);
    const int64_t bytes = weight.outputs * ((weight.blocks() * weight.bits + 7) / 8);
    if (!weight.zero_points || weight.zero_points->type() != DataType::kUint8) return std::nullopt;
    if (weight.zero_points->count() != bytes) return std::nullopt;
  }
  return weight;
}

}  // namespace mcompress::forms
