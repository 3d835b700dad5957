// SPDX-License-Identifier: Apache-2.0
//
// Lets layers that have the same weight, or nearly, read one.
//
//   Before:  h = MatMul(a, W1)   z = MatMul(b, W2)       W1 and W2: 512 x 512, equal or similar
//   After:   h = MatMul(a, W)    z = MatMul(b, W)
//   Before:  e = Gather(E, ids)  y = MatMul(h, P)        P = E transposed
//   After:   e = Gather(E, ids)  y = MatMul(h, Transpose(E))            folds at load
//
// Equal weights always; an output projection that is an embedding transposed reads the embedding.
// With `tolerance`, also layers of one kind and shape whose common weight W = (sum of H_l)^-1 (sum of
// H_l W_l), H_l = X^T X of each layer's inputs, errs by no more than that part of their outputs
// (without calibration data H_l is the same for all: the mean). Before that, with `align`, hidden units
// of feed-forward parts are put into the order in which they are most alike (Hungarian method up to
// 1024 units, else greedy): the order of hidden units is arbitrary, so that training gives each layer
// its own. Put a gate on a step that has a tolerance.
//
// Refuses: weights in other graphs of the model, stored forms, graph inputs and outputs.
#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <tuple>
#include <vector>

#include <fmt/format.h>

#include "analysis/hidden_axis.h"
#include "analysis/layer_matrix.h"
#include "analysis/weight_editor.h"
#include "mcompress/pass_context.h"
#include "numerics/assignment.h"
#include "numerics/linear_algebra.h"
#include "pass/register.h"
#include "support/hash.h"

namespace mcompress::passes {
namespace {

using analysis::HiddenAxis;
using analysis::LayerMatrix;

/// Below this mean cosine of matched units two feed-forward parts have nothing in common.
constexpr double kLeastSimilarity = 0.3;
constexpr double kDamping = 0.01;

size_t to_size(int64_t value) { return static_cast<size_t>(value); }

class TieWeights : public LayerPass {
 public:
  const PassInfo& info() const override {
    static const PassInfo info{
        .name = "tie-weights",
        .summary = "let layers with equal, transposed or similar weights read one",
        .fidelity = Fidelity::kLossy,
        .cost = "accuracy: none at tolerance 0; with a tolerance, see the gate",
        .benefit = "one weight in the file in place of several",
    };
    return info;
  }
  void describe(OptionSet& o) override {
    o.add("tolerance", tolerance_,
          "Relative squared error of a layer's output up to which layers are tied; 0: equal ones")
        .range(0, 1);
    o.add("align", align_, "Put hidden units into one order before similar layers are looked for");
    o.add("transposes", transposes_, "Let an output projection read the embedding it is of");
  }

 protected:
  void prepare(Model& model, PassContext& context, std::vector<Layer>& selected) override {
    groups_.clear();
    plans_.clear();
    if (tolerance_ > 0 && align_ && align_units(selected, context)) {
      // Weights were replaced: the layers name other constants now.
      const std::vector<Layer> fresh = find_layers(model);
      std::map<analysis::LayerKey, Layer> by_key;
      for (const Layer& layer : fresh) by_key.emplace(analysis::layer_key(layer), layer);
      for (Layer& layer : selected) layer = by_key.at(analysis::layer_key(layer));
    }
    find_equal(selected);
    if (tolerance_ > 0) find_similar(model, context, selected);
  }

