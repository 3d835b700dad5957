// SPDX-License-Identifier: Apache-2.0
#include "analysis/activations.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "analysis/patterns.h"

namespace mcompress::analysis {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kSqrtHalf = 0.70710678118654752440;
constexpr double kSqrtTwoOverPi = 0.79788456080286535588;
constexpr double kCubeFactor = 0.044715;

bool in_same_graph(const NodeRef& a, const NodeRef& b) { return &a.graph() == &b.graph(); }

/// A node with one scalar constant operand.
struct ScalarOperand {
  double value = 0;
  ValueRef variable;
  int constant_input = 1;
  DataType type = DataType::kFloat;
  size_t rank = 0;  ///< of the constant
};
std::optional<ScalarOperand> scalar_operand(const NodeRef& node) {
  if (!node || !node.domain().empty()) return std::nullopt;
  const auto operand = constant_operand(node);
  if (!operand) return std::nullopt;
  const auto value = read_scalar(operand->constant);
  if (!value) return std::nullopt;
  return ScalarOperand{*value, operand->variable, operand->constant_input,
                       operand->constant.constant_type(),
                       operand->constant.constant_shape().size()};
}

/// The producer of an inner value of a pattern: nobody else reads it.
NodeRef inner_producer(const ValueRef& value, const NodeRef& reader) {
  if (!value || !is_used_once(value)) return {};
  const NodeRef node = value.producer();
  return node && node.domain().empty() && in_same_graph(node, reader) ? node : NodeRef{};
}

bool is_inner(const ValueRef& value, const NodeRef& reader, std::string_view op) {
  const NodeRef node = inner_producer(value, reader);
  return node && node.is(op);
}

/// y = scale x + shift through scalar Add, Sub, Mul, Div; x is what is left when no more of them
/// come.
struct Linear {
  ValueRef input;
  double scale = 1;
  double shift = 0;
  size_t rank = 0;  ///< highest of the constants
  DataType type = DataType::kUndefined;
};
Linear read_linear(const ValueRef& value, const NodeRef& reader) {
  Linear line{value};
  for (;;) {
    const NodeRef node = inner_producer(line.input, reader);
    const auto operand = scalar_operand(node);
    if (!operand) return line;
    const std::string& op = node.op();
    if (op == "Add" || op == "Sub") {
      const bool negated = op == "Sub" && operand->constant_input == 0;
      line.shift += line.scale * (op == "Sub" && !negated ? -operand->value : operand->value);
      if (negated) line.scale = -line.scale;
    } else if (op == "Mul") {
      line.scale *= operand->value;
    } else if (op == "Div" && operand->constant_input == 1 && operand->value != 0.0) {
      line.scale /= operand->value;
    } else {
      return line;
    }
    line.rank = std::max(line.rank, operand->rank);
    line.type = operand->type;
    line.input = operand->variable;
  }
}

/// A constant of rank 1 turns a scalar into a vector; known types rule that out.
bool keeps_rank(const ValueRef& input, size_t rank, const ValueTypes& types) {
  return rank == 0 || types.find(input).rank() >= static_cast<int>(rank);
}

/// Value as a product of factors and a number, looking through Mul and Div by constants that nobody
/// else reads.
struct Product {
  double number = 1;
  std::vector<ValueRef> factors;
  DataType type = DataType::kUndefined;  ///< of the number
  size_t rank = 0;
};
void collect_factors(const NodeRef& node, Product& product);
void collect_value(const ValueRef& value, const NodeRef& reader, Product& product) {
  const NodeRef node = inner_producer(value, reader);
  if (node && (node.is("Mul") || (node.is("Div") && scalar_operand(node) &&
                                  scalar_operand(node)->constant_input == 1))) {
    collect_factors(node, product);
  } else {
    product.factors.push_back(value);
  }
}
void collect_factors(const NodeRef& node, Product& product) {
  if (product.factors.size() > 8) return;
  if (const auto operand = scalar_operand(node)) {
    product.number =
        node.is("Div") ? product.number / operand->value : product.number * operand->value;
    product.type = operand->type;
    product.rank = std::max(product.rank, operand->rank);
    collect_value(operand->variable, node, product);
    return;
  }
  collect_value(node.input(0), node, product);
  collect_value(node.input(1), node, product);
}
Product read_product(const ValueRef& value, const NodeRef& reader) {
  Product product;
  collect_value(value, reader, product);
  return product;
}

/// u = x / sqrt 2; tells whether it is written as a Div, which is what the runtime looks for.
bool is_gelu_argument(const ValueRef& value, const NodeRef& reader, const ValueRef& x,
                      bool& by_div) {
  const NodeRef node = inner_producer(value, reader);
  const auto operand = scalar_operand(node);
  if (!operand || operand->variable != x) return false;
  by_div = node.is("Div") && operand->constant_input == 1;
  if (by_div) return is_close(operand->value, 1.0 / kSqrtHalf);
  return node.is("Mul") && is_close(operand->value, kSqrtHalf);
}

bool is_cube(const Product& product, const ValueRef& x, bool& by_pow) {
  by_pow = false;
  if (product.factors.size() == 3) {
    return std::all_of(product.factors.begin(), product.factors.end(),
                       [&x](const ValueRef& f) { return f == x; });
  }
  if (product.factors.size() != 1) return false;
  const NodeRef pow = producer_of(product.factors[0], "Pow");
  if (!pow || pow.input(0) != x) return false;
  const auto exponent = read_scalar(pow.input(1));
  by_pow = exponent && *exponent == 3.0;
  return by_pow;
}

/// v = sqrt(2/pi) (x + 0.044715 x^3), or sqrt(2/pi) x (1 + 0.044715 x^2).
bool is_tanh_argument(const ValueRef& value, const NodeRef& reader, const ValueRef& x,
                      bool& by_pow) {
  by_pow = false;
  const Product outer = read_product(value, reader);
  if (!is_close(outer.number, kSqrtTwoOverPi)) return false;
  if (outer.factors.size() == 1) {
    const NodeRef sum = producer_of(outer.factors[0], "Add");
    if (!sum || !is_used_once(outer.factors[0])) return false;
    for (const int i : {0, 1}) {
      if (sum.input(i) != x) continue;
      const Product cube = read_product(sum.input(1 - i), sum);
      if (is_close(cube.number, kCubeFactor) && is_cube(cube, x, by_pow)) return true;
    }
    return false;
  }
  if (outer.factors.size() != 2) return false;
  for (const size_t i : {size_t{0}, size_t{1}}) {
    if (outer.factors[i] != x || !is_used_once(outer.factors[1 - i])) continue;
    const NodeRef sum = producer_of(outer.factors[1 - i], "Add");
    const auto one = scalar_operand(sum);
    if (!one || one->value != 1.0) continue;
    const Product square = read_product(one->variable, sum);
    if (!is_close(square.number, kCubeFactor)) continue;
    if (square.factors.size() == 2 && square.factors[0] == x && square.factors[1] == x) return true;
    const NodeRef pow =
        square.factors.size() == 1 ? producer_of(square.factors[0], "Pow") : NodeRef{};
    if (pow && pow.input(0) == x && read_scalar(pow.input(1)) == 2.0) return true;
  }
  return false;
}

/// ReduceMean over the last axis, dimension kept.
NodeRef mean_over_last(const ValueRef& value, const ValueTypes& types) {
  const NodeRef node = producer_of(value, "ReduceMean");
  if (!node || node.attribute("keepdims", int64_t{1}) != 1) return {};
  std::vector<int64_t> axes = node.attribute_ints("axes");
  if (axes.empty() && node.input(1)) {
    if (auto read = read_integers(node.input(1))) axes = std::move(*read);
  }
  if (axes.size() != 1) return {};
  const int rank = types.find(node.input(0)).rank();
  return axes[0] == -1 || (rank > 0 && axes[0] == rank - 1) ? node : NodeRef{};
}

/// x - mean(x) over the last axis; empty when it is something else.
ValueRef centred_input(const ValueRef& value, const ValueTypes& types) {
  const NodeRef sub = producer_of(value, "Sub");
  if (!sub) return {};
  const NodeRef mean = mean_over_last(sub.input(1), types);
  if (!mean || mean.input(0) != sub.input(0)) return {};
  return sub.input(0);
}

/// A constant that varies along the last axis only, as a vector.
std::optional<Tensor> last_axis_constant(const NodeRef& node, ValueRef* variable) {
  const auto operand = constant_operand(node);
  if (!operand || !is_floating(operand->constant.constant_type())) return std::nullopt;
  const Shape shape = operand->constant.constant_shape();
  if (shape.empty()) return std::nullopt;
  for (size_t i = 0; i + 1 < shape.size(); ++i) {
    if (shape[i] != 1) return std::nullopt;
  }
  const auto tensor = operand->constant.constant();
  if (!tensor) return std::nullopt;
  *variable = operand->variable;
  return tensor->reshaped({shape.back()});
}

/// d / sqrt(mean(d^2) + epsilon): everything but scale and shift.
std::optional<LayerNormPattern> match_standardization(const NodeRef& node,
                                                      const ValueTypes& types) {
  LayerNormPattern pattern;
  pattern.quotient = node;
  if (node.is("Div")) {
    pattern.difference = node.input(0);
    pattern.deviation = node.input(1);
  } else if (node.is("Mul")) {
    for (const int i : {0, 1}) {
      const NodeRef inverse = inner_producer(node.input(i), node);
      if (!inverse || !inverse.is("Reciprocal")) continue;
      pattern.difference = node.input(1 - i);
      pattern.deviation = inverse.input(0);
    }
  }
  if (!pattern.difference || !pattern.deviation) return std::nullopt;
  pattern.input = centred_input(pattern.difference, types);
  if (!pattern.input) return std::nullopt;
  const NodeRef root = producer_of(pattern.deviation, "Sqrt");
  const NodeRef sum = root ? producer_of(root.input(0), "Add") : NodeRef{};
  const auto epsilon = scalar_operand(sum);
  if (!epsilon || epsilon->value < 0.0 || epsilon->value > 1.0) return std::nullopt;
  const NodeRef variance = mean_over_last(epsilon->variable, types);
  if (!variance || !variance.input(0)) return std::nullopt;
  pattern.epsilon = epsilon->value;
  pattern.type = epsilon->type;
  pattern.square = variance.input(0).producer();
  if (!pattern.square) return std::nullopt;
  const bool by_pow = pattern.square.is("Pow") && read_scalar(pattern.square.input(1)) == 2.0;
  const bool by_mul =
      pattern.square.is("Mul") && pattern.square.input(0) == pattern.square.input(1);
  if (!by_pow && !by_mul) return std::nullopt;
  if (centred_input(pattern.square.input(0), types) != pattern.input) return std::nullopt;
  pattern.is_canonical = by_pow && node.is("Div");
  return pattern;
}

}  // namespace

