// SPDX-License-Identifier: Apache-2.0
//
// Resizing is separable: along each axis an output is a weighted sum of a few inputs (1 for
// nearest, 2 for linear, 4 for cubic, more where antialiasing widens them), so every coordinate
// mode is exact.
#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <string>

#include "train/op.h"
#include "train/ops/arguments.h"
#include "train/ops/shape_parts.h"

namespace mcompress::train {
namespace {

struct Axis {
  int64_t axis = 0;
  int64_t in = 0, out = 0;
  float scale = 1;
  float roi_start = 0, roi_end = 1;
};

struct Method {
  std::string mode = "nearest";
  std::string coordinates = "half_pixel";
  std::string nearest = "round_prefer_floor";
  float cubic = -0.75F;
  bool exclude_outside = false;
  bool antialias = false;
  float extrapolation = 0;
};

/// Where output `i` lies among the inputs. In float, as ONNX Runtime: rounding decides for a
/// neighbour.
float source_of(const NodeRef& node, const Method& method, const Axis& axis, int64_t i) {
  const auto at = static_cast<float>(i);
  const auto in = static_cast<float>(axis.in), out = static_cast<float>(axis.out);
  const std::string& mode = method.coordinates;
  if (mode == "asymmetric") return at / axis.scale;
  if (mode == "half_pixel") return (at + 0.5F) / axis.scale - 0.5F;
  if (mode == "pytorch_half_pixel") return axis.out > 1 ? (at + 0.5F) / axis.scale - 0.5F : 0.0F;
  if (mode == "tf_half_pixel_for_nn") return (at + 0.5F) / axis.scale;
  if (mode == "align_corners") return axis.out > 1 ? at * (in - 1) / (out - 1) : 0.0F;
  if (mode == "half_pixel_symmetric") {
    const float adjustment = out / (axis.scale * in);
    return in / 2 * (1 - adjustment) + (at + 0.5F) / axis.scale - 0.5F;
  }
  if (mode == "tf_crop_and_resize") {
    const float start = axis.roi_start, end = axis.roi_end;
    return axis.out > 1 ? start * (in - 1) + at * (end - start) * (in - 1) / (out - 1)
                        : 0.5F * (start + end) * (in - 1);
  }
  refuse(node, "coordinate mode " + mode + " is not covered");
}

float nearest_of(const NodeRef& node, const std::string& mode, float source) {
  if (mode == "round_prefer_floor") return std::ceil(source - 0.5F);
  if (mode == "round_prefer_ceil") return std::floor(source + 0.5F);
  if (mode == "floor") return std::floor(source);
  if (mode == "ceil") return std::ceil(source);
  refuse(node, "nearest mode " + mode + " is not covered");
}

/// Weight of an input at distance `d` (Keys' kernel for cubic).
double kernel(const Method& method, double d) {
  d = std::abs(d);
  if (method.mode == "linear") return std::max(0.0, 1 - d);
  const double a = method.cubic;
  if (d <= 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
  return d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0.0;
}

/// Inputs and weights of every output along one axis: `taps` of them each, tap by tap.
struct Plan {
  int64_t taps = 1;
  std::vector<int64_t> index;
  std::vector<double> weight;
  std::vector<bool> outside;  ///< of the outputs: takes the extrapolation value
};

Plan make_plan(const NodeRef& node, const Method& method, const Axis& axis) {
  Plan plan;
  const bool nearest = method.mode == "nearest";
  const double stretch = method.antialias ? std::max(1.0, 1.0 / axis.scale) : 1.0;
  const double reach = (method.mode == "linear" ? 1 : 2) * stretch;
  plan.taps = nearest ? 1 : 2 * static_cast<int64_t>(std::ceil(reach));
  const auto out = static_cast<size_t>(axis.out), taps = static_cast<size_t>(plan.taps);
  plan.index.resize(out * taps);
  plan.weight.assign(out * taps, 1);
  plan.outside.resize(out);
  for (size_t i = 0; i < out; ++i) {
    const float source = source_of(node, method, axis, static_cast<int64_t>(i));
    plan.outside[i] = method.coordinates == "tf_crop_and_resize" &&
                      (source < 0 || source > static_cast<float>(axis.in - 1));
    const double first = nearest ? nearest_of(node, method.nearest, source)
                                 : std::floor(source) - static_cast<double>(plan.taps / 2 - 1);
    double sum = 0;
    for (size_t tap = 0; tap < taps; ++tap) {
      const double place = first + static_cast<double>(tap);
      const size_t to = tap * out + i;
      plan.index[to] = std::clamp<int64_t>(static_cast<int64_t>(place), 0, axis.in - 1);
      if (nearest) continue;
      plan.weight[to] = kernel(method, (place - source) / stretch);
      const bool inside = place >= 0 && place < static_cast<double>(axis.in);
      if (method.exclude_outside && !inside) plan.weight[to] = 0;
      sum += plan.weight[to];
    }
    for (size_t tap = 0; !nearest && sum != 0 && tap < taps; ++tap) {
      plan.weight[tap * out + i] /= sum;
    }
  }
  return plan;
}

at::Tensor apply(const at::Tensor& x, const Axis& axis, const Plan& plan) {
  const at::Tensor index = at::tensor(plan.index, at::kLong).view({plan.taps, axis.out});
  if (plan.taps == 1) return x.index_select(axis.axis, index[0]);
  std::vector<int64_t> shape(static_cast<size_t>(x.dim()), 1);
  shape[static_cast<size_t>(axis.axis)] = axis.out;
  const at::Tensor weight =
      at::tensor(plan.weight, at::kDouble).to(x.scalar_type()).view({plan.taps, axis.out});
  at::Tensor result;
  for (int64_t tap = 0; tap < plan.taps; ++tap) {
    const at::Tensor part = x.index_select(axis.axis, index[tap]) * weight[tap].view(shape);
    result = result.defined() ? result + part : part;
  }
  return result;
}

at::Tensor extrapolated(const at::Tensor& x, const Axis& axis, const Plan& plan, float value) {
  if (std::find(plan.outside.begin(), plan.outside.end(), true) == plan.outside.end()) return x;
  std::vector<int64_t> shape(static_cast<size_t>(x.dim()), 1);
  shape[static_cast<size_t>(axis.axis)] = axis.out;
  const std::vector<int64_t> flags(plan.outside.begin(), plan.outside.end());
  const at::Tensor outside = at::tensor(flags, at::kLong).to(at::kBool).view(shape);
  return x.masked_fill(outside, value);
}

at::Tensor resized(const NodeRef& node, const at::Tensor& input, const Method& method,
                   const std::vector<Axis>& axes) {
  return in_float(input, [&](at::Tensor x) {
    std::vector<std::pair<Axis, Plan>> done;
    for (const Axis& axis : axes) {
      const bool crop = method.coordinates == "tf_crop_and_resize";
      if (axis.in == axis.out && axis.scale == 1 && !crop) continue;
      done.emplace_back(axis, make_plan(node, method, axis));
      x = apply(x, axis, done.back().second);
    }
    for (const auto& [axis, plan] : done) x = extrapolated(x, axis, plan, method.extrapolation);
    return x;
  });
}

std::string obstacle(const NodeRef& node) {
  const std::string mode = node.attribute("mode", "nearest");
  for (const char* const known : {"nearest", "linear", "bilinear", "cubic"}) {
    if (mode == known) return "";
  }
  return "mode " + mode + " is not covered";
}

Method method_of(const NodeRef& node, int64_t opset) {
  if (const std::string why = obstacle(node); !why.empty()) refuse(node, why);
  Method method;
  method.mode = node.attribute("mode", "nearest");
  if (method.mode == "bilinear") method.mode = "linear";  // Upsample 1
  const bool old = opset < 11;                            // neither had a choice
  method.coordinates =
      node.attribute("coordinate_transformation_mode", old ? "asymmetric" : "half_pixel");
  method.nearest = node.attribute("nearest_mode", old ? "floor" : "round_prefer_floor");
  method.cubic = node.attribute("cubic_coeff_a", -0.75F);
  method.exclude_outside = node.attribute("exclude_outside", int64_t{0}) != 0;
  method.antialias = node.attribute("antialias", int64_t{0}) != 0 && method.mode != "nearest";
  method.extrapolation = node.attribute("extrapolation_value", 0.0F);
  return method;
}

void set_sizes(const NodeRef& node, const std::vector<int64_t>& sizes, std::vector<Axis>& axes) {
  if (sizes.size() != axes.size()) refuse(node, "as many sizes as axes are needed");
  const std::string policy = node.attribute("keep_aspect_ratio_policy", "stretch");
  std::vector<float> scales;
  for (size_t i = 0; i < axes.size(); ++i) {
    scales.push_back(static_cast<float>(sizes[i]) / static_cast<float>(axes[i].in));
  }
  const bool larger = policy == "not_smaller";
  for (size_t i = 0; i < axes.size(); ++i) {
    axes[i].scale = scales[i];
    axes[i].out = sizes[i];
    if (policy == "stretch") continue;
    axes[i].scale = larger ? *std::max_element(scales.begin(), scales.end())
                           : *std::min_element(scales.begin(), scales.end());
    axes[i].out = std::lround(axes[i].scale * static_cast<float>(axes[i].in));
  }
}

void set_scales(const NodeRef& node, const std::vector<double>& scales, std::vector<Axis>& axes) {
  if (scales.size() != axes.size()) refuse(node, "as many scales as axes are needed");
  for (size_t i = 0; i < axes.size(); ++i) {
    axes[i].scale = static_cast<float>(scales[i]);
    axes[i].out = static_cast<int64_t>(std::floor(axes[i].scale * static_cast<float>(axes[i].in)));
  }
}

std::vector<Axis> axes_of(const NodeRef& node, const at::Tensor& x) {
  std::vector<int64_t> chosen(static_cast<size_t>(x.dim()));
  std::iota(chosen.begin(), chosen.end(), 0);
  if (node.has_attribute("axes")) chosen = wrap_axes(node, node.attribute_ints("axes"), x.dim());
  std::vector<Axis> axes;
  for (const int64_t axis : chosen) axes.push_back({axis, x.size(axis), x.size(axis)});
  return axes;
}

bool has_values(Inputs inputs, size_t index) {
  return has_input(inputs, index) && inputs[index].numel() > 0;
}

Tensors resize(const NodeRef& node, Inputs inputs, Execution& execution) {
  const bool old = execution.opset < 11;  // X, scales; then X, roi, scales, sizes
  std::vector<Axis> axes = axes_of(node, inputs[0]);
  if (!old && has_values(inputs, 1)) {
    const std::vector<double> roi = doubles(inputs[1]);
    for (size_t i = 0; roi.size() == 2 * axes.size() && i < axes.size(); ++i) {
      axes[i].roi_start = static_cast<float>(roi[i]);
      axes[i].roi_end = static_cast<float>(roi[i + axes.size()]);
    }
  }
  if (!old && has_values(inputs, 3)) {
    set_sizes(node, integers(inputs[3]), axes);
  } else {
    set_scales(node, doubles(inputs[old ? 1 : 2]), axes);
  }
  return {resized(node, inputs[0], method_of(node, execution.opset), axes)};
}

Tensors upsample(const NodeRef& node, Inputs inputs, Execution&) {
  std::vector<Axis> axes = axes_of(node, inputs[0]);
  std::vector<double> scales;
  if (has_input(inputs, 1)) {
    scales = doubles(inputs[1]);
  } else {
    const std::vector<float> given = node.attribute_floats("scales");
    scales.assign(given.begin(), given.end());
  }
  set_scales(node, scales, axes);
  return {resized(node, inputs[0], method_of(node, 10), axes)};
}

}  // namespace

void add_resize_ops(OpTable& table) {
  table["Resize"] = {.run = resize, .obstacle = obstacle};
  table["Upsample"] = {.run = upsample, .obstacle = obstacle};
}

}  // namespace mcompress::train
