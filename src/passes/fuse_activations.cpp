// SPDX-License-Identifier: Apache-2.0
//
// Writes activations and normalizations that come in pieces in the form that the runtime runs
// fastest.
//
//   Before:  a = Add(x, 3)   c = Clip(a, 0, 6)   m = Mul(x, c)   y = Div(m, 6)
//   After:   s = HardSigmoid<alpha=1/6, beta=1/2>(x)   y = Mul(x, s)
//
// Measured with ONNX Runtime 1.30, one thread: a Conv takes HardSigmoid + Mul into itself and keeps
// its blocked layout, at 0.65 of the time of the pieces; the HardSwish operator is no faster and
// needs opset 14. Sigmoid + Mul becomes one QuickGelu. Gelu is fused only as Div, Erf, Add, Mul,
// Mul and, for tanh, with Pow; LayerNormalization only with Pow and Div: other spellings are put
// into these (Gelu and LayerNormalization operators where the opset has them). No opset is raised.
//
//   HardSigmoid  Clip(a x + b, 0, h) / h          -> HardSigmoid<a/h, b/h>
//   Sigmoid      1 / (1 + Exp(-x))                -> Sigmoid
//   Swish        x / (1 + Exp(-x))                -> Mul(x, Sigmoid(x))
//   Clip         Min(Max(x, a), b)                -> Clip
//   LeakyRelu    Max(x, a x)                      -> LeakyRelu
//
// Refuses: inner values with other readers, bounds that are no constants, types but float (Sigmoid
// and Clip exist for double as well).
#include <cmath>
#include <vector>

#include "analysis/activations.h"
#include "analysis/patterns.h"
#include "mcompress/pass_context.h"
#include "pass/known_types.h"
#include "pass/register.h"

namespace mcompress::passes {
namespace {

using analysis::make_floats;

/// Inserts nodes in front of the last one of a pattern.
class Builder {
 public:
  Builder(const NodeRef& root, DataType type) : root_(root), graph_(root.graph()), type_(type) {}

  ValueRef node(std::string op, std::vector<ValueRef> inputs,
                std::vector<Attribute> attributes = {}) {
    NodeSpec spec{.op = std::move(op), .inputs = std::move(inputs)};
    spec.attributes = std::move(attributes);
    return graph_.insert(std::move(spec), root_).output(0);
  }
  ValueRef scalar(std::string_view hint, double value) {
    return graph_.add_constant(hint, make_floats(type_, {}, {value}));
  }
  /// The pattern's last value is computed by the node of `value` from now on.
  void finish(const ValueRef& value) { analysis::take_over(value.producer(), root_.output(0)); }

 private:
  NodeRef root_;
  Graph& graph_;
  DataType type_;
};

float to_float(double value) { return static_cast<float>(value); }

class FuseActivations : public Pass {
 public:
  const PassInfo& info() const override {
    static const PassInfo info{
        .name = "fuse-activations",
        .summary =
            "write decomposed activations and normalizations in the form the runtime runs fastest",
        .fidelity = Fidelity::kRounding,
        .benefit = "HardSwish in pieces costs a third of the time of a mobile network",
    };
    return info;
  }
  void describe(OptionSet&) override {}

  bool run(Model& model, PassContext& context) override {
    types_ = known_types(model, context);
    opset_ = model.opset();
    if (opset_ < 6) return false;  // attributes and broadcasting had other rules
    int64_t fused = 0;
    for (Graph* graph : model.graphs()) {
      for (const NodeRef node : graph->nodes()) {
        const char* const what = rewrite(node);
        if (what == nullptr) continue;
        context.count(what);
        ++fused;
      }
    }
    types_ = {};
    return fused > 0;
  }

 private:
  /// Name of what was found and rewritten, or null.
  const char* rewrite(const NodeRef& root) const {
    if (!root.domain().empty() || root.output_count() == 0) return nullptr;
    if (hard_sigmoid(root)) return "hard sigmoid";
    if (sigmoid(root)) return "sigmoid";
    if (gelu(root)) return "gelu";
    if (layer_norm(root)) return "layer normalization";
    if (clip(root)) return "clip";
    if (leaky_relu(root)) return "leaky relu";
    return nullptr;
  }

  bool hard_sigmoid(const NodeRef& root) const {
    const auto pattern = analysis::match_hard_sigmoid(root, types_);
    if (!pattern || pattern->type != DataType::kFloat) return false;
    Builder build(root, DataType::kFloat);
    ValueRef result =
        build.node("HardSigmoid", {pattern->input},
                   {{"alpha", to_float(pattern->alpha)}, {"beta", to_float(pattern->beta)}});
    if (pattern->times_input) result = build.node("Mul", {pattern->input, result});
    build.finish(result);
    return true;
  }

  bool sigmoid(const NodeRef& root) const {
    const auto pattern = analysis::match_sigmoid(root);
    if (!pattern) return false;
    Builder build(root, DataType::kFloat);
    ValueRef result = build.node("Sigmoid", {pattern->input});
    if (pattern->times_input) result = build.node("Mul", {pattern->input, result});
    build.finish(result);
    return true;
  }

