// SPDX-License-Identifier: Apache-2.0
//
// Replaces a weight by the product of two thinner ones, from its singular value decomposition.
//
//   Before:  y = MatMul(x, W)                       W: [K, N]
//   After:   y = MatMul(MatMul(x, L), R)            L: [K, r], R: [r, N],  r (K + N) < K N
//   Before:  y = Conv(x, W, b)                      W: [Cout, Cin, k, k], strides, pads, dilations
//   After:   y = Conv(Conv(x, R), L, b)             R: [r, Cin, k, k] with strides, pads,
//   dilations,
//                                                   L: [Cout, r, 1, 1]
//
// L R is the best approximation of rank r of W (Eckart and Young): the part of the squares that is
// lost is the sum of s_i^2 over i > r, over that of all. The roots of the singular values go to
// both sides, so that both quantize well. The node itself becomes the second factor: bias, alpha
// and beta stay where they are.
//
// The rank is fixed, or the least that keeps an `energy`, or the greatest within a `ratio` of the
// parameters; the last two in multiples that kernels like. Layers that share a weight share the
// factors.
//
// Refuses: factors that are not smaller (by energy: above 0.8 of the parameters, which two products
// need to gain), groups, ConvTranspose, embeddings, recurrent layers, stacks of matrices, quantized
// weights, weights that other nodes read too, NaN.
#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <vector>

#include <fmt/format.h>

#include "analysis/weight_editor.h"
#include "mcompress/pass_context.h"
#include "numerics/low_rank.h"
#include "pass/register.h"

namespace mcompress::passes {
namespace {

constexpr double kDefaultEnergy = 0.95;
/// Two products with nearly as many parameters take longer than one: by energy, a layer stays dense
/// above this part.
constexpr double kWorthwhile = 0.8;

std::string unsupported_kind(const Layer& layer, int64_t opset) {
  switch (layer.kind) {
    case LayerKind::kConv:
      return layer.groups == 1 ? "" : fmt::format("it has {} groups", layer.groups);
    case LayerKind::kMatMul:
      return layer.weight_shape.size() == 2 ? "" : "its weight is a stack of matrices";
    case LayerKind::kGemm:
      if (layer.weight_input != 1) return "its weight is the left operand of a Gemm";
      if (layer.node.attribute("transA", int64_t{0}) != 0 && opset < 11) {
        return "a transposed input without bias needs opset 11";
      }
      return "";
    default:
      return fmt::format("no factors for {} layers", layer_kind_name(layer.kind));
  }
}

std::vector<float> transposed(const std::vector<float>& values, int64_t rows, int64_t columns) {
  std::vector<float> result(values.size());
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) {
      result[static_cast<size_t>(c * rows + r)] = values[static_cast<size_t>(r * columns + c)];
    }
  }
  return result;
}

/// Weights of the node that reads the input, and of the node that gives the output.
struct FactorPair {
  ValueRef first, second;
  int64_t rank = 0;
  double lost = 0;
};

class FactorizeWeights : public LayerPass {
 public:
  const PassInfo& info() const override {
    static const PassInfo info{
        .name = "factorize-weights",
        .summary = "replace weights by products of thinner ones (SVD)",
        .fidelity = Fidelity::kLossy,
        .idempotent = false,
        .cost = "accuracy, depending on the spectrum of each weight",
        .benefit = "size and latency fall with the number of parameters",
    };
    return info;
  }
  void describe(OptionSet& o) override {
    o.add("rank", rank_, "Rank of every layer", {"auto"}).at_least(1);
    o.add("ratio", ratio_, "Most parameters that the factors have, as part of the weight's",
          {"auto"})
        .greater_than(0)
        .range(0, 1);
    o.add("energy", energy_,
          "Part of the squared singular values that is kept; 0.95 where none of the three is given",
          {"auto"})
        .greater_than(0)
        .range(0, 1);
    o.add("multiple", multiple_,
          "Ranks by ratio and energy are multiples of this; 0: what the target's kernels like")
        .at_least(0);
  }
  std::string check_options() const override {
    const int given = (rank_ ? 1 : 0) + (ratio_ ? 1 : 0) + (energy_ ? 1 : 0);
    if (given > 1) return "rank, ratio and energy exclude each other; give one";
    if (rank_ && *rank_ != std::floor(*rank_)) return "rank is not a whole number";
    return "";
  }