std::optional<ClipPattern> match_clip(const NodeRef& root) {
  if (!root || !root.domain().empty()) return std::nullopt;
  ClipPattern clip{root.input(0), -kInfinity, kInfinity, DataType::kUndefined, root.is("Clip")};
  if (clip.is_plain) {
    clip.low = root.attribute("min", -std::numeric_limits<float>::infinity());
    clip.high = root.attribute("max", std::numeric_limits<float>::infinity());
    for (const int i : {1, 2}) {
      if (!root.input(i)) continue;
      const auto bound = read_scalar(root.input(i));
      if (!bound) return std::nullopt;
      (i == 1 ? clip.low : clip.high) = *bound;
      clip.type = root.input(i).constant_type();
    }
    return clip.input ? std::optional(clip) : std::nullopt;
  }
  if (!root.is("Min") && !root.is("Max")) return std::nullopt;
  const auto outer = scalar_operand(root);
  if (!outer || outer->rank > 0) return std::nullopt;
  const NodeRef inner = inner_producer(outer->variable, root);
  if (!inner) return std::nullopt;
  clip.type = outer->type;
  if (root.is("Min") && inner.is("Relu")) {
    clip.input = inner.input(0);
    clip.low = 0.0;
    clip.high = outer->value;
    return clip.high >= 0.0 ? std::optional(clip) : std::nullopt;
  }
  if (!inner.is(root.is("Min") ? "Max" : "Min")) return std::nullopt;
  const auto other = scalar_operand(inner);
  if (!other || other->rank > 0 || other->type != outer->type) return std::nullopt;
  clip.input = other->variable;
  clip.low = root.is("Min") ? other->value : outer->value;
  clip.high = root.is("Min") ? outer->value : other->value;
  return clip.low <= clip.high ? std::optional(clip) : std::nullopt;
}

