// SPDX-License-Identifier: Apache-2.0
//
// Folds Mul, Add, Sub and Div by constants (one for all, or one per channel) into the Conv,
// ConvTranspose, Gemm or MatMul beside them, and into each other.
//
//   Before:  m = Mul(x, a)   c = Conv(m, W, b)   d = Mul(c, s)   y = Add(d, t)
//   After:   y = Conv(x, W', b')        W'[o,c] = W[o,c] a[c] s[o]      b'[o] = b[o] s[o] + t[o]
//
// A positive factor also moves through Relu, LeakyRelu, PRelu and MaxPool, any factor through
// average pools, to the layer behind or in front of them. In front of a padded Conv only the factor
// moves: s x + t = s (x + t / s), and the Add stays. Mul of Mul and Add of Add become one.
//
// `leftover: depthwise` writes what stays in front of a padded Conv as a 1x1 Conv per channel: the
// runtime keeps its blocked layout there, which an Add of a scalar makes it leave and enter again
// (measured on a text recogniser: 0.93 of the latency, 1 KB per Add).
//
// Refuses: a value that something else reads, a constant that varies along other axes or widens the
// shape, a shift in front of zero padding or a ConvTranspose, weights that are shared or stored in
// another form, and parts of a decomposed LayerNormalization, Gelu or HardSwish, which are worth
// more as a whole.
#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include "analysis/activations.h"
#include "analysis/affine.h"
#include "mcompress/pass_context.h"
#include "pass/known_types.h"
#include "pass/register.h"

