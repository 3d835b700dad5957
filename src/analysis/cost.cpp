// SPDX-License-Identifier: Apache-2.0
#include "analysis/cost.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "analysis/weights.h"
#include "forms/quantized_weight.h"
#include "forms/stored_form.h"
#include "mcompress/layer.h"

namespace mcompress::analysis {
namespace {

using Count = std::optional<uint64_t>;

/// Products of two such scales are no zeros.
constexpr float kLeastScale = 1e-18F;

/// Elements of a value for one sample: an open first axis counts as 1.
Count elements(const ValueType& type) {
  if (!type.known_rank) return std::nullopt;
  uint64_t count = 1;
  for (size_t i = 0; i < type.shape.size(); ++i) {
    int64_t size = type.shape[i];
    if (size < 0 && i == 0) size = 1;
    if (size < 0) return std::nullopt;
    count *= static_cast<uint64_t>(size);
  }
  return count;
}

Count product(Count a, Count b) {
  if (!a || !b) return std::nullopt;
  return *a * *b;
}

Count dimension(const ValueType& type, int from_end) {
  const int rank = type.rank();
  if (rank < from_end) return std::nullopt;
  const int64_t size = type.shape[static_cast<size_t>(rank - from_end)];
  if (size < 0) return std::nullopt;
  return static_cast<uint64_t>(size);
}

Count conv_macs(const NodeRef& node, const ValueTypes& types, int weight_input) {
  const ValueType weight = types.find(node.input(weight_input));
  if (!weight.is_static() || weight.rank() < 3 || weight.shape[0] <= 0) return std::nullopt;
  const uint64_t per_output = static_cast<uint64_t>(element_count(weight.shape) / weight.shape[0]);
  return product(elements(types.find(node.output(0))), per_output);
}

Count conv_transpose_macs(const NodeRef& node, const ValueTypes& types) {
  const ValueType weight = types.find(node.input(1));
  if (!weight.is_static() || weight.rank() < 3 || weight.shape[0] <= 0) return std::nullopt;
  const uint64_t per_input = static_cast<uint64_t>(element_count(weight.shape) / weight.shape[0]);
  return product(elements(types.find(node.input(0))), per_input);
}

Count matmul_macs(const NodeRef& node, const ValueTypes& types, int a, int b) {
  const ValueType left = types.find(node.input(a)), right = types.find(node.input(b));
  Count inner = dimension(left, 1);
  if (!inner) inner = right.rank() == 1 ? dimension(right, 1) : dimension(right, 2);
  return product(elements(types.find(node.output(0))), inner);
}

Count gemm_macs(const NodeRef& node, const ValueTypes& types) {
  const bool transposed = node.attribute("transB", int64_t{0}) != 0;
  const Count inner = dimension(types.find(node.input(1)), transposed ? 1 : 2);
  return product(elements(types.find(node.output(0))), inner);
}

Count recurrent_macs(const NodeRef& node, const ValueTypes& types) {
  const ValueType input = types.find(node.input(0));
  const Count weights = elements(types.find(node.input(1)));
  const Count recurrent = elements(types.find(node.input(2)));
  if (input.rank() != 3 || !weights || !recurrent) return std::nullopt;
  const bool batch_first = node.attribute("layout", int64_t{0}) == 1;
  const int64_t steps = input.shape[batch_first ? 1 : 0];
  const int64_t batch = std::max<int64_t>(input.shape[batch_first ? 0 : 1], 1);
  if (steps < 0) return std::nullopt;
  return (*weights + *recurrent) * static_cast<uint64_t>(steps * batch);
}

Count nbits_macs(const NodeRef& node, const ValueTypes& types) {
  const int64_t inner = node.attribute("K", int64_t{0});
  return product(elements(types.find(node.output(0))), static_cast<uint64_t>(inner));
}

/// Whether the node multiplies and, if so, how often (nullopt inside: shapes are unknown).
std::optional<Count> macs_of(const NodeRef& node, const ValueTypes& types) {
  const std::string& op = node.op();
  if (op == "Conv" || op == "FusedConv" || op == "ConvInteger") return conv_macs(node, types, 1);
  if (op == "QLinearConv") return conv_macs(node, types, 3);
  if (op == "ConvTranspose") return conv_transpose_macs(node, types);
  if (op == "Gemm") return gemm_macs(node, types);
  if (op == "MatMul" || op == "MatMulInteger" || op == "FusedMatMul") {
    return matmul_macs(node, types, 0, 1);
  }
  if (op == "QLinearMatMul") return matmul_macs(node, types, 0, 3);
  if (op == "LSTM" || op == "GRU" || op == "RNN") return recurrent_macs(node, types);
  if (op == "MatMulNBits") return nbits_macs(node, types);
  return std::nullopt;
}

bool is_weight_type(DataType type) {
  return is_floating(type) || type == DataType::kInt8 || type == DataType::kUint8 ||
         type == DataType::kInt4 || type == DataType::kUint4 || type == DataType::kInt2 ||
         type == DataType::kUint2;
}

uint64_t bytes_of(const ValueRef& constant) {
  return packed_bytes(constant.constant_type(), element_count(constant.constant_shape()));
}

using ValueKey = std::pair<const Graph*, std::string>;

/// Plain 8-bit integers with scales that are numbers are 0 where the integer is.
bool is_zero_where_codes_are(const forms::StoredForm& form, const ValueRef& codes) {
  if (!codes || !codes.is_constant()) return false;
  if (codes.constant_type() != DataType::kInt8 && codes.constant_type() != DataType::kUint8) {
    return false;
  }
  return std::all_of(form.constants.begin(), form.constants.end(), [&](const ValueRef& other) {
    if (other == codes) return true;
    if (other.constant_type() == DataType::kInt64) return true;  // a shape
    if (other.constant_type() != DataType::kFloat) return false;  // zero points
    const std::vector<float> scales = other.constant()->to_float();
    return std::all_of(scales.begin(), scales.end(),
                       [](float s) { return std::isnormal(s) && std::abs(s) > kLeastScale; });
  });
}

uint64_t nonzeros_of(const forms::StoredForm& form) {
  if (form.quantized()) {
    const ValueRef codes = forms::quantized_codes(form.end);
    if (is_zero_where_codes_are(form, codes)) return count_nonzeros(codes);
  }
  return count_nonzeros(form.decode());
}

/// Constants that are only pieces of a stored form: they count as the weight that the form stands
/// for.
std::set<ValueKey> add_forms_to(ModelCost& cost, Model& model, bool counts) {
  std::set<ValueKey> pieces;
  const auto inside = forms::form_nodes(model);
  for (Graph* const graph : model.graphs()) {
    for (const NodeRef node : graph->nodes()) {
      if (!inside.contains(node.proto())) continue;
      const ValueRef end = node.output();
      const auto uses = end.uses();
      const bool is_end =
          end.is_graph_output() || std::any_of(uses.begin(), uses.end(), [&](const Use& use) {
            return !inside.contains(use.node.proto());
          });
      const auto form = is_end ? forms::recognise(end) : std::nullopt;
      if (!form) continue;
      for (const ValueRef& constant : form->constants)
        pieces.insert({&constant.scope(), constant.name()});
      if (!is_weight_type(form->type)) continue;
      cost.parameters += static_cast<uint64_t>(element_count(form->shape));
      if (counts) cost.nonzeros += nonzeros_of(*form);
    }
  }
  return pieces;
}

void add_constant_to(ModelCost& cost, const ValueRef& constant, const std::set<ValueKey>& pieces,
                     bool counts) {
  cost.weight_bytes += bytes_of(constant);
  const bool is_piece = pieces.contains({&constant.scope(), constant.name()});
  if (is_piece || !is_weight_type(constant.constant_type())) return;
  cost.parameters += static_cast<uint64_t>(element_count(constant.constant_shape()));
  if (!counts) return;
  cost.nonzeros += count_nonzeros(constant);
}

}  // namespace

uint64_t node_macs(const NodeRef& node, const ValueTypes& types) {
  const auto macs = macs_of(node, types);
  return macs && *macs ? **macs : 0;
}

NodeCost node_cost(const NodeRef& node, const ValueTypes& types) {
  NodeCost cost;
  for (int i = 0; i < node.input_count(); ++i) {
    const ValueRef input = node.input(i);
    if (!input || !input.is_constant()) continue;
    cost.weight_bytes += bytes_of(input);
    if (!is_weight_type(input.constant_type())) continue;
    cost.parameters += static_cast<uint64_t>(element_count(input.constant_shape()));
  }
  cost.macs = node_macs(node, types);
  return cost;
}

ModelCost model_cost(Model& model, const ValueTypes& types,
                     std::optional<uint64_t> known_nonzeros) {
  ModelCost cost;
  const bool counts = !known_nonzeros;
  bool macs_are_known = true;
  cost.nonzeros = known_nonzeros.value_or(0);
  const auto pieces = add_forms_to(cost, model, counts);
  for (Graph* graph : model.graphs()) {
    for (const std::string& name : graph->initializers()) {
      const ValueRef value = graph->find(name);
      if (value && value.is_constant()) add_constant_to(cost, value, pieces, counts);
    }
    for (const NodeRef node : graph->nodes()) {
      if (node.is("Constant")) {
        const ValueRef value = node.output(0);
        if (value && value.is_constant()) add_constant_to(cost, value, pieces, counts);
        continue;
      }
      const auto macs = macs_of(node, types);
      if (!macs) continue;
      macs_are_known = macs_are_known && macs->has_value();
      cost.macs += macs->value_or(0);
    }
  }
  // A part would read as the whole.
  if (!macs_are_known) cost.macs = 0;
  return cost;
}

}  // namespace mcompress::analysis