std::optional<HardSigmoidPattern> match_hard_sigmoid(const NodeRef& root, const ValueTypes& types) {
  if (!root || !root.domain().empty() || (!root.is("Mul") && !root.is("Div"))) return std::nullopt;
  if (root.is("Div") && (!scalar_operand(root) || scalar_operand(root)->constant_input == 0)) {
    return std::nullopt;
  }
  Product product;
  collect_factors(root, product);
  if (product.factors.empty() || product.factors.size() > 2) return std::nullopt;
  for (size_t i = 0; i < product.factors.size(); ++i) {
    const ValueRef& value = product.factors[i];
    if (!is_used_once(value) || &value.scope() != &root.graph()) continue;
    const auto clip = match_clip(value.producer());
    if (!clip || clip->low != 0.0 || !(clip->high > 0.0) || clip->high == kInfinity) continue;
    // number clip(scale x + shift, 0, high) = number high hard_sigmoid(x)
    if (!is_close(product.number * clip->high, 1.0)) continue;
    const Linear line = read_linear(clip->input, root);
    const size_t rank = std::max(line.rank, product.rank);
    if (line.input == clip->input || line.scale == 0.0) continue;
    if (!keeps_rank(line.input, rank, types)) continue;
    HardSigmoidPattern pattern{line.input, line.scale / clip->high, line.shift / clip->high,
                               line.type, false};
    if (product.factors.size() == 1) return pattern;
    pattern.times_input = true;
    if (product.factors[1 - i] == line.input) return pattern;
  }
  return std::nullopt;
}

