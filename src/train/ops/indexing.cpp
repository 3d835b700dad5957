// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <numeric>

#include "train/op.h"
#include "train/ops/arguments.h"
#include "train/ops/shape_parts.h"

namespace mcompress::train {
namespace {

Tensors concat(const NodeRef& node, Inputs inputs, Execution&) {
  const int64_t axis = wrap_axis(node, node.attribute("axis", int64_t{1}), inputs[0].dim());
  return {at::cat(at::TensorList(inputs.data(), inputs.size()), axis)};
}

/// Sizes along an axis of `size`: as given, or equal ones where the last may be smaller.
std::vector<int64_t> split_sizes(const NodeRef& node, Inputs inputs, int64_t size) {
  const auto given = integers_of(node, inputs, 1, "split");
  if (given && !given->empty()) return *given;
  const int64_t parts = node.attribute("num_outputs", int64_t{node.output_count()});
  const int64_t step = (size + parts - 1) / std::max<int64_t>(parts, 1);
  std::vector<int64_t> sizes;
  for (int64_t i = 0; i < parts; ++i) {
    sizes.push_back(std::clamp<int64_t>(size - i * step, 0, step));
  }
  return sizes;
}

Tensors split(const NodeRef& node, Inputs inputs, Execution&) {
  const at::Tensor& x = inputs[0];
  const int64_t axis = wrap_axis(node, node.attribute("axis", int64_t{0}), x.dim());
  return at::split_with_sizes(x, split_sizes(node, inputs, x.size(axis)), axis);
}

/// Elements of `axis` from start to end, both clamped; a negative step walks backwards.
at::Tensor sliced(const at::Tensor& x, int64_t axis, int64_t start, int64_t end, int64_t step) {
  const int64_t size = x.size(axis);
  if (start < 0) start += size;
  if (end < 0 && end >= -size) {
    end += size;
  } else if (end < 0) {
    end = -1;  // before the first element
  }
  if (step > 0) {
    start = std::clamp<int64_t>(start, 0, size);
    end = std::clamp(end, start, size);
    return at::slice(x, axis, start, end, std::min(step, std::max<int64_t>(size, 1)));
  }
  start = std::clamp<int64_t>(start, -1, size - 1);
  end = std::clamp<int64_t>(end, -1, start);
  std::vector<int64_t> index;
  for (int64_t i = start; i > end; i += std::max(step, -size)) index.push_back(i);
  return x.index_select(axis, at::tensor(index, at::kLong));
}

Tensors slice(const NodeRef& node, Inputs inputs, Execution&) {
  at::Tensor x = inputs[0];
  const auto starts = integers_of(node, inputs, 1, "starts");
  const auto ends = integers_of(node, inputs, 2, "ends");
  if (!starts || !ends || starts->size() != ends->size()) refuse(node, "as many starts as ends");
  std::vector<int64_t> axes(starts->size());
  std::iota(axes.begin(), axes.end(), 0);
  axes = wrap_axes(node, integers_of(node, inputs, 3, "axes").value_or(axes), x.dim());
  const std::vector<int64_t> steps =
      has_input(inputs, 4) ? integers(inputs[4]) : std::vector<int64_t>(axes.size(), 1);
  for (size_t i = 0; i < axes.size(); ++i) {
    x = sliced(x, axes[i], starts->at(i), ends->at(i), steps.at(i));
  }
  return {x};
}

/// Indices as int64, negative ones counted from the end.
at::Tensor from_the_front(const at::Tensor& indices, int64_t size) {
  const at::Tensor plain = indices.to(at::kLong);
  return at::where(plain < 0, plain + size, plain);
}

Tensors gather(const NodeRef& node, Inputs inputs, Execution&) {
  const at::Tensor& x = inputs[0];
  const int64_t axis = wrap_axis(node, node.attribute("axis", int64_t{0}), x.dim());
  const at::Tensor indices = from_the_front(inputs[1], x.size(axis));
  std::vector<int64_t> shape = x.sizes().slice(0, static_cast<size_t>(axis)).vec();
  shape.insert(shape.end(), indices.sizes().begin(), indices.sizes().end());
  const auto rest = x.sizes().slice(static_cast<size_t>(axis) + 1);
  shape.insert(shape.end(), rest.begin(), rest.end());
  return {x.index_select(axis, indices.reshape(-1)).reshape(shape)};
}

Tensors gather_elements(const NodeRef& node, Inputs inputs, Execution&) {
  const at::Tensor& x = inputs[0];
  const int64_t axis = wrap_axis(node, node.attribute("axis", int64_t{0}), x.dim());
  return {at::gather(x, axis, from_the_front(inputs[1], x.size(axis)))};
}

/// Row-major number of what the last dimension of `indices` names among the dimensions of `x` from
/// `first` on.
at::Tensor flat_index(const at::Tensor& x, const at::Tensor& indices, int64_t first) {
  at::Tensor flat = at::zeros(indices.sizes().slice(0, static_cast<size_t>(indices.dim() - 1)),
                              at::TensorOptions(at::kLong));
  for (int64_t i = 0; i < indices.size(-1); ++i) {
    const int64_t size = x.size(first + i);
    flat = flat * size + from_the_front(indices.select(-1, i), size);
  }
  return flat;
}

int64_t product(at::IntArrayRef sizes) {
  return std::accumulate(sizes.begin(), sizes.end(), int64_t{1}, std::multiplies<>());
}

Tensors gather_nd(const NodeRef& node, Inputs inputs, Execution&) {
  const at::Tensor &x = inputs[0], &indices = inputs[1];
  const int64_t batch = node.attribute("batch_dims", int64_t{0});
  const int64_t depth = indices.size(-1);
  const auto tail = x.sizes().slice(static_cast<size_t>(batch + depth));
  const int64_t batches = product(x.sizes().slice(0, static_cast<size_t>(batch)));
  const int64_t places =
      product(x.sizes().slice(static_cast<size_t>(batch), static_cast<size_t>(depth)));
  const at::Tensor flat = flat_index(x, indices, batch);  // within a batch
  const at::Tensor offset = at::arange(batches, at::kLong).unsqueeze(1) * places;
  const at::Tensor rows = flat.reshape({batches, -1}) + offset;
  std::vector<int64_t> shape = flat.sizes().vec();
  shape.insert(shape.end(), tail.begin(), tail.end());
  return {x.reshape({batches * places, -1}).index_select(0, rows.reshape(-1)).reshape(shape)};
}

/// libtorch's name of a reduction that is not done otherwise; null for an unknown one.
const char* reduction_name(const std::string& reduction) {
  if (reduction == "none" || reduction == "add") return "";
  if (reduction == "mul") return "prod";
  if (reduction == "max") return "amax";
  return reduction == "min" ? "amin" : nullptr;
}

std::string scatter_obstacle(const NodeRef& node) {
  const std::string reduction = node.attribute("reduction", "none");
  return reduction_name(reduction) == nullptr ? "reduction " + reduction + " is not covered" : "";
}

/// Writes `source` to places of `x` along `axis` as ScatterElements says.
at::Tensor scattered(const NodeRef& node, const at::Tensor& x, int64_t axis,
                     const at::Tensor& index, const at::Tensor& source) {
  if (const std::string why = scatter_obstacle(node); !why.empty()) refuse(node, why);
  const std::string reduction = node.attribute("reduction", "none");
  if (reduction == "none") return at::scatter(x, axis, index, source);
  if (reduction == "add") return at::scatter_add(x, axis, index, source);
  return at::scatter_reduce(x, axis, index, source, reduction_name(reduction));
}

Tensors scatter_elements(const NodeRef& node, Inputs inputs, Execution&) {
  const at::Tensor& x = inputs[0];
  const int64_t axis = wrap_axis(node, node.attribute("axis", int64_t{0}), x.dim());
  return {scattered(node, x, axis, from_the_front(inputs[1], x.size(axis)), inputs[2])};
}

Tensors scatter_nd(const NodeRef& node, Inputs inputs, Execution&) {
  const at::Tensor &x = inputs[0], &indices = inputs[1];
  const auto depth = static_cast<size_t>(indices.size(-1));
  const int64_t rows = product(x.sizes().slice(0, depth));
  const int64_t width = product(x.sizes().slice(depth));
  const at::Tensor index = flat_index(x, indices, 0).reshape({-1, 1}).expand({-1, width});
  const at::Tensor result =
      scattered(node, x.reshape({rows, width}), 0, index, inputs[2].reshape({-1, width}));
  return {result.reshape(x.sizes())};
}

/// The input that lies at `place` (below 0 or from `size` on outside) of a padded axis.
int64_t padded_source(const std::string& mode, int64_t place, int64_t size) {
  if (mode == "edge") return std::clamp<int64_t>(place, 0, size - 1);
  const int64_t period = mode == "wrap" ? size : std::max<int64_t>(2 * (size - 1), 1);
  const int64_t rest = (place % period + period) % period;
  return mode == "wrap" || rest < size ? rest : period - rest;
}

std::string pad_obstacle(const NodeRef& node) {
  const std::string mode = node.attribute("mode", "constant");
  const bool known = mode == "constant" || mode == "edge" || mode == "reflect" || mode == "wrap";
  return known ? "" : "mode " + mode + " is not covered";
}

at::Tensor padded(at::Tensor x, const std::string& mode, const std::vector<int64_t>& before,
                  const std::vector<int64_t>& after, const at::Scalar& value) {
  if (mode == "constant") {
    std::vector<int64_t> pairs;  // the last dimension first
    for (size_t i = before.size(); i-- > 0;) {
      pairs.push_back(before[i]);
      pairs.push_back(after[i]);
    }
    return at::constant_pad_nd(x, pairs, value);
  }
  for (size_t i = 0; i < before.size(); ++i) {
    if (before[i] == 0 && after[i] == 0) continue;
    const auto axis = static_cast<int64_t>(i);
    std::vector<int64_t> index;
    for (int64_t place = -before[i]; place < x.size(axis) + after[i]; ++place) {
      index.push_back(padded_source(mode, place, x.size(axis)));
    }
    x = x.index_select(axis, at::tensor(index, at::kLong));
  }
  return x;
}

Tensors pad(const NodeRef& node, Inputs inputs, Execution& execution) {
  if (const std::string why = pad_obstacle(node); !why.empty()) refuse(node, why);
  const at::Tensor& x = inputs[0];
  const auto pads = integers_of(node, inputs, 1, execution.opset < 2 ? "paddings" : "pads");
  std::vector<int64_t> axes(static_cast<size_t>(x.dim()));
  std::iota(axes.begin(), axes.end(), 0);
  if (has_input(inputs, 3)) axes = wrap_axes(node, integers(inputs[3]), x.dim());
  if (!pads || pads->size() != 2 * axes.size()) refuse(node, "two pads for each axis are needed");
  std::vector<int64_t> before(static_cast<size_t>(x.dim())), after(before.size());
  for (size_t i = 0; i < axes.size(); ++i) {
    before[static_cast<size_t>(axes[i])] = pads->at(i);
    after[static_cast<size_t>(axes[i])] = pads->at(i + axes.size());
  }
  const at::Scalar value = has_input(inputs, 2) && inputs[2].numel() > 0
                               ? inputs[2].item()
                               : node.attribute("value", 0.0F);
  return {padded(x, node.attribute("mode", "constant"), before, after, value)};
}

Tensors one_hot(const NodeRef& node, Inputs inputs, Execution&) {
  const int64_t depth = inputs[1].reshape(-1)[0].to(at::kLong).item<int64_t>();
  const at::Tensor& values = inputs[2];  // off, on
  const at::Tensor indices = from_the_front(inputs[0], depth);
  const int64_t axis = wrap_axis(node, node.attribute("axis", int64_t{-1}), indices.dim() + 1);
  std::vector<int64_t> shape(static_cast<size_t>(indices.dim()) + 1, 1);
  shape[static_cast<size_t>(axis)] = depth;
  const at::Tensor hot = indices.unsqueeze(axis) == at::arange(depth, at::kLong).view(shape);
  return {at::where(hot, values[1], values[0])};
}

Tensors non_zero(const NodeRef&, Inputs inputs, Execution&) {
  return {at::nonzero(inputs[0]).t().contiguous()};
}

Tensors compress(const NodeRef& node, Inputs inputs, Execution&) {
  const bool flat = !node.has_attribute("axis");
  const at::Tensor x = flat ? inputs[0].reshape(-1) : inputs[0];
  const int64_t axis = flat ? 0 : wrap_axis(node, node.attribute("axis", int64_t{0}), x.dim());
  return {x.index_select(axis, at::nonzero(inputs[1]).reshape(-1))};
}

/// The first `lengths[i]` steps of sequence i backwards, the others as they are.
Tensors reverse_sequence(const NodeRef& node, Inputs inputs, Execution&) {
  const at::Tensor& x = inputs[0];
  const int64_t time = node.attribute("time_axis", int64_t{0});
  const int64_t batch = node.attribute("batch_axis", int64_t{1});
  const at::Tensor step = at::arange(x.size(time), at::kLong).unsqueeze(1);
  const at::Tensor length = inputs[1].to(at::kLong).unsqueeze(0);
  at::Tensor index = at::where(step < length, length - 1 - step, step);
  if (batch < time) index = index.t();
  std::vector<int64_t> shape(static_cast<size_t>(x.dim()), 1);
  shape[static_cast<size_t>(time)] = x.size(time);
  shape[static_cast<size_t>(batch)] = x.size(batch);
  return {at::gather(x, time, index.reshape(shape).expand_as(x))};
}

int64_t place_in(std::initializer_list<const char*> words, const std::string& word) {
  const auto* const found = std::find(words.begin(), words.end(), word);
  return found == words.end() ? -1 : found - words.begin();
}

/// Numbers as libtorch counts them; -1 for an unknown word.
struct GridMode {
  int64_t interpolation, padding;
};
GridMode grid_mode(const NodeRef& node) {
  const std::string mode = node.attribute("mode", "bilinear");
  const std::string older = mode == "linear" ? "bilinear" : mode == "cubic" ? "bicubic" : mode;
  return {place_in({"bilinear", "nearest", "bicubic"}, older),
          place_in({"zeros", "border", "reflection"}, node.attribute("padding_mode", "zeros"))};
}

std::string grid_obstacle(const NodeRef& node) {
  const GridMode mode = grid_mode(node);
  return mode.interpolation < 0 || mode.padding < 0 ? "this mode is not covered" : "";
}

Tensors grid_sample(const NodeRef& node, Inputs inputs, Execution&) {
  if (const std::string why = grid_obstacle(node); !why.empty()) refuse(node, why);
  const GridMode mode = grid_mode(node);
  const bool corners = node.attribute("align_corners", int64_t{0}) != 0;
  return {at::grid_sampler(inputs[0], inputs[1], mode.interpolation, mode.padding, corners)};
}

}  // namespace

void add_index_ops(OpTable& table) {
  table["Concat"] = {concat, true, {0, 1, 2, 3}};
  table["Split"] = {split};
  table["Slice"] = {slice};
  table["Gather"] = {gather, true, {0}};
  table["GatherElements"] = {gather_elements, true, {0}};
  table["GatherND"] = {gather_nd, true, {0}};
  table["Scatter"] = {.run = scatter_elements, .obstacle = scatter_obstacle};
  table["ScatterElements"] = {.run = scatter_elements, .obstacle = scatter_obstacle};
  table["ScatterND"] = {.run = scatter_nd, .obstacle = scatter_obstacle};
  table["Pad"] = {.run = pad, .obstacle = pad_obstacle};
  table["OneHot"] = {one_hot};
  table["NonZero"] = {non_zero, false};
  table["Compress"] = {compress};
  table["ReverseSequence"] = {reverse_sequence};
  table["GridSample"] = {.run = grid_sample, .obstacle = grid_obstacle};
}

}  // namespace mcompress::train