  bool run_on_layer(Layer& layer, PassContext& context) override {
    const auto plan = plans_.find(analysis::layer_key(layer));
    if (plan == plans_.end()) return false;
    const Plan& to = plan->second;
    Graph& graph = layer.node.graph();
    const ValueRef old = graph.find(layer.node.input_name(layer.weight_input));
    if (to.value) {
      ValueRef shared = graph.find(to.weight);
      if (shared.constant() == to.value) return false;
      graph.set_constant(shared, *to.value);
    } else if (old.name() == to.weight) {
      return false;
    } else if (to.transpose && layer.kind == LayerKind::kGemm) {
      const int64_t now = layer.node.attribute("transB", int64_t{0});
      graph.set_attribute(layer.node, {"transB", int64_t{1 - now}});
      graph.set_input(layer.node, layer.weight_input, graph.find(to.weight));
    } else if (to.transpose) {
      const NodeRef turn = graph.insert(
          {.op = "Transpose",
           .inputs = {graph.find(to.weight)},
           .attributes = {{"perm", std::vector<int64_t>{1, 0}}},
           .name = layer.name + "_tied"},
          layer.node);
      graph.set_input(layer.node, layer.weight_input, turn.output());
    } else {
      graph.set_input(layer.node, layer.weight_input, graph.find(to.weight));
    }
    if (old.name() != to.weight) {
      context.count("weights tied");
      context.count("bytes saved", static_cast<int64_t>(packed_bytes(old.constant_type(), layer.weight_count())));
      analysis::WeightEditor::erase_if_unread(old);
    }
    analysis::record_constraint(graph.model(), graph.find(to.weight), ConstraintKind::kTied,
                                info().name);
    context.decided(layer, {.method = "tied to " + to.weight, .detail = to.detail});
    return true;
  }

 private:
  /// What a layer reads from now on.
  struct Plan {
    std::string weight;
    bool transpose = false;
    std::optional<Tensor> value = {};  ///< that the weight gets, once
    std::string detail;
  };
  /// Layers that may get one weight: sums for the closed form.
  struct Group {
    std::vector<size_t> members;
    std::vector<double> gram, product;  ///< sum of H, of H W
    double energy = 0;                  ///< sum of tr(W^T H W), 1 for each layer
  };
  using Kind = std::tuple<const Graph*, LayerKind, DataType, Shape, int, int64_t>;

  static bool can_share(const Layer& layer) {
    return layer.weight_is_plain && layer.weight.is_constant() && !layer.weight.is_graph_output() &&
           !layer.weight.is_graph_input() && &layer.weight.scope() == &layer.node.graph();
  }
  static Kind kind_of(const Layer& layer) {
    return {&layer.node.graph(),  layer.kind,        layer.weight.constant_type(),
            layer.weight_shape,   layer.output_axis, layer.groups};
  }

  static Tensor transpose_of(const Tensor& matrix) {
    Tensor result(matrix.type(), {matrix.shape()[1], matrix.shape()[0]});
    const size_t rows = to_size(matrix.shape()[0]), columns = to_size(matrix.shape()[1]);
    const size_t width = matrix.byte_size() / (rows * columns);
    std::byte* out = result.mutate().data();
    for (size_t c = 0; c < columns; ++c) {
      for (size_t r = 0; r < rows; ++r, out += width) {
        std::copy_n(matrix.bytes().data() + (r * columns + c) * width, width, out);
      }
    }
    return result;
  }

  /// Equal weights and, for those of rank 2, equal to another one transposed.
  void find_equal(const std::vector<Layer>& layers) {
    using Key = std::tuple<const Graph*, DataType, Shape, support::Hash128>;
    std::map<Key, ValueRef> seen;
    for (const Layer& layer : layers) {
      if (!can_share(layer)) continue;
      const Tensor value = *layer.weight.constant();
      const Key key{&layer.node.graph(), value.type(), value.shape(), support::hash128(value.bytes())};
      const auto [twin, is_new] = seen.emplace(key, layer.weight);
      if (!is_new && *twin->second.constant() == value) {
        if (twin->second.name() == layer.weight.name()) continue;
        plans_[analysis::layer_key(layer)] = {.weight = twin->second.name(), .detail = "equal"};
        continue;
      }
      const bool product = layer.kind == LayerKind::kGemm || layer.kind == LayerKind::kMatMul;
      if (!transposes_ || !product || value.shape().size() != 2) continue;
      const Tensor turned = transpose_of(value);
      const auto embedding = seen.find(
          {&layer.node.graph(), turned.type(), turned.shape(), support::hash128(turned.bytes())});
      if (embedding == seen.end() || !(*embedding->second.constant() == turned)) continue;
      if (embedding->second.name() == layer.weight.name()) continue;
      if (layer.kind == LayerKind::kGemm && layer.weight_input != 1) continue;
      plans_[analysis::layer_key(layer)] = {.weight = embedding->second.name(), .transpose = true,
                              .detail = "equal when transposed"};
    }
  }

