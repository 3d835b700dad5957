// SPDX-License-Identifier: Apache-2.0
//
// Gives the outputs of quantized layers the means back that they had before: rounding moves them,
// and the move adds up through the layers.
//
//   Before:  y = Conv(DQ(x8), DQ(w8), DQ(b32))
//   After:   y = Conv(DQ(x8), DQ(w8), DQ(b32 + d))     d = mean(y of the float model) - mean(y)
//
// Layer by layer in the order of the graph, each on the inputs that the corrected layers before it
// give, over the same samples of the calibration data (empirical bias correction: Nagel et al.
// 2019, arXiv:1906.04721; algorithms.md section 3). A bias is made where there is none; that of a
// layer in 8 bits stays int32 with scale s_x * s_w; a MatMul has it in the Add behind it. Of a
// difference d with standard error e over the samples d^2 / (d^2 + e^2) is taken: what a few
// samples show by chance stays. The size of the old bias does not matter.
//
// The means to reach are those of the model as it was before the steps that quantized it.
//
// Refuses: layers in float, layers of subgraphs, outputs that the float model does not have, biases
// that are computed.
#include <map>

#include "forms/stored_form.h"
#include "mcompress/interrupt.h"
#include "mcompress/pass.h"
#include "mcompress/pass_context.h"
#include "pass/register.h"
#include "quantization/bias_correction.h"

namespace mcompress::passes {
namespace {

using quantization::SampleMeans;

bool is_quantized(const Layer& layer) {
  if (layer.weight_is_plain) return false;
  const auto form = forms::recognise(layer.weight);
  return form && form->quantized();
}

std::vector<double> channel_means(const Layer& layer, const Tensor& values) {
  const Shape& shape = values.shape();
  const auto rank = static_cast<int>(shape.size());
  const int axis = quantization::output_channel_axis(layer, rank);
  std::vector<double> means(static_cast<size_t>(layer.outputs), 0.0);
  if (values.type() != DataType::kFloat || axis < 0 || axis >= rank ||
      shape[static_cast<size_t>(axis)] != layer.outputs || values.count() == 0) {
    return means;
  }
  size_t inner = 1;
  for (size_t i = static_cast<size_t>(axis) + 1; i < shape.size(); ++i) {
    inner *= static_cast<size_t>(shape[i]);
  }
  const auto reals = values.as<float>();
  for (size_t i = 0; i < reals.size(); ++i) means[i / inner % means.size()] += reals[i];
  const auto count = static_cast<double>(reals.size() / means.size());
  for (double& mean : means) mean /= count;
  return means;
}

class CorrectBias final : public Pass {
 public:
  const PassInfo& info() const override {
    static const PassInfo info{
        .name = "correct-bias",
        .summary = "give quantized layers the mean outputs of the float model back",
        .fidelity = Fidelity::kLossy,
        .needs = {.runtime = true, .calibration = true},
        .idempotent = false,
        .cost = "a run of `samples` samples up to each quantized layer",
        .benefit = "accuracy lost to means that rounding moved"};
    return info;
  }

  void describe(OptionSet& o) override {
    o.add("samples", samples_, "Samples of the calibration data that the means are of")
        .range(1, 100000);
  }

  bool acts_on_layers() const override { return true; }

  bool run(Model& model, PassContext& context) override {
    const std::vector<Layer> layers = select_layers(model, context, obstacle);
    if (layers.empty()) return false;
    if (context.reference() == nullptr) {
      context.warn(
          "the model before quantization is not known: run it in one recipe with the step "
          "that quantizes");
      return false;
    }
    const Model reference = context.reference()->clone();
    const std::vector<Layer> known = with_reference(reference, context, layers);
    const auto wanted = means_of(reference, context, known);
    int64_t corrected = 0;
    context.progress().begin("correct-bias", known.size());
    for (const Layer& layer : known) {
      check_interrupt();
      context.progress().advance();
      const auto found = means_of(model, context, {&layer, 1});
      const auto shift =
          quantization::mean_correction(wanted.at(layer.output), found.at(layer.output));
      const bool changed = quantization::shift_output(layer, shift);
      corrected += changed ? 1 : 0;
      if (changed) {
        context.decided(layer, {.method = "bias corrected", .detail = ""});
      } else {
        context.skipped(layer, "its means are what they were");
      }
    }
    context.progress().end();
    context.count("biases corrected", corrected);
    return corrected > 0;
  }

 private:
  static std::string obstacle(const Layer& layer) {
    if (!is_quantized(layer)) return "its weight is not quantized";
    if (layer.node.graph().parent() != nullptr) return "it is in a subgraph";
    return quantization::shift_obstacle(layer);
  }

  static std::vector<Layer> with_reference(const Model& reference, PassContext& context,
                                           const std::vector<Layer>& layers) {
    std::vector<Layer> known;
    for (const Layer& layer : layers) {
      const ValueRef twin = reference.graph().find(layer.output);
      if (twin && twin.producer()) {
        known.push_back(layer);
      } else {
        context.skipped(layer, "the model before quantization has no " + layer.output);
      }
    }
    return known;
  }

  std::map<std::string, SampleMeans> means_of(const Model& model, PassContext& context,
                                              std::span<const Layer> layers) const {
    std::map<std::string, const Layer*> by_output;
    std::vector<std::string> names;
    for (const Layer& layer : layers) {
      by_output[layer.output] = &layer;
      names.push_back(layer.output);
    }
    std::map<std::string, SampleMeans> means;
    context.calibration().for_each(
        model, names, static_cast<size_t>(samples_),
        [&](size_t, std::span<const std::string> group, std::span<const Tensor> tensors) {
          for (size_t i = 0; i < group.size(); ++i) {
            means[group[i]].push_back(channel_means(*by_output.at(group[i]), tensors[i]));
          }
        });
    return means;
  }

  int samples_ = 32;
};

}  // namespace
}  // namespace mcompress::passes

MCOMPRESS_REGISTER_PASS(correct_bias, mcompress::passes::CorrectBias)
