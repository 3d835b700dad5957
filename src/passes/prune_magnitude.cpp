// SPDX-License-Identifier: Apache-2.0
//
// Sets the weights of least magnitude to zero.
//
//   Before:  y = MatMul(x, W)    W = [0.9, 0.1, -0.5, 0.2]
//   After:   y = MatMul(x, W)    W = [0.9, 0, -0.5, 0]          (sparsity 0.5)
//
// local: each layer loses the same part. global: one threshold over all layers. lamp: one threshold
// over w^2 / sum of u^2 over |u| >= |w|, which balances layers by itself (arXiv 2010.07611). Counts
// are exact, no layer loses all its weights, and under a common threshold every output keeps its
// best one.
//
// N:M keeps the N best of M consecutive input channels. RxC prunes whole blocks of R rows and C
// columns of the weight, all axes but the first taken together. Biases and normalizations are never
// touched. Layers that share a weight go on sharing it. Encoded weights are decoded; encode-weights
// packs the zeros.
//
// Refuses: quantized weights, weights that unselected nodes read too, NaN, N:M with fewer than M
// channels.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include <fmt/format.h>

#include "analysis/layer_matrix.h"
#include "analysis/weight_editor.h"
#include "mcompress/pass_context.h"
#include "numerics/sparsity.h"
#include "pass/register.h"
#include "quantization/pruning.h"

namespace mcompress::passes {
namespace {

using numerics::Mask;
using numerics::ReductionLayout;

enum class Scope { kLocal, kGlobal, kLamp };

struct Pattern {
  enum class Kind { kUnknown, kUnstructured, kNofM, kBlock } kind = Kind::kUnknown;
  int first = 0, second = 0;  ///< N and M, or rows and columns
};

Pattern parse_pattern(const std::string& text) {
  if (text == "unstructured") return {Pattern::Kind::kUnstructured};
  const size_t at = text.find_first_of(":x");
  const auto is_number = [](std::string_view part) {
    return !part.empty() && part.size() < 5 && part.find_first_not_of("0123456789") == part.npos;
  };
  if (at == text.npos) return {};
  const std::string left = text.substr(0, at), right = text.substr(at + 1);
  if (!is_number(left) || !is_number(right)) return {};
  const int a = std::stoi(left), b = std::stoi(right);
  const bool n_of_m = text[at] == ':';
  if (a < 1 || b < 1 || (n_of_m && a >= b)) return {};
  return {n_of_m ? Pattern::Kind::kNofM : Pattern::Kind::kBlock, a, b};
}

bool has_nan(const std::vector<float>& values) {
  for (const float v : values) {
    if (std::isnan(v)) return true;
  }
  return false;
}

bool has_infinity(const std::vector<float>& values) {
  return std::any_of(values.begin(), values.end(), [](float v) { return std::isinf(v); });
}

/// Zeroes what the mask prunes, in any floating type. Returns whether a byte changed.
bool apply(const Mask& mask, Tensor& weight) {
  const size_t width = weight.byte_size() / mask.size();
  const std::vector<std::byte> zero(width, std::byte{0});
  bool changed = false;
  for (size_t i = 0; i < mask.size(); ++i) {
    if (mask[i] != 0 || std::memcmp(weight.bytes().data() + i * width, zero.data(), width) == 0)
      continue;
    std::memset(weight.mutate().data() + i * width, 0, width);
    changed = true;
  }
  return changed;
}

class PruneMagnitude : public LayerPass {
 public:
  const PassInfo& info() const override {
    static const PassInfo info{
        .name = "prune-magnitude",
        .summary = "set the weights of least magnitude to zero",
        .fidelity = Fidelity::kLossy,
        .cost = "accuracy: little up to half of the weights, fine-tune beyond",
        .benefit = "smaller file once encoded; latency stays as it is",
    };
    return info;
  }
  void describe(OptionSet& o) override {
    o.add("sparsity", sparsity_,
          "Part of the weights that becomes zero; auto: 0.5, or what the pattern says", {"auto"})
        .range(0, 1);
    o.add("scope", scope_,
          {{"local", Scope::kLocal}, {"global", Scope::kGlobal}, {"lamp", Scope::kLamp}},
          "Each layer alone, one threshold for all, or one threshold balanced over layers");
    o.add("pattern", pattern_text_,
          "unstructured; N:M such as 2:4; or blocks of ROWSxCOLUMNS such as 4x4");
    o.add("max-layer-sparsity", max_layer_sparsity_,
          "Most that one layer loses; auto: 0.98 under a common threshold", {"auto"})
        .range(0, 1);
  }
  std::string check_options() const override {
    const Pattern pattern = parse_pattern(pattern_text_);
    if (pattern.kind == Pattern::Kind::kUnknown) {
      return "pattern '" + pattern_text_ +
             "' is none of unstructured, N:M (2:4) and ROWSxCOLUMNS (4x4)";
    }
    if (pattern.kind == Pattern::Kind::kNofM && sparsity_) {
      return "pattern " + pattern_text_ + " says the sparsity; leave sparsity out";
    }
    if (pattern.kind != Pattern::Kind::kUnstructured && scope_ != Scope::kLocal) {
      return "pattern " + pattern_text_ + " needs scope: local";
    }
    return "";
  }