namespace mcompress::passes {
namespace {

using analysis::AffineLayer;
using analysis::ChannelAffine;
using analysis::constant_operand;
using analysis::producer_of;
using analysis::sole_consumer;

constexpr int kLongestPassage = 4;

/// How a factor gets through an activation or a pool.
enum class Passage { kNone, kPositive, kAny };

/// `layout` is that of the values on both sides of the node: pools keep axis 1 and mix the later
/// ones.
Passage passage_of(const NodeRef& node, const analysis::ChannelLayout& layout) {
  if (!node || !node.domain().empty()) return Passage::kNone;
  const std::string& op = node.op();
  if (op == "Relu" || op == "LeakyRelu") return Passage::kPositive;
  if (op == "PRelu") {
    return node.input(1) && node.input(1).is_constant() ? Passage::kPositive : Passage::kNone;
  }
  if (layout.axis != 1 || layout.rank < 3) return Passage::kNone;
  if (op == "AveragePool" || op == "GlobalAveragePool") return Passage::kAny;
  if (op == "GlobalMaxPool") return Passage::kPositive;
  const ValueRef indices = node.output(1);
  const bool read = indices && (!indices.uses().empty() || indices.is_graph_output());
  return op == "MaxPool" && !read ? Passage::kPositive : Passage::kNone;
}

bool lets_through(Passage passage, const ChannelAffine& affine) {
  if (affine.has_shift() || passage == Passage::kNone) return false;
  if (passage == Passage::kAny) return true;
  return std::all_of(affine.scale.begin(), affine.scale.end(), [](double s) { return s > 0.0; });
}

/// x / sqrt(variance), in either spelling.
bool is_normalized(const ValueRef& value) {
  if (const NodeRef div = producer_of(value, "Div")) {
    return static_cast<bool>(producer_of(div.input(1), "Sqrt"));
  }
  const NodeRef mul = producer_of(value, "Mul");
  if (!mul) return false;
  for (const int i : {0, 1}) {
    const NodeRef inverse = producer_of(mul.input(i), "Reciprocal");
    if (inverse && producer_of(inverse.input(0), "Sqrt")) return true;
  }
  return false;
}

/// Scale or shift at the end of LayerNormalization, the last factor of Gelu or HardSwish: the
/// runtime and fuse-activations know these only as long as they are complete (measured: 5 to 11
/// nodes instead of one).
bool is_tail_of_fusion(const NodeRef& node, const ValueTypes& types) {
  const auto operand = constant_operand(node);
  if (!operand) return false;
  if (analysis::match_hard_sigmoid(node, types)) return true;
  if (is_normalized(operand->variable)) return true;
  const NodeRef inner = operand->variable.producer();
  if (!inner) return false;
  if (node.is("Add") && inner.is("Mul")) {
    const auto scale = constant_operand(inner);
    return scale && is_normalized(scale->variable);
  }
  if (!node.is("Mul") || !inner.is("Mul")) return false;
  for (const int i : {0, 1}) {
    const NodeRef add = producer_of(inner.input(i), "Add");
    const auto one = add ? constant_operand(add) : std::nullopt;
    if (!one) continue;
    if (producer_of(one->variable, "Erf") || producer_of(one->variable, "Tanh")) return true;
  }
  return false;
}

/// The summand of a HardSigmoid in pieces: Add, Clip, Div.
bool is_head_of_fusion(const NodeRef& node, const ValueTypes& types) {
  const NodeRef clip = sole_consumer(node.output(0));
  const NodeRef last = clip && clip.is("Clip") ? sole_consumer(clip.output(0)) : NodeRef{};
  return last && analysis::match_hard_sigmoid(last, types).has_value();
}

/// Mul and Div by a constant, or Add and Sub of one, as factor or summand; `sum` tells which.
struct Term {
  bool sum = false;
  ValueRef variable;
  Shape shape;
  std::vector<double> values;
  DataType type = DataType::kFloat;
};

std::optional<Term> term_of(const NodeRef& node) {
  if (!node || !node.domain().empty() || node.has_attribute("broadcast")) return std::nullopt;
  const std::string& op = node.op();
  const bool sum = op == "Add" || op == "Sub";
  if (!sum && op != "Mul" && op != "Div") return std::nullopt;
  const auto operand = constant_operand(node);
  if (!operand) return std::nullopt;
  const bool inverse = op == "Sub" || op == "Div";
  if (inverse && operand->constant_input == 0) return std::nullopt;
  auto values = analysis::read_floats(operand->constant);
  if (!values || values->empty()) return std::nullopt;
  if (inverse) {
    for (double& v : *values) v = sum ? -v : 1.0 / v;
  }
  const bool finite =
      std::all_of(values->begin(), values->end(), [](double v) { return std::isfinite(v); });
  if (!finite) return std::nullopt;
  return Term{sum, operand->variable, operand->constant.constant_shape(), std::move(*values),
              operand->constant.constant_type()};
}

/// `combine` over two constants of which one is a single element of no higher rank, or both alike.
template <class Combine>
std::optional<std::pair<Shape, std::vector<double>>> broadcast(const Term& a, const Term& b,
                                                               Combine combine) {
  const bool alike = a.shape == b.shape;
  const bool a_single = a.values.size() == 1 && a.shape.size() <= b.shape.size();
  const bool b_single = b.values.size() == 1 && b.shape.size() <= a.shape.size();
  if (!alike && !a_single && !b_single) return std::nullopt;
  const Term& wide = alike || b_single ? a : b;
  std::vector<double> values(wide.values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    const double x = a.values[a.values.size() == 1 ? 0 : i];
    const double y = b.values[b.values.size() == 1 ? 0 : i];
    values[i] = combine(x, y);
  }
  return std::make_pair(wide.shape, std::move(values));
}

bool fits_type(DataType type, const std::vector<double>& values) {
  const double limit = type == DataType::kFloat ? 3.4e38 : 1.7e308;
  return std::all_of(values.begin(), values.end(),
                     [limit](double v) { return std::abs(v) <= limit; });
}

/// Makes `node` compute op(variable, constant).
void rewrite_term(const NodeRef& node, bool sum, const ValueRef& variable, const Term& like,
                  const std::pair<Shape, std::vector<double>>& constant) {
  const auto operand = constant_operand(node);
  Graph& graph = node.graph();
  graph.set_constant_input(node, operand->constant_input,
                           analysis::make_floats(like.type, constant.first, constant.second));
  graph.set_input(node, 1 - operand->constant_input, variable);
  graph.set_op(node, sum ? "Add" : "Mul");
}

/// Mul(Mul(x, a), b) -> Mul(x, a b), Add(Add(x, a), b) -> Add(x, a + b).
bool merge_terms(const NodeRef& outer, const ValueTypes& types) {
  const auto second = term_of(outer);
  if (!second || !analysis::is_used_once(second->variable)) return false;
  const NodeRef inner = second->variable.producer();
  const auto first = term_of(inner);
  if (!first || first->sum != second->sum || first->type != second->type) return false;
  if (&inner.graph() != &outer.graph()) return false;
  if (is_tail_of_fusion(inner, types) || is_tail_of_fusion(outer, types)) return false;
  if (is_head_of_fusion(outer, types)) return false;
  const bool sum = first->sum;
  const auto merged =
      broadcast(*first, *second, [sum](double a, double b) { return sum ? a + b : a * b; });
  if (!merged || !fits_type(first->type, merged->second)) return false;
  for (size_t i = 0; sum && i < merged->second.size(); ++i) {
    // Summands that cancel would bring back digits that the model rounds away.
    const double a = first->values[first->values.size() == 1 ? 0 : i];
    if (std::abs(merged->second[i]) < 1e-3 * std::abs(a)) return false;
  }
  rewrite_term(outer, sum, first->variable, *first, *merged);
  analysis::erase_unread(inner);
  return true;
}

/// Folds what follows the layer, as long as something does.
int64_t fold_following(const Layer& layer, const ValueTypes& types) {
  int64_t folded = 0;
  while (layer.node.alive()) {
    auto target = AffineLayer::make(layer, types);
    if (!target) break;
    NodeRef last = target->result_node();
    Passage passage = Passage::kAny;
    NodeRef next = sole_consumer(last.output(0));
    std::optional<ChannelAffine> affine;
    for (int i = 0; i < kLongestPassage && next; ++i) {
      affine = analysis::as_affine(next, target->output_layout());
      const Passage through = affine ? Passage::kNone : passage_of(next, target->output_layout());
      if (affine || through == Passage::kNone) break;
      if (through == Passage::kPositive) passage = Passage::kPositive;
      last = next;
      next = sole_consumer(last.output(0));
    }
    if (!affine) break;
    if (is_head_of_fusion(next, types)) break;
    const bool direct = last == target->result_node();
    if (!direct && !lets_through(passage, *affine)) break;
    const ValueRef output = next.output(0);
    if (!target->fold_after(*affine).empty()) break;
    if (direct) {
      next.graph().set_input(next, constant_operand(next)->constant_input == 0 ? 1 : 0,
                             target->result());
      last = target->result_node();
    }
    analysis::take_over(last, output);
    ++folded;
  }
  return folded;
}

/// What stands in front of a layer, looking through activations and pools that let a factor pass.
struct Preceding {
  NodeRef node;
  NodeRef reader;  ///< reads the node's output: the layer, or the last node of the passage
  Passage passage = Passage::kAny;
  bool direct = true;
};

Preceding find_preceding(const AffineLayer& target) {
  Preceding found;
  found.reader = target.layer().node;
  for (int i = 0; i < kLongestPassage; ++i) {
    const ValueRef value = found.reader.input(0);
    if (!analysis::is_used_once(value)) return {};
    const NodeRef node = value.producer();
    if (!node || &node.graph() != &found.reader.graph()) return {};
    const Passage passage = passage_of(node, target.input_layout());
    if (passage == Passage::kNone) {
      found.node = node;
      return found;
    }
    if (passage == Passage::kPositive) found.passage = Passage::kPositive;
    found.direct = false;
    found.reader = node;
  }
  return {};
}

/// Add(Mul(x, s), t) in front of padding: the factor goes into the layer, Add(x, t / s) stays.
bool fold_factor_below_sum(AffineLayer& target, const Preceding& sum, const ValueTypes& types) {
  const auto shift = term_of(sum.node);
  if (!shift || !shift->sum || !analysis::is_used_once(shift->variable)) return false;
  const NodeRef product = shift->variable.producer();
  const auto factor = term_of(product);
  if (!factor || factor->sum || factor->type != shift->type) return false;
  if (&product.graph() != &sum.node.graph() || is_tail_of_fusion(product, types)) return false;
  const auto affine = analysis::as_affine(product, target.input_layout());
  if (!affine || !(sum.direct || lets_through(sum.passage, *affine))) return false;
  const auto quotient = broadcast(*shift, *factor, [](double t, double s) { return t / s; });
  if (!quotient || !fits_type(shift->type, quotient->second)) return false;
  if (!target.fold_before(*affine).empty()) return false;
  rewrite_term(sum.node, true, factor->variable, *shift, *quotient);
  analysis::erase_unread(product);
  return true;
}

int64_t fold_preceding(const Layer& layer, const ValueTypes& types) {
  int64_t folded = 0;
  while (layer.node.alive()) {
    auto target = AffineLayer::make(layer, types);
    if (!target) break;
    const Preceding found = find_preceding(*target);
    if (!found.node || is_tail_of_fusion(found.node, types)) break;
    const auto affine = analysis::as_affine(found.node, target->input_layout());
    if (!affine) break;
    const bool passes = found.direct || lets_through(found.passage, *affine);
    if (passes && target->fold_before(*affine).empty()) {
      found.node.graph().set_input(found.reader, 0, constant_operand(found.node)->variable);
      analysis::erase_unread(found.node);
    } else if (!found.direct || !fold_factor_below_sum(*target, found, types)) {
      break;
    }
    ++folded;
  }
  return folded;
}

/// Add(x, t) in front of a padded Conv -> Conv<group = channels>(x, ones, t).
bool spread_leftover(const Layer& layer, const ValueTypes& types) {
  if (layer.kind != LayerKind::kConv || layer.weight_shape.size() != 4) return false;
  if (!layer.node.alive() || layer.inputs % 8 != 0)
    return false;  // else there is no blocked layout
  const auto target = AffineLayer::make(layer, types);
  if (!target || layer.weight.constant_type() != DataType::kFloat) return false;
  const Preceding found = find_preceding(*target);
  if (!found.node || !found.direct || is_tail_of_fusion(found.node, types)) return false;
  const auto affine = analysis::as_affine(found.node, target->input_layout());
  const ValueRef input = affine ? constant_operand(found.node)->variable : ValueRef{};
  if (!input || !input.producer()) return false;
  const auto per_channel = [&layer](const std::vector<double>& values) {
    return values.size() == 1 ? std::vector<double>(static_cast<size_t>(layer.inputs), values[0])
                              : values;
  };
  const int64_t channels = layer.inputs;
  const Tensor weight =
      analysis::make_floats(DataType::kFloat, {channels, 1, 1, 1}, per_channel(affine->scale));
  const Tensor bias =
      analysis::make_floats(DataType::kFloat, {channels}, per_channel(affine->shift));
  Graph& graph = layer.node.graph();
  const std::string name = found.node.output_name(0);
  NodeSpec spec{.op = "Conv",
                .inputs = {input, graph.add_constant(name + "_scale", weight),
                           graph.add_constant(name + "_shift", bias)}};
  spec.attributes = {{"group", channels}, {"kernel_shape", std::vector<int64_t>{1, 1}}};
  analysis::take_over(graph.insert(std::move(spec), found.node), found.node.output(0));
  return true;
}

enum class Leftover { kKeep, kDepthwise };

class FoldAffine : public Pass {
 public:
  const PassInfo& info() const override {
    static const PassInfo info{
        .name = "fold-affine",
        .summary = "fold Mul, Add, Sub and Div by constants into the layers beside them",
        .fidelity = Fidelity::kRounding,
        .benefit = "fewer nodes; a fifth of the latency where an exporter left one per layer",
    };
    return info;
  }
  void describe(OptionSet& o) override {
    o.add(
        "leftover", leftover_, {{"keep", Leftover::kKeep}, {"depthwise", Leftover::kDepthwise}},
        "What cannot be folded in front of a padded Conv: as it is, or as a 1x1 Conv per channel");
  }
  bool acts_on_layers() const override { return true; }