 protected:
  void prepare(Model& model, PassContext&, std::vector<Layer>& selected) override {
    std::vector<Layer> possible;
    for (const Layer& layer : selected) {
      if (unsupported_kind(layer, model.opset()).empty()) possible.push_back(layer);
    }
    editor_ = analysis::WeightEditor(possible);
  }

  bool run_on_layer(Layer& layer, PassContext& context) override {
    const int64_t opset = layer.node.graph().model().opset();
    if (std::string why = unsupported_kind(layer, opset); !why.empty())
      throw Unsupported(std::move(why));
    const auto key = std::make_pair(layer.weight.name(), layer.output_axis);
    auto known = factors_.find(key);
    if (known == factors_.end()) known = factors_.emplace(key, factorize(layer, context)).first;
    const FactorPair& pair = known->second;
    context.decided(layer,
                    {.method = fmt::format("svd rank {}", pair.rank),
                     .detail = fmt::format("keeps {:.4g} % of the energy", 100 * (1 - pair.lost)),
                     .rank = static_cast<double>(pair.rank)});
    rewrite(layer, pair);
    if (layer.weight.uses().empty()) {
      layer.node.graph().model().state().constraints.erase(layer.weight.name());
      analysis::WeightEditor::erase_if_unread(layer.weight);
    }
    return true;
  }

 private:
  int64_t choose_rank(const std::vector<double>& spectrum, int64_t rows, int64_t columns,
                      const PassContext& context) const {
    const auto full = static_cast<int64_t>(spectrum.size());
    if (rank_) return std::min(static_cast<int64_t>(*rank_), full);
    const int64_t multiple = multiple_ > 0 ? multiple_ : context.target().channel_multiple();
    if (ratio_) {
      const int64_t rank = std::min(numerics::rank_for_ratio(rows, columns, *ratio_), full);
      return rank >= multiple ? rank / multiple * multiple : rank;
    }
    const int64_t rank = numerics::rank_for_energy(spectrum, energy_.value_or(kDefaultEnergy));
    return numerics::round_rank(rank, multiple, full);
  }

  FactorPair factorize(const Layer& layer, PassContext& context) const {
    const Tensor weight = editor_.read(layer);
    const std::vector<float> values = weight.to_float();
    const auto is_finite = [](float v) { return std::isfinite(v); };
    if (!std::all_of(values.begin(), values.end(), is_finite)) {
      throw Unsupported("its weight holds NaN or infinite values");
    }
    const int64_t rows = layer.weight_shape[0];
    const int64_t columns = weight.count() / std::max<int64_t>(rows, 1);
    const bool is_asked_for = rank_ || ratio_;
    const int64_t limit = is_asked_for ? numerics::break_even_rank(rows, columns)
                                       : numerics::rank_for_ratio(rows, columns, kWorthwhile);
    if (limit < 1) throw Unsupported("factors of its weight are never smaller");
    const numerics::LowRank decomposition(values, rows, columns);
    const int64_t rank = choose_rank(decomposition.singular_values(), rows, columns, context);
    if (rank < 1 || rank > limit) {
      throw Unsupported(fmt::format(
          "rank {} does not pay against the dense weight, {} is the most that does", rank, limit));
    }
    context.count("parameters before", weight.count());
    context.count("parameters after", rank * (rows + columns));
    FactorPair pair = store(layer, decomposition.factors(rank), weight.type());
    pair.rank = rank;
    pair.lost = numerics::lost_energy(decomposition.singular_values(), rank);
    return pair;
  }