 protected:
  void prepare(Model&, PassContext& context, std::vector<Layer>& selected) override {
    editor_ = analysis::WeightEditor(selected);
    pattern_ = parse_pattern(pattern_text_);
    crosswise_ = quantization::crosswise_readers(selected);
    if (scope_ != Scope::kLocal) choose_together(selected, context);
  }

  bool run_on_layer(Layer& layer, PassContext& context) override {
    if (editor_.is_done(layer)) {
      context.decided(layer,
                      {.method = "pruned", .detail = "shares its weight with a layer above"});
      if (is_n_of_m() && crosswise_.count(layer.output) != 0) {
        context.note(quantization::crosswise_note(layer, kept()));
      }
      return false;
    }
    Tensor weight = editor_.read(layer);
    const Mask mask = mask_of(layer, weight);
    if (is_n_of_m()) note_tail(layer, context);
    const bool changed = apply(mask, weight);
    ValueRef value = layer.weight;
    if (changed) value = editor_.write(layer, weight);
    editor_.set_done(layer);
    analysis::record_constraint(layer.node.graph().model(), value, ConstraintKind::kMask,
                                info().name);
    const int64_t zeros = numerics::count_zeros(weight.to_float());
    context.count("weights", weight.count());
    context.count("zeros", zeros);
    context.decided(layer,
                    {.method = "pruned " + pattern_text_,
                     .detail = fmt::format("{} of {} weights are zero", zeros, weight.count())});
    return changed;
  }

 private:
  bool is_n_of_m() const { return pattern_.kind == Pattern::Kind::kNofM; }
  quantization::KeptOf kept() const { return {pattern_.first, pattern_.second}; }
  void note_tail(const Layer& layer, PassContext& context) const {
    const std::string text = quantization::tail_note(layer, kept());
    if (!text.empty()) context.note(text);
  }
  double sparsity() const { return sparsity_.value_or(0.5); }
  double most() const { return max_layer_sparsity_.value_or(scope_ == Scope::kLocal ? 1.0 : 0.98); }
  /// Part of a layer that may go so that a weight is left.
  double cap(int64_t count) const {
    return std::min(most(), (static_cast<double>(count) - 0.5) / static_cast<double>(count));
  }

  static std::vector<float> read_scores(const Tensor& weight, Scope scope) {
    const std::vector<float> values = weight.to_float();
    if (values.empty()) throw Unsupported("its weight is empty");
    if (has_nan(values)) throw Unsupported("its weight holds NaN");
    if (scope == Scope::kLamp && has_infinity(values))
      throw Unsupported("its weight holds infinity, which scope: lamp cannot weigh");
    if (scope != Scope::kLamp) return numerics::magnitude_scores(values);
    if (weight.count() >= int64_t{std::numeric_limits<uint32_t>::max()}) {
      throw Unsupported("its weight is too large for scope: lamp");
    }
    return numerics::lamp_scores(values);
  }

