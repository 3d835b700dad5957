// SPDX-License-Identifier: Apache-2.0
//
// Folds BatchNormalization into the Conv, ConvTranspose, Gemm or MatMul beside it.
//
//   Before:  c = Conv(x, W, b)   y = BatchNormalization(c, scale, B, mean, var)
//   After:   y = Conv(x, W', b')        s = scale / sqrt(var + epsilon)
//            W'[o] = W[o] s[o]          b'[o] = (b[o] - mean[o]) s[o] + B[o]
//
// Into the layer before it where it can, else into the one after it: W'[o,c] = W[o,c] s[c],
// b'[o] = b[o] + sum over c and taps of W[o,c] (B[c] - mean[c] s[c]). A weight that other nodes
// read too is split. A MatMul without a bias gets an Add.
//
// Refuses: statistics that are no constants, training mode, a layer whose output something else
// reads, and, in front of a layer, zero padding (the shift would not reach the border).
#include <cmath>
#include <optional>
#include <vector>

#include "analysis/affine.h"
#include "mcompress/pass_context.h"
#include "pass/known_types.h"
#include "pass/register.h"

namespace mcompress::passes {
namespace {

using analysis::AffineLayer;
using analysis::ChannelAffine;

bool is_inference(const NodeRef& node, int64_t opset) {
  for (int i = 1; i < node.output_count(); ++i) {
    const ValueRef output = node.output(i);
    if (output && (output.is_graph_output() || !output.uses().empty())) return false;
  }
  if (node.attribute("training_mode", int64_t{0}) != 0) return false;
  if (opset < 9 && node.attribute("spatial", int64_t{1}) == 0) return false;
  return opset >= 7 || node.attribute("is_test", int64_t{0}) != 0;
}

/// The normalization as y = scale x + shift per channel; nullopt when it is not constant.
std::optional<ChannelAffine> read_normalization(const NodeRef& node) {
  std::vector<std::vector<double>> values;
  for (int i = 1; i <= 4; ++i) {
    auto read = analysis::read_floats(node.input(i));
    if (!read || read->empty() || (i > 1 && read->size() != values[0].size())) return std::nullopt;
    values.push_back(std::move(*read));
  }
  const double epsilon = node.attribute("epsilon", 1e-5F);
  const size_t channels = values[0].size();
  ChannelAffine affine{std::vector<double>(channels), std::vector<double>(channels)};
  for (size_t c = 0; c < channels; ++c) {
    const double scale = values[0][c] / std::sqrt(values[3][c] + epsilon);
    const double shift = values[1][c] - values[2][c] * scale;
    if (!std::isfinite(scale) || !std::isfinite(shift)) return std::nullopt;
    affine.scale[c] = scale;
    affine.shift[c] = shift;
  }
  return affine;
}

/// Why read_normalization found none.
std::string why_no_statistics(const NodeRef& norm) {
  for (int i = 1; i <= 4; ++i) {
    if (analysis::producer_of(norm.input(i), "Identity"))
      return "its statistics are behind an Identity: eliminate-identity before this step removes it";
  }
  return "its statistics are no constants";
}

/// Channels of BatchNormalization are on axis 1 of its input.
bool fits(const analysis::ChannelLayout& layout, const ChannelAffine& affine) {
  return layout.axis == 1 && layout.channels == static_cast<int64_t>(affine.scale.size());
}

class FoldBatchNorm : public Pass {
 public:
  const PassInfo& info() const override {
    static const PassInfo info{
        .name = "fold-batch-norm",
        .summary = "fold BatchNormalization into the layer before or after it",
        .fidelity = Fidelity::kRounding,
        .benefit = "one node less per normalization",
    };
    return info;
  }
  void describe(OptionSet&) override {}
  bool acts_on_layers() const override { return true; }

  bool run(Model& model, PassContext& context) override {
    const ValueTypes types = known_types(model, context);
    int64_t folded = 0;
    // Before looking ahead, every normalization behind a layer is folded back into it.
    for (const bool backwards : {true, false}) {
      const std::vector<Layer> layers = find_layers(model);
      for (size_t i = 0; i < layers.size(); ++i) {
        if (!context.selection().reason_to_skip(layers, i).empty()) continue;
        while (layers[i].node.alive() &&
               (backwards ? fold_after(model, layers[i], types, context)
                          : fold_before(model, layers[i], types, context))) {
          ++folded;
        }
      }
    }
    context.count("normalizations folded", folded);
    return folded > 0;
  }

 private:
  static bool fold_after(Model& model, const Layer& layer, const ValueTypes& types,
                         PassContext& context) {
    std::string why;
    auto target = AffineLayer::make(layer, types, &why);
    const ValueRef result = target ? target->result() : layer.node.output(0);
    const NodeRef norm = following_norm(result);
    if (!norm) return false;
    if (!target) return skip(context, norm, why);
    if (!analysis::is_used_once(result))
      return skip(context, norm, "the layer's output is used twice");
    if (!is_inference(norm, model.opset())) return skip(context, norm, "training mode");
    const auto affine = read_normalization(norm);
    if (!affine) return skip(context, norm, why_no_statistics(norm));
    if (!fits(target->output_layout(), *affine))
      return skip(context, norm, "its channels are not the layer's");
    const std::string reason = target->fold_after(*affine);
    if (!reason.empty()) return skip(context, norm, reason);
    finish(*target, norm, layer, context);
    return true;
  }

  /// The layer computes what the normalization did. Its Add, where it is new, has a reader of its
  /// own.
  static void finish(const AffineLayer& target, const NodeRef& norm, const Layer& layer,
                     PassContext& context) {
    const ValueRef output = norm.output(0);
    norm.graph().set_input(norm, 0, target.result());
    context.decided(layer, {.method = "batch norm folded", .detail = norm.label()});
    analysis::take_over(target.result_node(), output);
  }

  static bool fold_before(Model& model, const Layer& layer, const ValueTypes& types,
                          PassContext& context) {
    auto target = AffineLayer::make(layer, types);
    if (!target || !target->entry()) return false;
    const NodeRef norm = analysis::producer_of(target->entry(), "BatchNormalization");
    if (!norm || &norm.graph() != &layer.node.graph() || !norm.input(0)) return false;
    if (!analysis::is_used_once(norm.output(0)))
      return skip(context, norm, "its output is used twice");
    if (!is_inference(norm, model.opset())) return skip(context, norm, "training mode");
    const auto affine = read_normalization(norm);
    if (!affine) return skip(context, norm, why_no_statistics(norm));
    if (!fits(target->input_layout(), *affine))
      return skip(context, norm, "its channels are not the layer's");
    const std::string reason = target->fold_before(*affine);
    if (!reason.empty()) return skip(context, norm, reason);
    context.decided(layer, {.method = "batch norm folded", .detail = norm.label()});
    norm.graph().set_input(layer.node, 0, norm.input(0));
    analysis::erase_unread(norm);
    return true;
  }

  static NodeRef following_norm(const ValueRef& value) {
    if (!value) return {};
    for (const Use& use : value.uses()) {
      if (use.node.is("BatchNormalization") && use.input == 0 &&
          &use.node.graph() == &value.scope()) {
        return use.node;
      }
    }
    return {};
  }

  static bool skip(PassContext& context, const NodeRef& norm, std::string reason) {
    context.skipped(norm, std::move(reason));
    return false;
  }
};

}  // namespace
}  // namespace mcompress::passes

MCOMPRESS_REGISTER_PASS(fold_batch_norm, FoldBatchNorm)