std::optional<SigmoidPattern> match_sigmoid(const NodeRef& root) {
  if (!root || !root.domain().empty()) return std::nullopt;
  ValueRef denominator, numerator;
  if (root.is("Reciprocal")) {
    denominator = root.input(0);
  } else if (root.is("Div")) {
    const auto operand = scalar_operand(root);
    if (operand && (operand->constant_input == 1 || operand->value != 1.0 || operand->rank > 0)) {
      return std::nullopt;
    }
    denominator = root.input(1);
    if (!operand) numerator = root.input(0);
  }
  const NodeRef sum = inner_producer(denominator, root);
  if (!sum || !sum.is("Add")) return std::nullopt;
  const auto one = scalar_operand(sum);
  if (!one || one->value != 1.0 || one->rank > 0) return std::nullopt;
  const NodeRef power = inner_producer(one->variable, sum);
  if (!power || !power.is("Exp")) return std::nullopt;
  const NodeRef negation = inner_producer(power.input(0), power);
  if (!negation) return std::nullopt;
  ValueRef input;
  if (negation.is("Neg")) {
    input = negation.input(0);
  } else if (negation.is("Mul")) {
    const auto minus = scalar_operand(negation);
    if (minus && minus->value == -1.0 && minus->rank == 0) input = minus->variable;
  }
  if (!input || (numerator && numerator != input)) return std::nullopt;
  return SigmoidPattern{input, static_cast<bool>(numerator)};
}

