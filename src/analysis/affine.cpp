// SPDX-License-Identifier: Apache-2.0
#include "analysis/affine.h"

#include <algorithm>
#include <cmath>

#include "analysis/layer_matrix.h"

namespace mcompress::analysis {
namespace {

double entry_of(const std::vector<double>& values, int64_t channel) {
  return values.size() == 1 ? values[0] : values[static_cast<size_t>(channel)];
}

bool has_padding(const Layer& layer) {
  if (layer.kind != LayerKind::kConv && layer.kind != LayerKind::kConvTranspose) return false;
  const std::string mode = layer.node.attribute("auto_pad", "NOTSET");
  if (mode == "SAME_UPPER" || mode == "SAME_LOWER") return layer.kernel > 1;
  if (mode == "VALID") return false;
  const auto pads = layer.node.attribute_ints("pads");
  return std::any_of(pads.begin(), pads.end(), [](int64_t p) { return p != 0; });
}

bool all_finite_in(DataType type, const std::vector<double>& values) {
  const double limit = type == DataType::kFloat ? 3.4e38 : 1.7e308;
  return std::all_of(values.begin(), values.end(),
                     [limit](double v) { return std::abs(v) <= limit; });
}

/// Weights that were finite before must be finite after; those that were not make folding
/// pointless.
const char* const kOverflow = "the folded weights overflow";

}  // namespace

std::optional<AffineLayer> AffineLayer::make(const Layer& layer, const ValueTypes& types,
                                             std::string* why) {
  const auto refuse = [why](const char* reason) {
    if (why != nullptr) *why = reason;
    return std::nullopt;
  };
  if (!layer.weight_is_plain) return refuse("the weight is stored in another form");
  const DataType type = layer.weight.constant_type();
  if (type != DataType::kFloat && type != DataType::kDouble) {
    return refuse("the weight is neither float nor double");
  }
  AffineLayer result(layer);
  result.layer_.weight = layer.node.input(layer.weight_input);  // an earlier fold may have split it
  const int rank = static_cast<int>(layer.weight_shape.size());
  switch (layer.kind) {
    case LayerKind::kConv:
    case LayerKind::kConvTranspose:
      result.output_ = {rank, 1, layer.outputs};
      result.input_ = {rank, 1, layer.inputs};
      break;
    case LayerKind::kGemm:
      if (layer.weight_input != 1) return refuse("the weight is on the left");
      result.output_ = {2, 1, layer.outputs};
      result.input_ = {2, layer.node.attribute("transA", int64_t{0}) != 0 ? 0 : 1, layer.inputs};
      result.product_scale_ = layer.node.attribute("alpha", 1.0F);
      result.bias_scale_ = layer.node.attribute("beta", 1.0F);
      break;
    case LayerKind::kMatMul: {
      if (layer.weight_input != 1 || rank != 2)
        return refuse("the weight is not a matrix on the right");
      const int out_rank = types.find(layer.node.output(0)).rank();
      const int in_rank = types.find(layer.node.input(0)).rank();
      result.output_ = {out_rank > 0 ? out_rank : -1, out_rank - 1, layer.outputs};
      result.input_ = {in_rank > 0 ? in_rank : -1, in_rank - 1, layer.inputs};
      break;
    }
    default:
      return std::nullopt;
  }
  result.padded_ = has_padding(layer);
  if (!result.read_bias()) return refuse("the bias is not a constant vector");
  return result;
}

bool AffineLayer::read_bias() {
  bias_.assign(static_cast<size_t>(layer_.outputs), 0.0);
  ValueRef source;
  if (layer_.kind == LayerKind::kMatMul) {
    const NodeRef add = sole_consumer(layer_.node.output(0));
    if (!add || !add.is("Add")) return true;
    const auto affine = as_affine(add, output_);
    if (!affine) return true;
    bias_add_ = add;
    for (int64_t o = 0; o < layer_.outputs; ++o) {
      bias_[static_cast<size_t>(o)] = entry_of(affine->shift, o);
    }
    has_bias_ = true;
    return true;
  }
  source = layer_.node.input(layer_.bias_input);
  if (!source) return bias_scale_ != 0.0;
  const Shape shape = source.is_constant() ? source.constant_shape() : Shape{-1};
  for (size_t i = 0; i + 1 < shape.size(); ++i) {
    if (shape[i] != 1) return false;
  }
  if (!shape.empty() && shape.back() != 1 && shape.back() != layer_.outputs) return false;
  const auto values = read_floats(source);
  if (!values || values->empty() || bias_scale_ == 0.0) return false;
  for (int64_t o = 0; o < layer_.outputs; ++o) {
    bias_[static_cast<size_t>(o)] = entry_of(*values, o);
  }
  has_bias_ = true;
  return true;
}

bool AffineLayer::keeps_codebook(const ChannelAffine& affine) const {
  if (!affine.has_scale()) return true;
  const auto& constraints = layer_.node.graph().model().state().constraints;
  const auto [first, last] = constraints.equal_range(layer_.weight.name());
  return std::none_of(first, last,
                      [](const auto& entry) { return entry.second.kind != ConstraintKind::kMask; });
}

std::string AffineLayer::fold_after(const ChannelAffine& affine) {
  if (!keeps_codebook(affine)) return "the weight is shared or tied";
  auto weight = read_floats(layer_.weight);
  if (!weight) return "the weight cannot be read";
  std::vector<double> bias = bias_;
  for (int64_t o = 0; o < layer_.outputs; ++o) {
    double& b = bias[static_cast<size_t>(o)];
    b = b * entry_of(affine.scale, o) + entry_of(affine.shift, o) / bias_scale_;
  }
  if (affine.has_scale()) {
    for_each_weight(layer_, [&](size_t i, int64_t out, int64_t) {
      (*weight)[i] *= entry_of(affine.scale, out);
    });
  }
  return store(std::move(*weight), bias, affine.has_scale());
}

std::string AffineLayer::fold_before(const ChannelAffine& affine) {
  const bool shifts = affine.has_shift();
  if (shifts && padded_) return "zero padding: a constant before it is not a constant after it";
  if (shifts && layer_.kind == LayerKind::kConvTranspose) {
    return "a constant before a ConvTranspose is not one after it";
  }
  if (shifts && layer_.kind == LayerKind::kMatMul && !bias_add_) return "the MatMul has no bias";
  if (!keeps_codebook(affine)) return "the weight is shared or tied";
  auto weight = read_floats(layer_.weight);
  if (!weight) return "the weight cannot be read";
  std::vector<double> bias = bias_;
  const double factor = product_scale_ / bias_scale_;
  for_each_weight(layer_, [&](size_t i, int64_t out, int64_t in) {
    double& w = (*weight)[i];
    bias[static_cast<size_t>(out)] += factor * w * entry_of(affine.shift, in);
    w *= entry_of(affine.scale, in);
  });
  return store(std::move(*weight), bias, affine.has_scale());
}

std::string AffineLayer::store(std::vector<double> weight, const std::vector<double>& bias,
                               bool weight_changed) {
  const DataType type = layer_.weight.constant_type();
  if (!all_finite_in(type, weight) || !all_finite_in(type, bias)) return kOverflow;
  Graph& graph = layer_.node.graph();
  if (weight_changed) {
    const std::string former = layer_.weight.name();
    layer_.weight = graph.set_constant_input(layer_.node, layer_.weight_input,
                                             make_floats(type, layer_.weight_shape, weight));
    if (layer_.weight.name() != former) {
      auto& constraints = graph.model().state().constraints;
      std::vector<TensorConstraint> kept;
      const auto [first, last] = constraints.equal_range(former);
      for (auto it = first; it != last; ++it) kept.push_back(it->second);
      for (const TensorConstraint& c : kept) constraints.emplace(layer_.weight.name(), c);
    }
  }
  const bool zero = std::all_of(bias.begin(), bias.end(), [](double v) { return v == 0.0; });
  if (bias != bias_ && (has_bias_ || !zero)) {
    store_bias(make_floats(type, {layer_.outputs}, bias));
  }
  bias_ = bias;
  return "";
}

void AffineLayer::store_bias(const Tensor& bias) {
  Graph& graph = layer_.node.graph();
  const std::string hint = layer_.weight.name() + "_bias";
  if (bias_add_) {
    const auto operand = constant_operand(bias_add_);
    graph.set_constant_input(bias_add_, operand->constant_input, bias);
  } else if (layer_.kind == LayerKind::kMatMul) {
    NodeSpec spec{.op = "Add", .inputs = {layer_.node.output(0), graph.add_constant(hint, bias)}};
    bias_add_ = graph.insert(std::move(spec));
  } else if (has_bias_) {
    graph.set_constant_input(layer_.node, layer_.bias_input, bias);
  } else {
    graph.set_input(layer_.node, layer_.bias_input, graph.add_constant(hint, bias));
  }
  has_bias_ = true;
}

}  // namespace mcompress::analysis