  void find_similar(Model& model, PassContext& context, const std::vector<Layer>& selected) {
    std::vector<Layer> layers;
    std::map<Kind, int> count;
    for (const Layer& layer : selected) {
      if (can_share(layer) && LayerMatrix::obstacle(layer).empty()) ++count[kind_of(layer)];
    }
    for (const Layer& layer : selected) {
      const bool single = layer.shared_weight || plans_.count(analysis::layer_key(layer)) != 0;
      if (single || !can_share(layer) || !LayerMatrix::obstacle(layer).empty()) continue;
      if (count[kind_of(layer)] > 1 && layer.groups == 1) layers.push_back(layer);
    }
    if (layers.empty()) return;
    if (context.has_calibration()) {
      context.calibration().moments(model, layers,
                                    [&](size_t i, std::span<const LayerMoments> groups) {
                                      join(layers, i, groups.front().gram);
                                    });
    } else {
      for (size_t i = 0; i < layers.size(); ++i) {
        const int64_t inputs = LayerMatrix(layers[i], layers[i].weight.constant()->to_float()).inputs();
        std::vector<double> gram(to_size(inputs * inputs), 0.0);
        for (int64_t k = 0; k < inputs; ++k) gram[to_size(k * (inputs + 1))] = 1;
        join(layers, i, gram);
      }
    }
    for (const auto& [kind, groups] : groups_) {
      for (const Group& group : groups) plan_group(layers, group);
    }
  }

  /// The common weight, by solving sum(H) W = sum(H W); empty where that cannot be.
  static std::vector<double> common_weight(const Group& group, int64_t inputs, int64_t outputs) {
    std::vector<double> gram = group.gram, weight = group.product;
    return numerics::solve_positive(gram, inputs, weight, outputs) ? weight : std::vector<double>();
  }

  /// What is lost when all members get the common weight, relative to their outputs.
  static double relative_loss(const Group& group, int64_t inputs, int64_t outputs) {
    const std::vector<double> weight = common_weight(group, inputs, outputs);
    if (weight.empty() || !(group.energy > 0)) return 1;
    double kept = 0;
    for (size_t i = 0; i < weight.size(); ++i) kept += weight[i] * group.product[i];
    return std::max(0.0, 1 - kept / group.energy);
  }

  /// Adds layer `i` to the first group of its kind that bears it, else it begins one.
  void join(const std::vector<Layer>& layers, size_t i, const std::vector<double>& gram) {
    const LayerMatrix matrix(layers[i], layers[i].weight.constant()->to_float());
    const int64_t inputs = matrix.inputs(), outputs = matrix.outputs();
    Group own;
    own.gram = gram;
    double mean = 0;
    for (int64_t k = 0; k < inputs; ++k) mean += gram[to_size(k * (inputs + 1))] / static_cast<double>(inputs);
    for (int64_t k = 0; k < inputs; ++k) own.gram[to_size(k * (inputs + 1))] += kDamping * mean;
    const std::vector<double> weight = numerics::to_double(matrix.group(0));
    own.product.resize(weight.size());
    numerics::multiply(own.gram, weight, inputs, inputs, outputs, own.product);
    for (size_t k = 0; k < weight.size(); ++k) own.energy += weight[k] * own.product[k];
    if (!std::isfinite(own.energy) || !(own.energy > 0)) return;
    // Each layer counts the same, however large its outputs.
    for (double& g : own.gram) g /= own.energy;
    for (double& p : own.product) p /= own.energy;
    own.energy = 1;
    own.members = {i};
    std::vector<Group>& groups = groups_[kind_of(layers[i])];
    for (Group& group : groups) {
      Group merged = group;
      merged.members.push_back(i);
      merged.energy += own.energy;
      for (size_t k = 0; k < own.gram.size(); ++k) merged.gram[k] += own.gram[k];
      for (size_t k = 0; k < own.product.size(); ++k) merged.product[k] += own.product[k];
      if (relative_loss(merged, inputs, outputs) > tolerance_) continue;
      group = std::move(merged);
      return;
    }
    groups.push_back(std::move(own));
  }

