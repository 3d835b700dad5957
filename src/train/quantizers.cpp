// SPDX-License-Identifier: Apache-2.0
#include "train/quantizers.h"

#include <algorithm>
#include <map>
#include <optional>

#include "analysis/patterns.h"
#include "mcompress/layer.h"
#include "train/quantizer_parameters.h"
#include "train/tensors.h"

namespace mcompress::train {
namespace {

/// Largest scale with which the range of the integers still implies a Clip before them: beyond it
/// the runtime would run the Clip, and the layer in float.
std::optional<double> scale_within_clip(const NodeRef& quantize) {
  const NodeRef clip = quantize.input(0).producer();
  if (!clip || !clip.is("Clip")) return std::nullopt;
  std::optional<double> most;
  if (clip.has_attribute("max")) most = clip.attribute("max", 0.0F);
  if (clip.input(2)) most = analysis::read_scalar(clip.input(2));
  if (!most || *most <= 0) return std::nullopt;
  const ValueRef zero = quantize.input(2);
  const DataType type = zero ? zero.constant_type() : DataType::kUint8;
  const double origin = zero ? static_cast<double>(zero.constant()->to_int64().front()) : 0.0;
  return *most / (code_range(type).high - origin) * (1 - 1e-6);
}

class Finder {
 public:
  Finder(const Model& model, const TrainingTask& task) : model_(model.clone()), task_(task) {
    for (const Layer& layer : find_layers(model_)) layers_.emplace(layer.weight.name(), layer);
  }

  std::vector<std::unique_ptr<Parameter>> find() {
    for (const NodeRef node : model_.graph().nodes()) add_activation(node);
    for (const NodeRef node : model_.graph().nodes()) add_weight(node);
    for (const NodeRef node : model_.graph().nodes()) add_bias(node);
    return std::move(result_);
  }

 private:
  bool is_chosen(const std::string& codes) const {
    const auto& chosen = task_.parameters;
    return chosen.empty() || std::find(chosen.begin(), chosen.end(), codes) != chosen.end();
  }

  /// Everybody who reads the scale moves with it, and what is quantized with it is dequantized with
  /// it.
  static bool is_of_activations(const ValueRef& scale) {
    for (const Use& use : scale.uses()) {
      const bool quantizes = use.node.is("QuantizeLinear"), back = use.node.is("DequantizeLinear");
      if (use.input != 1 || (!quantizes && !back)) return false;
      const ValueRef zero = use.node.input(2);
      if (zero && (!zero.is_constant() || element_count(zero.constant_shape()) != 1)) return false;
      if (back && use.node.input(0).is_constant()) return false;
      if (!quantizes) continue;
      const ValueRef codes = use.node.output();
      if (codes.is_graph_output()) return false;
      for (const Use& reader : codes.uses()) {
        if (!reader.node.is("DequantizeLinear") || reader.node.input_name(1) != scale.name()) {
          return false;
        }
      }
    }
    return !scale.is_graph_output();
  }

  void add_activation(const NodeRef& node) {
    if (!node.is("QuantizeLinear")) return;
    const ValueRef scale = node.input(1);
    if (!scale.is_constant() || scale.constant_type() != DataType::kFloat) return;
    if (element_count(scale.constant_shape()) != 1) return;
    auto [it, fresh] = scales_.try_emplace(scale.name());
    if (fresh) {
      const bool learned = task_.quantizers.learn_scales && is_of_activations(scale);
      it->second =
          std::make_shared<Scales>(to_torch(*scale.constant()), learned, task_.optimizer.kind);
      if (it->second->learned()) {
        result_.push_back(std::make_unique<ActivationScale>(scale.name(), it->second));
      }
    }
    if (const auto most = scale_within_clip(node)) it->second->limit(*most);
  }

  void add_weight(const NodeRef& node) {
    const auto stored = stored_integers(node);
    if (!stored || stored->type == DataType::kInt32 || node.output().is_graph_output()) return;
    if (!is_chosen(stored->codes.name())) {
      scales_.try_emplace(stored->scales.name(),
                          std::make_shared<Scales>(stored->tensor(1), false, task_.optimizer.kind));
      return;
    }
    const auto layer = layers_.find(stored->output());
    auto weight = std::make_unique<WeightQuantizer>(
        *stored, layer == layers_.end() ? std::nullopt : std::optional(layer->second), task_);
    scales_.try_emplace(stored->scales.name(), weight->scales());
    result_.push_back(std::move(weight));
  }

  /// Null where `value` is no end of a DequantizeLinear whose scales are known.
  std::shared_ptr<Scales> scales_of(const ValueRef& value) const {
    const NodeRef node = value ? value.producer() : NodeRef();
    if (!node || !node.is("DequantizeLinear")) return nullptr;
    const auto it = scales_.find(node.input_name(1));
    return it == scales_.end() ? nullptr : it->second;
  }

  void add_bias(const NodeRef& node) {
    const auto stored = stored_integers(node);
    if (!stored || stored->type != DataType::kInt32 || !has_one_reader(node.output())) return;
    if (node.input(2) || stored->codes.constant_shape().size() != 1) return;
    const Use use = node.output().uses().front();
    auto input = scales_of(use.node.input(0)), weight = scales_of(use.node.input(1));
    if (use.input != 2 || !is_product(*stored, input, weight)) input = weight = nullptr;
    if (!has_one_reader(stored->scales)) input = weight = nullptr;
    const bool trained = is_chosen(stored->codes.name());
    const bool moves = input && (input->learned() || weight->learned());
    if (!trained && !moves) return;
    result_.push_back(std::make_unique<BiasQuantizer>(
        *stored, input, weight, find_named(task_.quantizers.start, stored->codes.name()), trained));
  }

  static bool is_product(const StoredIntegers& stored, const std::shared_ptr<Scales>& input,
                         const std::shared_ptr<Scales>& weight) {
    if (!input || !weight || input->start().numel() != 1) return false;
    const at::Tensor own = stored.tensor(1).reshape({-1});
    const at::Tensor product = weight->start().reshape({-1}) * input->start().reshape({});
    if (product.numel() != 1 && product.numel() != own.numel()) return false;
    return at::allclose(own, product.expand_as(own), 1e-4, 0);
  }

  Model model_;
  const TrainingTask& task_;
  std::map<std::string, Layer> layers_;
  std::map<std::string, std::shared_ptr<Scales>> scales_;  ///< by name of the constant
  std::vector<std::unique_ptr<Parameter>> result_;
};

}  // namespace

std::vector<std::unique_ptr<Parameter>> make_quantizers(const Model& model,
                                                        const TrainingTask& task) {
  if (!task.quantizers.enabled) return {};
  return Finder(model, task).find();
}

}  // namespace mcompress::train