  /// left [rows, rank] and right [rank, columns], each in the layout of the node that will read it.
  static FactorPair store(const Layer& layer, const numerics::LowRankFactors& factors,
                          DataType type) {
    const Shape& shape = layer.weight_shape;
    const int64_t rows = shape[0], rank = factors.rank;
    const auto columns = static_cast<int64_t>(factors.right.size()) / rank;
    Tensor left = Tensor::from({rows, rank}, factors.left);
    Tensor right = Tensor::from({rank, columns}, factors.right);
    if (layer.kind == LayerKind::kConv) {
      Shape point(shape.size(), 1), window = shape;
      point[0] = rows, point[1] = rank, window[0] = rank;
      left = left.reshaped(point);
      right = right.reshaped(window);
    }
    Tensor first = right, second = left;
    if (layer.kind == LayerKind::kGemm &&
        layer.output_axis == 0) {  // read by a MatMul: [inputs, rank]
      first = Tensor::from({columns, rank}, transposed(factors.right, rank, columns));
    } else if (layer.kind != LayerKind::kConv && layer.output_axis == 1) {
      std::swap(first, second);
    }
    Graph& scope = layer.weight.scope();
    const std::string& name = layer.weight.name();
    return {scope.add_constant(name + "_1", first.cast(type)),
            scope.add_constant(name + "_2", second.cast(type))};
  }

  /// The node becomes the second factor behind a new node that is the first.
  static void rewrite(const Layer& layer, const FactorPair& pair) {
    const NodeRef node = layer.node;
    Graph& graph = node.graph();
    const int data_input = 1 - layer.weight_input;
    const ValueRef x = node.input(data_input);
    NodeSpec first{.op = "MatMul", .inputs = {x, pair.first}};
    if (layer.kind == LayerKind::kConv) {
      first = first_convolution(layer, pair.first);
    } else if (layer.kind == LayerKind::kGemm && node.attribute("transA", int64_t{0}) != 0) {
      first.op = "Gemm";
      first.attributes = {{"transA", int64_t{1}}};
    } else if (layer.weight_input == 0) {
      first.inputs = {pair.first, x};
    }
    const ValueRef between = graph.insert(std::move(first), node).output();
    for (const char* name : {"transA", "strides", "pads", "dilations", "auto_pad"}) {
      if (node.has_attribute(name)) graph.remove_attribute(node, name);
    }
    if (node.has_attribute("kernel_shape")) {
      graph.set_attribute(node,
                          {"kernel_shape", std::vector<int64_t>(layer.weight_shape.size() - 2, 1)});
    }
    graph.set_input(node, data_input, between);
    graph.set_input(node, layer.weight_input, pair.second);
  }

  static NodeSpec first_convolution(const Layer& layer, const ValueRef& weight) {
    const NodeRef node = layer.node;
    NodeSpec spec{.op = "Conv", .inputs = {node.input(0), weight}};
    const std::vector<int64_t> window(layer.weight_shape.begin() + 2, layer.weight_shape.end());
    spec.attributes = {{"kernel_shape", window}};
    for (const char* name : {"strides", "pads", "dilations"}) {
      if (node.has_attribute(name)) spec.attributes.push_back({name, node.attribute_ints(name)});
    }
    const std::string padding = node.attribute("auto_pad", std::string_view("NOTSET"));
    if (padding != "NOTSET") spec.attributes.push_back({"auto_pad", padding});
    return spec;
  }

  std::optional<double> rank_;
  std::optional<double> ratio_;
  std::optional<double> energy_;
  int multiple_ = 0;
  analysis::WeightEditor editor_;
  std::map<std::pair<std::string, int>, FactorPair>
      factors_;  ///< by weight and the axis of its outputs
};

}  // namespace
}  // namespace mcompress::passes

MCOMPRESS_REGISTER_PASS(factorize_weights, FactorizeWeights)
