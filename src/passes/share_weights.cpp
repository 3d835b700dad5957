// SPDX-License-Identifier: Apache-2.0
//
// Lets each weight take few distinct values: the centroids of k-means.
//
//   Before:  y = MatMul(x, W)    W = [0.11, 0.09, 0, -0.52, -0.48]
//   After:   y = MatMul(x, W)    W = [0.10, 0.10, 0, -0.50, -0.50]        (values: 2)
//
// Minimises the sum over weights of (w - c(w))^2 over all codebooks of that size: the global
// optimum, which one dimension allows (Wang and Song 2011; Gronlund et al., arXiv 1701.07204).
// Zeros stay zeros and are a value of their own, beside `values` others: 15 and the zero fit into
// codes of 4 bits. The file shrinks when encode-weights stores codes and codebook. Layers that
// share a weight go on sharing it.
//
// Refuses: weights with no more distinct values than asked for, quantized weights, weights that
// unselected nodes read too, NaN and infinities.
#include <cmath>
#include <vector>

#include <fmt/format.h>

#include "analysis/weight_editor.h"
#include "analysis/weights.h"
#include "mcompress/pass_context.h"
#include "numerics/kmeans.h"
#include "pass/register.h"

namespace mcompress::passes {
namespace {

using numerics::KMeansMethod;

class ShareWeights : public LayerPass {
 public:
  const PassInfo& info() const override {
    static const PassInfo info{
        .name = "share-weights",
        .summary = "let each weight take few distinct values, chosen by optimal k-means",
        .fidelity = Fidelity::kLossy,
        .cost = "accuracy: little with 15 values and more",
        .benefit = "an eighth of the size with 15 values, once encoded; latency stays as it is",
    };
    return info;
  }
  void describe(OptionSet& o) override {
    o.add("values", values_,
          "Distinct values of a weight, zero left out; 2^b - 1 fill codes of b bits")
        .range(1, 255);
    o.add("method", method_,
          {{"auto", KMeansMethod::kAuto},
           {"exact", KMeansMethod::kExact},
           {"histogram", KMeansMethod::kHistogram}},
          "Global optimum, or the one over 65536 bins, which is faster; auto: by the number of "
          "weights");
  }

 protected:
  void prepare(Model&, PassContext&, std::vector<Layer>& selected) override {
    editor_ = analysis::WeightEditor(selected);
  }

  bool run_on_layer(Layer& layer, PassContext& context) override {
    if (editor_.is_done(layer)) {
      context.decided(layer,
                      {.method = method_name(), .detail = "shares its weight with a layer above"});
      return false;
    }
    const Tensor weight = editor_.read(layer);
    const std::vector<float> before = weight.to_float();
    refuse_useless(weight, before);

    const numerics::Codebook codebook =
        numerics::cluster_values(before, {codes(before), true, method_});
    std::vector<uint8_t> assigned(before.size());
    numerics::CodeAssigner(codebook).assign(before, assigned);
    std::vector<float> after(before.size());
    numerics::decode_codes(assigned, codebook.values, after);

    const Tensor shared = Tensor::from(weight.shape(), after).cast(weight.type());
    const ValueRef value = editor_.write(layer, shared);
    analysis::record_constraint(layer.node.graph().model(), value, ConstraintKind::kCodebook,
                                info().name);
    context.count("weights", weight.count());
    context.decided(
        layer, {.method = method_name(), .detail = describe_error(before, codebook.squared_error)});
    return true;
  }

 private:
  std::string method_name() const { return fmt::format("codebook of {}", values_); }

  /// The zero gets a code only where there is one.
  int codes(const std::vector<float>& weights) const {
    for (const float w : weights) {
      if (w == 0.0F) return values_ + 1;
    }
    return values_;
  }

  void refuse_useless(const Tensor& weight, const std::vector<float>& values) const {
    for (const float v : values) {
      if (!std::isfinite(v)) throw Unsupported("its weight holds NaN or infinite values");
    }
    const analysis::WeightFigures figures = analysis::weight_figures(weight);
    if (figures.count == 0) throw Unsupported("its weight is empty");
    if (figures.distinct == 0) return;
    const uint64_t distinct = figures.distinct - (figures.nonzeros < figures.count ? 1 : 0);
    if (distinct > static_cast<uint64_t>(values_)) return;
    throw Unsupported(fmt::format("it has {} distinct values besides zero already", distinct));
  }

  static std::string describe_error(const std::vector<float>& weights, double squared_error) {
    double signal = 0;
    for (const float w : weights) signal += static_cast<double>(w) * w;
    if (squared_error <= 0) return "no error";
    return fmt::format("{:.1f} dB", 10 * std::log10(signal / squared_error));
  }

  int values_ = 15;
  KMeansMethod method_ = KMeansMethod::kAuto;
  analysis::WeightEditor editor_;
};

}  // namespace
}  // namespace mcompress::passes

MCOMPRESS_REGISTER_PASS(share_weights, ShareWeights)