  void plan_group(const std::vector<Layer>& layers, const Group& group) {
    if (group.members.size() < 2) return;
    const Layer& first = layers[group.members.front()];
    const Tensor before = *first.weight.constant();
    LayerMatrix matrix(first, before.to_float());
    const std::vector<double> weight = common_weight(group, matrix.inputs(), matrix.outputs());
    std::copy(weight.begin(), weight.end(), matrix.group(0).begin());
    const double loss = relative_loss(group, matrix.inputs(), matrix.outputs());
    const std::string detail = fmt::format("one weight for {} layers, output error {:.2g} %",
                                           group.members.size(), 100 * loss);
    for (const size_t i : group.members) {
      plans_[analysis::layer_key(layers[i])] = {.weight = first.weight.name(), .detail = detail};
    }
    plans_[analysis::layer_key(first)].value = Tensor::from(before.shape(), matrix.weight()).cast(before.type());
  }

  /// Of each unit: what goes in, and what goes out, at unit length.
  static std::vector<float> unit_features(const std::vector<Layer>& layers, const HiddenAxis& axis) {
    const LayerMatrix in(layers[axis.first], layers[axis.first].weight.constant()->to_float());
    const LayerMatrix out(layers[axis.second], layers[axis.second].weight.constant()->to_float());
    const size_t units = to_size(axis.units), left = to_size(in.inputs()), right = to_size(out.outputs());
    std::vector<float> features;
    for (size_t u = 0; u < units; ++u) {
      const size_t start = features.size();
      double squares = 0;
      for (size_t i = 0; i < left; ++i) features.push_back(in.group(0)[i * units + u]);
      for (size_t j = 0; j < right; ++j) features.push_back(out.group(0)[u * right + j]);
      for (size_t k = start; k < features.size(); ++k) squares += static_cast<double>(features[k]) * features[k];
      const auto scale = static_cast<float>(squares > 0 ? 1 / std::sqrt(squares) : 0);
      for (size_t k = start; k < features.size(); ++k) features[k] *= scale;
    }
    return features;
  }

  /// Puts the units of later feed-forward parts in the order of the first of their shapes.
  static bool align_units(const std::vector<Layer>& layers, PassContext& context) {
    std::map<std::tuple<int64_t, int64_t, int64_t>, std::vector<float>> first;
    bool changed = false;
    for (const HiddenAxis& axis : analysis::find_hidden_axes(layers)) {
      const int64_t n = axis.units;
      const std::vector<float> own = unit_features(layers, axis);
      const auto [known, is_new] = first.emplace(
          std::make_tuple(layers[axis.first].inputs, n, layers[axis.second].outputs), own);
      if (is_new) continue;
      const int64_t width = static_cast<int64_t>(own.size()) / n;
      std::vector<double> cosines(to_size(n * n));
      const std::vector<double> left = numerics::to_double(known->second);
      const std::vector<double> right = numerics::to_double(numerics::transposed(own, n, width));
      numerics::multiply(left, right, n, width, n, cosines);
      const std::vector<int64_t> order = numerics::best_assignment(numerics::to_float(cosines), n);
      double similarity = 0;
      bool same = true;
      for (int64_t u = 0; u < n; ++u) {
        similarity += cosines[to_size(u * n + order[to_size(u)])] / static_cast<double>(n);
        same = same && order[to_size(u)] == u;
      }
      if (same || similarity < kLeastSimilarity) continue;
      analysis::reorder_units(layers, axis, order);
      context.count("hidden axes aligned");
      changed = true;
    }
    return changed;
  }

  double tolerance_ = 0;
  bool align_ = true;
  bool transposes_ = true;
  std::map<Kind, std::vector<Group>> groups_;
  std::map<analysis::LayerKey, Plan> plans_;  ///< by the layer's output
};

}  // namespace
}  // namespace mcompress::passes

MCOMPRESS_REGISTER_PASS(tie_weights, TieWeights)