std::optional<LeakyReluPattern> match_leaky_relu(const NodeRef& root) {
  if (!root || !root.is("Max") || root.input_count() != 2) return std::nullopt;
  for (const int i : {0, 1}) {
    const NodeRef product = inner_producer(root.input(i), root);
    if (!product || !product.is("Mul")) continue;
    const auto slope = scalar_operand(product);
    if (!slope || slope->rank > 0 || slope->variable != root.input(1 - i)) continue;
    if (slope->value > 0.0 && slope->value < 1.0) {
      return LeakyReluPattern{slope->variable, slope->value, slope->type};
    }
  }
  return std::nullopt;
}

std::optional<GeluPattern> match_gelu(const NodeRef& root) {
  if (!root || !root.domain().empty() || (!root.is("Mul") && !root.is("Div"))) return std::nullopt;
  if (root.is("Div") && (!scalar_operand(root) || scalar_operand(root)->constant_input == 0)) {
    return std::nullopt;
  }
  Product product;
  collect_factors(root, product);
  if (product.factors.size() != 2 || product.rank > 0 || !is_close(product.number, 0.5)) {
    return std::nullopt;
  }
  for (const size_t i : {size_t{0}, size_t{1}}) {
    const ValueRef& x = product.factors[i];
    const ValueRef& gate = product.factors[1 - i];
    const NodeRef sum = producer_of(gate, "Add");
    const auto one = scalar_operand(sum);
    if (!one || one->value != 1.0 || one->rank > 0 || !is_used_once(gate)) continue;
    const NodeRef function = inner_producer(one->variable, sum);
    if (!function || !(function.is("Erf") || function.is("Tanh"))) continue;
    GeluPattern pattern{x, function.is("Tanh"), one->type, false};
    bool spelled = false;
    const bool matches = pattern.tanh ? is_tanh_argument(function.input(0), function, x, spelled)
                                      : is_gelu_argument(function.input(0), function, x, spelled);
    if (!matches) continue;
    // Fused: Mul(Mul(x, gate), 0.5) for erf only, Mul(Mul(x, 0.5), gate) for both.
    const auto half_last = scalar_operand(root);
    const bool gate_last = root.is("Mul") && (root.input(0) == gate || root.input(1) == gate);
    const NodeRef half =
        gate_last ? root.input(root.input(0) == gate ? 1 : 0).producer() : NodeRef{};
    const bool form =
        (gate_last && half && half.is("Mul")) || (!pattern.tanh && root.is("Mul") && half_last &&
                                                  is_inner(half_last->variable, root, "Mul"));
    pattern.is_canonical = spelled && form;
    return pattern;
  }
  return std::nullopt;
}

std::optional<LayerNormPattern> match_layer_norm(const NodeRef& root, const ValueTypes& types) {
  if (!root || !root.domain().empty()) return std::nullopt;
  if (root.is("Add")) {
    ValueRef scaled, standard;
    const auto shift = last_axis_constant(root, &scaled);
    const NodeRef mul = shift ? inner_producer(scaled, root) : NodeRef{};
    if (!mul || !mul.is("Mul")) return std::nullopt;
    const auto scale = last_axis_constant(mul, &standard);
    const NodeRef inner = scale ? inner_producer(standard, mul) : NodeRef{};
    if (!inner || scale->shape() != shift->shape() || scale->type() != shift->type()) {
      return std::nullopt;
    }
    auto pattern = match_standardization(inner, types);
    if (!pattern) return std::nullopt;
    pattern->scale = scale;
    pattern->shift = shift;
    pattern->type = scale->type();
    return pattern;
  }
  auto pattern = match_standardization(root, types);
  if (!pattern) return std::nullopt;
  pattern->is_canonical = false;
  return pattern;
}

}  // namespace mcompress::analysis
