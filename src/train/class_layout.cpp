// SPDX-License-Identifier: Apache-2.0
#include "train/class_layout.h"

#include <algorithm>
#include <iterator>

#include <fmt/format.h>

#include "mcompress/error.h"

namespace mcompress::train {
namespace {

Shape without_ones(const Shape& shape) {
  Shape result;
  std::ranges::copy_if(shape, std::back_inserter(result), [](int64_t d) { return d != 1; });
  return result;
}

Shape without(const Shape& row, size_t first, size_t count) {
  Shape rest = row;
  rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(first),
             rest.begin() + static_cast<std::ptrdiff_t>(first + count));
  return without_ones(rest);
}

/// Softmax's axis as a place in the row, -1 without one.
int64_t softmax_axis(const ClassLayout& layout, const LossHead& head) {
  if (!head.has_axis) return -1;
  const auto rank = static_cast<int64_t>(layout.row.size()) + 1;
  const int64_t axis = head.axis < 0 ? head.axis + rank : head.axis;
  return axis >= 1 && axis < rank ? axis - 1 : -1;
}

/// Images put classes first, sequences last.
int64_t usual_axis(const Shape& row) {
  std::vector<int64_t> wide;
  for (size_t i = 0; i < row.size(); ++i) {
    if (row[i] != 1) wide.push_back(static_cast<int64_t>(i));
  }
  if (wide.empty()) return -1;
  return wide.size() >= 3 ? wide.front() : wide.back();
}

}  // namespace

Shape ClassLayout::squeezed() const { return without_ones(row); }

Shape ClassLayout::place_shape() const {
  if (axis < 0) return squeezed();
  const auto first = static_cast<size_t>(axis - 1);
  return without(row, first, flat ? row.size() - first : 1);
}

at::Tensor ClassLayout::samples_first(const at::Tensor& value) const {
  return time_first ? value.transpose(0, 1) : value;
}

at::Tensor ClassLayout::by_class(const at::Tensor& value) const {
  const at::Tensor rows = samples_first(value);
  if (axis < 0) return rows.reshape({rows.size(0), -1, 1});
  const at::Tensor last = flat ? rows.flatten(axis) : rows.movedim(axis, -1);
  return last.reshape({rows.size(0), -1, last.size(-1)});
}

ClassLayout find_samples(const LossHead& head, const at::Tensor& output, int64_t samples) {
  ClassLayout layout;
  const Shape shape = output.sizes().vec();
  const bool first = !shape.empty() && shape[0] == samples;
  layout.time_first = !first && shape.size() >= 2 && shape[1] == samples;
  if (!first && !layout.time_first) {
    throw Error(
        ErrorCode::kModel,
        fmt::format("output '{}': shape {} for {} samples, an axis that counts them is needed",
                    head.output, to_string(shape), samples));
  }
  layout.row = shape;
  layout.row.erase(layout.row.begin() + (layout.time_first ? 1 : 0));
  return layout;
}

bool find_classes(ClassLayout& layout, const LossHead& head, const Shape* places) {
  const int64_t preferred = softmax_axis(layout, head);
  const auto choose = [&](int64_t index, bool flat) {
    layout.axis = index + 1;
    layout.flat = flat;
    const auto first = static_cast<size_t>(index);
    layout.classes = flat ? element_count(Shape(layout.row.begin() + index, layout.row.end()))
                          : layout.row[first];
    return layout.classes >= 2 && (places == nullptr || layout.place_shape() == *places);
  };
  if (preferred >= 0 && choose(preferred, head.flat)) return true;
  const int64_t usual = usual_axis(layout.row);
  if (usual >= 0 && choose(usual, false)) return true;
  for (int64_t index = 0; index < static_cast<int64_t>(layout.row.size()); ++index) {
    if (choose(index, false)) return true;
  }
  layout.axis = -1;
  layout.flat = false;
  layout.classes = 1;
  return false;
}

}  // namespace mcompress::train
