// SPDX-License-Identifier: Apache-2.0
#include "pipeline/inspect.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

#include "analysis/cost.h"
#include "analysis/weights.h"
#include "forms/stored_form.h"
#include "ir/about.h"
#include "mcompress/interrupt.h"
#include "mcompress/layer.h"
#include "pipeline/environment.h"
#include "pipeline/measure.h"
#include "support/hash.h"

namespace mcompress {
namespace {


std::vector<InspectValue> values_of(const std::vector<ValueInfo>& values) {
  std::vector<InspectValue> result;
  for (const ValueInfo& value : values) {
    result.push_back({.name = value.name,
                      .type = data_type_name(value.type),
                      .shape = value.shape,
                      .known_rank = value.has_shape});
  }
  return result;
}

std::vector<InspectOp> count_ops(const Model& model) {
  std::map<std::pair<std::string, std::string>, int64_t> counts;
  for (Graph* graph : model.graphs()) {
    for (const NodeRef node : graph->nodes()) ++counts[{node.op(), node.domain()}];
  }
  std::vector<InspectOp> ops;
  for (const auto& [key, count] : counts) ops.push_back({key.first, key.second, count});
  std::stable_sort(ops.begin(), ops.end(),
                   [](const InspectOp& a, const InspectOp& b) { return a.count > b.count; });
  return ops;
}

std::vector<InspectType> count_types(const Model& model) {
  std::map<DataType, InspectType> types;
  const auto add = [&](const ValueRef& value) {
    if (!value.is_constant()) return;
    const DataType type = value.constant_type();
    const int64_t count = element_count(value.constant_shape());
    InspectType& entry = types[type];
    entry.type = data_type_name(type);
    ++entry.tensors;
    entry.elements += static_cast<uint64_t>(count);
    entry.bytes += packed_bytes(type, count);
  };
  for (Graph* graph : model.graphs()) {
    for (const std::string& name : graph->initializers()) add(graph->find(name));
    for (const NodeRef node : graph->nodes()) {
      if (node.is("Constant")) add(node.output());
    }
  }
  std::vector<InspectType> result;
  for (auto& [type, entry] : types) result.push_back(std::move(entry));
  std::stable_sort(result.begin(), result.end(),
                   [](const InspectType& a, const InspectType& b) { return a.bytes > b.bytes; });
  return result;
}

// How the weight is stored: "float", "int8 dequantize", "codes".
void describe_storage(const Layer& layer, InspectLayer& row) {
  const std::optional<forms::StoredForm> form = forms::recognise(layer.weight);
  if (!form) {
    row.type = data_type_name(layer.weight.constant_type());
    row.bytes =
        packed_bytes(layer.weight.constant_type(), element_count(layer.weight.constant_shape()));
    return;
  }
  row.type = std::string(forms::form_name(form->kind));
  if (form->inner) row.type += " of " + std::string(forms::form_name(*form->inner));
  row.bytes = static_cast<uint64_t>(form->bits_per_weight *
                                    static_cast<double>(element_count(form->shape)) / 8);
}

/// What nothing good comes of, or "".
std::string complaint(const Layer& layer, const analysis::WeightFigures& figures) {
  const bool infinite = std::isinf(figures.min) || std::isinf(figures.max);
  if (figures.nans == 0 && !infinite) return "";
  return "layer " + (layer.name.empty() ? layer.output : layer.name) + ": its weight '" +
         layer.weight.name() + "' holds " + (figures.nans == 0 ? "infinity" : "NaN") +
         (figures.nans > 0 && infinite ? " and infinity" : "");
}

InspectLayer inspect_layer(const Layer& layer, const ValueTypes& types,
                           std::vector<std::string>& warnings) {
  InspectLayer row;
  row.name = layer.name;
  row.op = layer.node.op();
  row.output = layer.output;
  row.weight = layer.weight.name();
  row.weight_shape = layer.weight_shape;
  row.shared = layer.shared_weight;
  row.macs = analysis::node_macs(layer.node, types);
  describe_storage(layer, row);
  row.stored_bits = 8.0 * static_cast<double>(row.bytes) /
                    static_cast<double>(std::max<int64_t>(1, layer.weight_count()));
  if (const std::optional<Tensor> weight = forms::constant_or_form(layer.weight)) {
    const analysis::WeightFigures figures = analysis::weight_figures(*weight);
    row.sparsity = figures.sparsity();
    row.distinct = figures.distinct;
    row.entropy_bits = figures.entropy_bits;
    if (std::string why = complaint(layer, figures); !why.empty())
      warnings.push_back(std::move(why));
  }
  return row;
}

}  // namespace

InspectReport inspect_model(const std::filesystem::path& path, Model& model,
                            RuntimeService& runtime) {
  InspectReport report;
  report.input = path.string();
  report.hash = support::hash_file(path).labelled();
  report.ir_version = model.ir_version();
  ModelAbout self = about(model);
  report.producer = std::move(self.producer);
  report.opsets = std::move(self.opsets);
  report.metadata = std::move(self.metadata);
  report.functions = self.functions;
  report.environment = environment_of(&runtime, 1);
  ValueTypes types;
  if (const std::optional<std::string> problem = runtime.load_error(model)) {
    report.load_error = *problem;
  } else {
    types = runtime.infer_types(model);
  }
  check_interrupt();
  report.size = size_figure(model, types);
  report.external_bytes = external_bytes(report.size.file_bytes, path);
  report.size.file_bytes = std::filesystem::file_size(path) + report.external_bytes;
  add_gzip_bytes(report.size, path);
  report.inputs = values_of(model.graph().inputs());
  report.outputs = values_of(model.graph().outputs());
  report.ops = count_ops(model);
  for (const InspectOp& op : report.ops) report.nodes += op.count;
  report.subgraphs = static_cast<int64_t>(model.graphs().size()) - 1;
  report.precision = count_types(model);
  for (const Layer& layer : find_layers(model)) {
    check_interrupt();
    report.layers.push_back(inspect_layer(layer, types, report.warnings));
  }
  return report;
}

}  // namespace mcompress