  bool gelu(const NodeRef& root) const {
    const auto pattern = analysis::match_gelu(root);
    if (!pattern || pattern->type != DataType::kFloat) return false;
    Builder build(root, pattern->type);
    const ValueRef x = pattern->input;
    if (opset_ >= 20) {
      std::vector<Attribute> attributes;
      if (pattern->tanh) attributes.push_back({"approximate", std::string("tanh")});
      build.finish(build.node("Gelu", {x}, std::move(attributes)));
      return true;
    }
    if (pattern->is_canonical || (pattern->tanh && opset_ < 7)) return false;
    if (pattern->tanh) {
      const ValueRef cube = build.node("Pow", {x, build.scalar("gelu_three", 3.0)});
      const ValueRef small = build.node("Mul", {cube, build.scalar("gelu_cube_factor", 0.044715)});
      const ValueRef sum = build.node("Add", {x, small});
      const ValueRef argument =
          build.node("Mul", {sum, build.scalar("gelu_sqrt_2_over_pi", 0.7978845608028654)});
      const ValueRef gate =
          build.node("Add", {build.node("Tanh", {argument}), build.scalar("gelu_one", 1.0)});
      const ValueRef half = build.node("Mul", {x, build.scalar("gelu_half", 0.5)});
      build.finish(build.node("Mul", {half, gate}));
      return true;
    }
    const ValueRef argument = build.node("Div", {x, build.scalar("gelu_sqrt_2", std::sqrt(2.0))});
    const ValueRef gate =
        build.node("Add", {build.node("Erf", {argument}), build.scalar("gelu_one", 1.0)});
    const ValueRef product = build.node("Mul", {x, gate});
    build.finish(build.node("Mul", {product, build.scalar("gelu_half", 0.5)}));
    return true;
  }

  bool layer_norm(const NodeRef& root) const {
    const auto pattern = analysis::match_layer_norm(root, types_);
    if (!pattern || pattern->type != DataType::kFloat) return false;
    if (opset_ >= 17) return layer_norm_operator(root, *pattern);
    if (!pattern->scale || pattern->is_canonical) return false;
    return respell_layer_norm(*pattern);
  }

  bool layer_norm_operator(const NodeRef& root, const analysis::LayerNormPattern& pattern) const {
    Graph& graph = root.graph();
    const ValueType type = types_.find(pattern.input);
    const int64_t width = type.known_rank && !type.shape.empty() ? type.shape.back() : -1;
    if (!pattern.scale && (width <= 0 || continues_as_affine(root))) return false;
    if (pattern.scale && pattern.scale->count() == 1 && width != 1) return false;
    const Tensor scale =
        pattern.scale
            ? *pattern.scale
            : Tensor::from(Shape{width}, std::vector<float>(static_cast<size_t>(width), 1.0F));
    std::vector<ValueRef> inputs = {pattern.input, graph.add_constant("layer_norm_scale", scale)};
    if (pattern.shift) inputs.push_back(graph.add_constant("layer_norm_bias", *pattern.shift));
    Builder build(root, pattern.type);
    build.finish(build.node("LayerNormalization", std::move(inputs),
                            {{"axis", int64_t{-1}}, {"epsilon", to_float(pattern.epsilon)}}));
    return true;
  }

  /// The scale and shift of the whole normalization follow; they are matched at their last node.
  static bool continues_as_affine(const NodeRef& root) {
    const NodeRef next = analysis::sole_consumer(root.output(0));
    return next && next.is("Mul") && analysis::constant_operand(next).has_value();
  }

  /// Pow for the square, Div for the quotient: then the runtime sees the whole.
  static bool respell_layer_norm(const analysis::LayerNormPattern& pattern) {
    if (pattern.square.is("Mul")) {
      Builder build(pattern.square, pattern.type);
      build.finish(
          build.node("Pow", {pattern.square.input(0), build.scalar("layer_norm_two", 2.0)}));
    }
    if (pattern.quotient.is("Mul")) {
      Builder build(pattern.quotient, pattern.type);
      build.finish(build.node("Div", {pattern.difference, pattern.deviation}));
    }
    return true;
  }

  bool clip(const NodeRef& root) const {
    const auto pattern = analysis::match_clip(root);
    if (!pattern || pattern->is_plain) return false;
    if (opset_ < 11 && pattern->type != DataType::kFloat) return false;
    Builder build(root, pattern->type);
    if (opset_ < 11) {
      build.finish(build.node("Clip", {pattern->input},
                              {{"min", to_float(pattern->low)}, {"max", to_float(pattern->high)}}));
    } else {
      build.finish(build.node("Clip", {pattern->input, build.scalar("clip_min", pattern->low),
                                       build.scalar("clip_max", pattern->high)}));
    }
    return true;
  }

  bool leaky_relu(const NodeRef& root) const {
    const auto pattern = analysis::match_leaky_relu(root);
    if (!pattern || pattern->type != DataType::kFloat) return false;
    Builder build(root, DataType::kFloat);
    build.finish(build.node("LeakyRelu", {pattern->input}, {{"alpha", to_float(pattern->slope)}}));
    return true;
  }

  ValueTypes types_;
  int64_t opset_ = 0;
};

}  // namespace
}  // namespace mcompress::passes

MCOMPRESS_REGISTER_PASS(fuse_activations, FuseActivations)