  bool run(Model& model, PassContext& context) override {
    const ValueTypes types = known_types(model, context);
    int64_t folded = 0, merged = 0, spread = 0;
    for (bool again = true; again;) {
      const int64_t before = folded + merged;
      for (Graph* graph : model.graphs()) {
        for (const NodeRef node : graph->nodes()) merged += merge_terms(node, types) ? 1 : 0;
      }
      const std::vector<Layer> layers = find_layers(model);
      for (size_t i = 0; i < layers.size(); ++i) {
        if (!context.selection().reason_to_skip(layers, i).empty()) continue;
        const int64_t count = fold_following(layers[i], types) + fold_preceding(layers[i], types);
        if (count > 0) context.decided(layers[i], {.method = "affine folded", .detail = ""});
        folded += count;
      }
      again = folded + merged > before;
    }
    if (leftover_ == Leftover::kDepthwise) {
      const std::vector<Layer> layers = find_layers(model);
      for (size_t i = 0; i < layers.size(); ++i) {
        if (!context.selection().reason_to_skip(layers, i).empty()) continue;
        spread += spread_leftover(layers[i], types) ? 1 : 0;
      }
    }
    context.count("folded into a layer", folded);
    context.count("merged with another", merged);
    context.count("written as a depthwise Conv", spread);
    return folded + merged + spread > 0;
  }

 private:
  Leftover leftover_ = Leftover::kKeep;
};

}  // namespace
}  // namespace mcompress::passes

MCOMPRESS_REGISTER_PASS(fold_affine, FoldAffine)
