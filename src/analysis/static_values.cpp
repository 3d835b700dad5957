// SPDX-License-Identifier: Apache-2.0
#include "analysis/static_values.h"

#include <algorithm>

#include "analysis/patterns.h"

namespace mcompress::analysis {
namespace {

constexpr int kDeepest = 200;     ///< shape arithmetic is shallow; deeper is something else
constexpr int64_t kLongest = 64;  ///< entries of a vector that can be a shape

std::optional<PartialIntegers> from_constant(const ValueRef& value) {
  const Shape shape = value.constant_shape();
  if (shape.size() > 1 || element_count(shape) > kLongest) return std::nullopt;
  const auto values = read_integers(value);
  if (!values) return std::nullopt;
  return PartialIntegers{shape.empty(), {values->begin(), values->end()}};
}

/// Clamps as Slice and Shape do: negative counts from the end.
int64_t clamp_index(int64_t index, int64_t size) {
  if (index < 0) index += size;
  return std::clamp<int64_t>(index, 0, size);
}

/// One integer that is an attribute in old opsets and an input in new ones.
std::optional<int64_t> single(const NodeRef& node, const char* attribute, int input,
                              std::optional<int64_t> fallback) {
  std::vector<int64_t> values = node.attribute_ints(attribute);
  if (values.empty() && node.input(input)) {
    const auto read = read_integers(node.input(input));
    if (!read) return std::nullopt;
    values = *read;
  }
  if (values.empty()) return fallback;
  if (values.size() != 1) return std::nullopt;
  return values[0];
}

std::optional<int64_t> apply(const std::string& op, int64_t a, int64_t b) {
  int64_t result = 0;
  if (op == "Add" && !__builtin_add_overflow(a, b, &result)) return result;
  if (op == "Sub" && !__builtin_sub_overflow(a, b, &result)) return result;
  if (op == "Mul" && !__builtin_mul_overflow(a, b, &result)) return result;
  if (op == "Div" && a >= 0 && b > 0) return a / b;
  return std::nullopt;
}

}  // namespace

bool PartialIntegers::is_known() const { return unknown_count() == 0; }

int PartialIntegers::unknown_count() const {
  return static_cast<int>(std::count(entries.begin(), entries.end(), std::nullopt));
}

std::optional<PartialIntegers> StaticValues::find(const ValueRef& value, int depth) {
  if (!value || depth > kDeepest) return std::nullopt;
  const auto key = std::make_pair(static_cast<const Graph*>(&value.scope()), value.name());
  if (const auto found = known_.find(key); found != known_.end()) return found->second;
  std::optional<PartialIntegers> result;
  if (value.is_constant()) {
    result = from_constant(value);
  } else if (const NodeRef node = value.producer(); node && value.producer_output() == 0) {
    result = evaluate(node, depth + 1);
  }
  known_[key] = result;
  return result;
}

std::optional<PartialIntegers> StaticValues::evaluate(const NodeRef& node, int depth) {
  if (!node.domain().empty()) return std::nullopt;
  const std::string& op = node.op();
  if (op == "Shape") return shape(node);
  if (op == "Gather") return gather(node, depth);
  if (op == "Slice") return slice(node, depth);
  if (op == "Concat") return concat(node, depth);
  if (op == "Squeeze") return reshape_rank(node, true, depth);
  if (op == "Unsqueeze") return reshape_rank(node, false, depth);
  if (op == "Identity") return find(node.input(0), depth);
  if (op == "Cast") {
    const auto to = static_cast<DataType>(node.attribute("to", int64_t{0}));
    if (to != DataType::kInt64 && to != DataType::kInt32) return std::nullopt;
    return find(node.input(0), depth);
  }
  if (op == "Add" || op == "Sub" || op == "Mul" || op == "Div") return arithmetic(node, depth);
  return std::nullopt;
}

std::optional<PartialIntegers> StaticValues::shape(const NodeRef& node) {
  const ValueType type = types_.find(node.input(0));
  if (!type.known_rank) return std::nullopt;
  const int64_t rank = type.rank();
  const int64_t start = clamp_index(node.attribute("start", int64_t{0}), rank);
  const int64_t end = clamp_index(node.attribute("end", rank), rank);
  PartialIntegers result;
  for (int64_t i = start; i < end; ++i) {
    const int64_t size = type.shape[static_cast<size_t>(i)];
    result.entries.push_back(size >= 0 ? std::optional(size) : std::nullopt);
  }
  return result;
}

std::optional<PartialIntegers> StaticValues::gather(const NodeRef& node, int depth) {
  const auto data = find(node.input(0), depth);
  if (!data || data->is_scalar || !node.input(1) || !node.input(1).is_constant()) {
    return std::nullopt;
  }
  const auto indices = from_constant(node.input(1));
  if (!indices) return std::nullopt;
  const int64_t size = static_cast<int64_t>(data->entries.size());
  PartialIntegers result{indices->is_scalar, {}};
  for (const auto& index : indices->entries) {
    const int64_t at = *index < 0 ? *index + size : *index;
    if (at < 0 || at >= size) return std::nullopt;
    result.entries.push_back(data->entries[static_cast<size_t>(at)]);
  }
  return result;
}

std::optional<PartialIntegers> StaticValues::slice(const NodeRef& node, int depth) {
  const auto data = find(node.input(0), depth);
  if (!data || data->is_scalar) return std::nullopt;
  const int64_t size = static_cast<int64_t>(data->entries.size());
  const auto start = single(node, "starts", 1, std::nullopt);
  const auto end = single(node, "ends", 2, std::nullopt);
  const auto axis = single(node, "axes", 3, 0);
  const auto step = single(node, "steps", 4, 1);
  if (!start || !end || !axis || !step || *step != 1 || (*axis != 0 && *axis != -1)) {
    return std::nullopt;
  }
  PartialIntegers result;
  for (int64_t i = clamp_index(*start, size); i < clamp_index(*end, size); ++i) {
    result.entries.push_back(data->entries[static_cast<size_t>(i)]);
  }
  return result;
}

std::optional<PartialIntegers> StaticValues::concat(const NodeRef& node, int depth) {
  PartialIntegers result;
  for (int i = 0; i < node.input_count(); ++i) {
    const auto part = find(node.input(i), depth);
    if (!part || part->is_scalar) return std::nullopt;
    result.entries.insert(result.entries.end(), part->entries.begin(), part->entries.end());
  }
  if (static_cast<int64_t>(result.entries.size()) > kLongest) return std::nullopt;
  return result;
}

std::optional<PartialIntegers> StaticValues::reshape_rank(const NodeRef& node, bool to_scalar,
                                                          int depth) {
  auto data = find(node.input(0), depth);
  if (!data || data->entries.size() != 1 || data->is_scalar == to_scalar) return std::nullopt;
  const auto axis = single(node, "axes", 1, to_scalar ? std::optional<int64_t>(0) : std::nullopt);
  if (!axis || (*axis != 0 && *axis != -1)) return std::nullopt;
  data->is_scalar = to_scalar;
  return data;
}

std::optional<PartialIntegers> StaticValues::arithmetic(const NodeRef& node, int depth) {
  const auto a = find(node.input(0), depth), b = find(node.input(1), depth);
  if (!a || !b) return std::nullopt;
  const size_t size = std::max(a->entries.size(), b->entries.size());
  if (a->entries.empty() || b->entries.empty()) return std::nullopt;
  if ((a->entries.size() != size && a->entries.size() != 1) ||
      (b->entries.size() != size && b->entries.size() != 1)) {
    return std::nullopt;
  }
  PartialIntegers result{a->is_scalar && b->is_scalar, {}};
  for (size_t i = 0; i < size; ++i) {
    const auto& x = a->entries[a->entries.size() == 1 ? 0 : i];
    const auto& y = b->entries[b->entries.size() == 1 ? 0 : i];
    result.entries.push_back(x && y ? apply(node.op(), *x, *y) : std::nullopt);
  }
  return result;
}

}  // namespace mcompress::analysis