  /// One threshold: masks of all layers that can be pruned, by output.
  void choose_together(const std::vector<Layer>& selected, PassContext& context) {
    std::vector<std::vector<float>> scores;
    std::vector<ReductionLayout> layouts;
    std::vector<const Layer*> chosen;
    std::map<std::pair<const Graph*, std::string>, bool> seen;
    int64_t count = 0;
    for (const Layer& layer : selected) {
      if (!seen.insert({{&layer.weight.scope(), layer.weight.name()}, true}).second) continue;
      try {
        scores.push_back(read_scores(editor_.read(layer), scope_));
      } catch (const Unsupported&) {
        continue;  // the loop over layers meets it again and tells
      }
      layouts.push_back(analysis::reduction_layout(layer));
      chosen.push_back(&layer);
      count += layer.weight_count();
    }
    std::vector<numerics::ScoredLayer> scored;
    for (size_t i = 0; i < chosen.size(); ++i) {
      scored.push_back({scores[i], cap(chosen[i]->weight_count()), &layouts[i]});
    }
    const int64_t wanted = numerics::prune_count(count, sparsity());
    std::vector<Mask> masks = numerics::prune_lowest(scored, wanted);
    int64_t pruned = 0;
    for (size_t i = 0; i < chosen.size(); ++i) {
      pruned += std::count(masks[i].begin(), masks[i].end(), uint8_t{0});
      masks_[chosen[i]->output + "/" + chosen[i]->weight.name()] = std::move(masks[i]);
    }
    if (pruned < wanted) {
      context.warn(fmt::format(
          "{} weights were pruned where sparsity {} asks for {}: each layer keeps at least "
          "{:.3g} % and each output a weight",
          pruned, sparsity(), wanted, 100 * (1 - most())));
    }
  }

  Mask mask_of(const Layer& layer, const Tensor& weight) const {
    if (scope_ != Scope::kLocal) {
      const auto known = masks_.find(layer.output + "/" + layer.weight.name());
      if (known == masks_.end()) {
        read_scores(weight, scope_);  // says why it has none
        throw Unsupported("its weight has no scores");
      }
      return known->second;
    }
    const std::vector<float> scores = read_scores(weight, scope_);
    const auto count = static_cast<int64_t>(scores.size());
    if (is_n_of_m()) return n_of_m(layer, scores);
    if (pattern_.kind == Pattern::Kind::kBlock) return blocks(layer, scores);
    const numerics::ScoredLayer scored{scores, cap(count), nullptr};
    return numerics::prune_lowest({&scored, 1}, numerics::prune_count(count, sparsity()))[0];
  }

  Mask n_of_m(const Layer& layer, const std::vector<float>& scores) const {
    const ReductionLayout layout = analysis::reduction_layout(layer);
    if (layer.kind == LayerKind::kEmbedding)
      throw Unsupported("an embedding has no input channels to choose from");
    const bool stack = layer.weight_shape.size() > 2 && layer.kind == LayerKind::kMatMul;
    const bool mixed = layer.kind == LayerKind::kConvTranspose && layer.groups > 1;
    if (stack || mixed) throw Unsupported("N:M is for one matrix, and its weight is several");
    if (layout.channels < pattern_.second) {
      throw Unsupported(fmt::format("pattern {} needs {} input channels, it has {}", pattern_text_,
                                    pattern_.second, layout.channels));
    }
    return numerics::n_of_m_mask(scores, layout, pattern_.first, pattern_.second);
  }

  Mask blocks(const Layer& layer, const std::vector<float>& scores) const {
    const int64_t rows = layer.weight_shape[0];
    const int64_t columns = layer.weight_count() / rows;
    const int64_t count = numerics::block_count(rows, columns, pattern_.first, pattern_.second);
    if (count < 2) throw Unsupported("its weight is a single block of " + pattern_text_);
    const auto limit = static_cast<int64_t>(cap(count) * static_cast<double>(count));
    const int64_t prune = std::min(numerics::prune_count(count, sparsity()), limit);
    return numerics::block_mask(scores, rows, columns, pattern_.first, pattern_.second, prune);
  }

  std::optional<double> sparsity_;
  Scope scope_ = Scope::kLocal;
  std::string pattern_text_ = "unstructured";
  std::optional<double> max_layer_sparsity_;
  Pattern pattern_;
  analysis::WeightEditor editor_;
  std::set<std::string> crosswise_;
  std::map<std::string, Mask> masks_;  ///< of a common threshold, by layer
};

}  // namespace
}  // namespace mcompress::passes

MCOMPRESS_REGISTER_PASS(prune_magnitude, PruneMagnitude)
