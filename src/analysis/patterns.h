// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <vector>

#include "mcompress/model.h"
#include "mcompress/value_types.h"

/// Small questions that rewrites ask again and again.
namespace mcompress::analysis {

/// The node that alone reads `value`, in the value's own graph and with one input; empty otherwise,
/// also for a graph output.
NodeRef sole_consumer(const ValueRef& value);
/// True when exactly one node input, in the same graph, reads the value, and it is no graph output.
bool is_used_once(const ValueRef& value);
/// The producer of `value` when it is `op` of the default domain in the value's graph; else empty.
NodeRef producer_of(const ValueRef& value, std::string_view op);

/// Elements of a float or double constant; nullopt for anything else.
std::optional<std::vector<double>> read_floats(const ValueRef& value);
/// The one element of a float or double constant.
std::optional<double> read_scalar(const ValueRef& value);
/// Elements of a constant of an integer type.
std::optional<std::vector<int64_t>> read_integers(const ValueRef& value);
/// `values` in the floating type of `like` (float or double).
Tensor make_floats(DataType type, Shape shape, const std::vector<double>& values);
/// |a - b| small against b; for constants such as 1/6 or sqrt(2) written in single precision.
bool is_close(double a, double b);

/// A binary node with one constant operand.
struct ConstantOperand {
  ValueRef constant;
  ValueRef variable;
  int constant_input = 1;
};
/// Of Add, Mul, Sub, Div...: the constant operand and the other; nullopt unless exactly one is
/// constant.
std::optional<ConstantOperand> constant_operand(const NodeRef& node);

/// y = scale * x + shift, one entry per channel or a single one for all.
struct ChannelAffine {
  std::vector<double> scale{1.0};
  std::vector<double> shift{0.0};

  bool has_shift() const;
  bool has_scale() const;
};
/// Which axis of x holds the channels, and how many there are. Axis and rank are those of x; rank
/// -1 means that only constants of rank 0 and 1 are known not to raise it (channels are then the
/// last axis).
struct ChannelLayout {
  int rank = -1;
  int axis = -1;
  int64_t channels = 0;
};

/// Reads Add, Sub, Mul or Div with a constant as an affine map of its variable operand, provided
/// that the constant varies along the channel axis only and does not broadcast x to a larger shape.
std::optional<ChannelAffine> as_affine(const NodeRef& node, const ChannelLayout& layout);

/// Lets `heir` compute the value that `old` names: every reader of `old` reads output 0 of `heir`
/// under the old name. The producer of `old` is erased if nothing reads its other outputs.
void take_over(const NodeRef& heir, const ValueRef& old);

/// Erases `node` if nobody reads what it computes; then, in turn, the nodes that fed only it.
void erase_unread(NodeRef node);

}  // namespace mcompress::analysis
