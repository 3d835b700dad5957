// SPDX-License-Identifier: Apache-2.0
#include "runtime/types.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "runtime/skeleton.h"

namespace mcompress::runtime {
namespace {

using Types = std::map<std::string, ValueType>;

ValueType declared_type(const onnx::ValueInfoProto& info) {
  ValueType type;
  if (!info.type().has_tensor_type()) return type;
  const auto& tensor = info.type().tensor_type();
  type.type = static_cast<DataType>(tensor.elem_type());
  type.known_rank = tensor.has_shape();
  for (const auto& dim : tensor.shape().dim()) {
    type.shape.push_back(dim.has_dim_value() ? dim.dim_value() : -1);
  }
  return type;
}

void declare(onnx::ValueInfoProto* info, const ValueType& type) {
  auto* tensor = info->mutable_type()->mutable_tensor_type();
  tensor->set_elem_type(static_cast<int32_t>(type.type));
  if (!type.known_rank) return;
  tensor->mutable_shape();
  for (const int64_t dim : type.shape) {
    auto* added = tensor->mutable_shape()->add_dim();
    if (dim >= 0) added->set_dim_value(dim);
  }
}

bool imports_default_domain(const onnx::ModelProto& model) {
  for (const auto& import : model.opset_import()) {
    if (import.domain().empty() || import.domain() == "ai.onnx") return true;
  }
  return false;
}

std::vector<std::string> computed_names(const onnx::GraphProto& graph) {
  std::vector<std::string> names;
  for (const auto& node : graph.node()) {
    for (const auto& name : node.output()) {
      if (!name.empty()) names.push_back(name);
    }
  }
  return names;
}

// Asks the runtime for `names`; halves the question where a value cannot be an output.
void ask_types(const onnx::ModelProto& model, std::span<const std::string> names,
               const OpenSkeleton& open, Types& types) {
  if (names.empty()) return;
  onnx::ModelProto tapped = model;
  add_outputs(tapped, names);
  std::unique_ptr<OrtSession> session;
  try {
    session = open(tapped);
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kInterrupted) throw;
    if (names.size() == 1) {
      spdlog::debug("type of {} is unknown: {}", names[0], error.message());
      return;
    }
    const size_t half = names.size() / 2;
    ask_types(model, names.first(half), open, types);
    ask_types(model, names.subspan(half), open, types);
    return;
  }
  for (const auto& output : session->output_types()) {
    if (output.type == DataType::kUndefined) continue;
    types[output.name] = {output.type, output.has_shape, output.shape};
  }
}

// Rank of tensors that read as "no dimensions": 0, or unknown and then learned from a sample.
void ask_ranks(const onnx::ModelProto& model, const Feeds* sample, const OpenSkeleton& open,
               Types& types) {
  onnx::ModelProto probe = model;
  std::map<std::string, std::string> value_of;  // output of the Shape node -> value
  std::vector<std::string> probes;
  for (const auto& [name, type] : types) {
    if (type.known_rank) continue;
    const std::string output = "mcompress.shape_of." + name;
    auto* node = probe.mutable_graph()->add_node();
    node->set_op_type("Shape");
    node->add_input(name);
    node->add_output(output);
    value_of[output] = name;
    probes.push_back(output);
  }
  if (probes.empty() || !imports_default_domain(model)) return;
  keep_only_outputs(probe, probes);
  const auto session = open(probe);
  std::vector<std::string> unknown;
  for (const auto& output : session->output_types()) {
    if (output.has_shape && output.shape[0] == 0) {
      types[value_of[output.name]].known_rank = true;
    } else if (sample != nullptr) {
      unknown.push_back(output.name);
    }
  }
  if (unknown.empty()) return;
  session->select_outputs(unknown);
  const auto shapes = session->run(*sample);
  for (size_t i = 0; i < unknown.size(); ++i) {
    // One sample tells the rank; which of its dimensions are constant it cannot tell.
    auto& type = types[value_of[unknown[i]]];
    type.known_rank = true;
    type.shape.assign(static_cast<size_t>(shapes[i].count()), -1);
  }
}

Types infer_main(onnx::ModelProto model, const Feeds* sample, const OpenSkeleton& open) {
  Types types;
  forget_declared_types(model);
  const auto names = computed_names(model.graph());
  ask_types(model, names, open, types);
  try {
    ask_ranks(model, sample, open, types);
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kInterrupted) throw;
    spdlog::debug("ranks are unknown: {}", error.message());
  }
  for (const auto& input : model.graph().input()) {
    const ValueType type = declared_type(input);
    if (type.type != DataType::kUndefined) types[input.name()] = type;
  }
  return types;
}

// The protos of all graphs, bodies paired with their Graph objects in attribute order.
void collect_protos(Graph& graph, const onnx::GraphProto& proto,
                    std::map<const Graph*, const onnx::GraphProto*>& protos) {
  protos[&graph] = &proto;
  for (const NodeRef node : graph.nodes()) {
    const auto bodies = node.subgraphs();
    size_t next = 0;
    for (const auto& attribute : node.proto()->attribute()) {
      if (attribute.has_g() && next < bodies.size()) {
        collect_protos(*bodies[next++], attribute.g(), protos);
      }
      for (const auto& body : attribute.graphs()) {
        if (next < bodies.size()) collect_protos(*bodies[next++], body, protos);
      }
    }
  }
}

class BodyHoister {
 public:
  BodyHoister(const Model& model, const ValueTypes& types,
              const std::map<const Graph*, const onnx::GraphProto*>& protos)
      : model_(model), types_(types), protos_(protos) {}

  /// The body as a model of its own; nullopt where a type that it needs is unknown.
  std::optional<onnx::ModelProto> hoist(Graph& body) const {
    onnx::ModelProto result;
    // Captured constants become initializers that are no inputs, which begins with IR version 4.
    result.set_ir_version(std::max<int64_t>(4, model_.proto().ir_version()));
    *result.mutable_opset_import() = model_.proto().opset_import();
    *result.mutable_functions() = model_.proto().functions();
    *result.mutable_graph() = *protos_.at(&body);
    if (result.graph().name().empty()) result.mutable_graph()->set_name("body");
    if (!type_inputs(body, result.mutable_graph())) return std::nullopt;
    if (!add_captured(body, result.mutable_graph())) return std::nullopt;
    return result;
  }

 private:
  bool type_inputs(Graph& body, onnx::GraphProto* graph) const {
    for (int i = 0; i < graph->input_size(); ++i) {
      auto* input = graph->mutable_input(i);
      ValueType type = declared_type(*input);
      const ValueType outer = outer_type(body.owner(), i, graph->input_size());
      if (type.type == DataType::kUndefined) type.type = outer.type;
      if (type.type == DataType::kUndefined) return false;
      if (!type.known_rank && outer.known_rank) {
        type.known_rank = true;
        type.shape = outer.shape;
      }
      input->clear_type();
      declare(input, type);
    }
    return true;
  }

  // Type that the owner passes to input `index` of its body.
  ValueType outer_type(NodeRef owner, int index, int input_count) const {
    if (owner.is("Loop")) {
      if (index == 0) return {DataType::kInt64, true, {}};
      if (index == 1) return {DataType::kBool, true, {}};
      // A carried value may change its shape from one round to the next.
      return {types_.find(owner.input(index)).type, false, {}};
    }
    if (owner.is("Scan") && owner.input_count() == input_count) {
      ValueType type = types_.find(owner.input(index));
      const auto scanned = static_cast<int>(owner.attribute("num_scan_inputs", int64_t{0}));
      const int first = input_count - scanned;
      if (index < first || !type.known_rank) return type;
      const auto axes = owner.attribute_ints("scan_input_axes");
      int64_t axis = axes.empty() ? 0 : axes.at(static_cast<size_t>(index - first));
      if (axis < 0) axis += type.rank();
      if (axis < 0 || axis >= type.rank()) return {type.type, false, {}};
      type.shape.erase(type.shape.begin() + axis);
      return type;
    }
    return {};
  }

  bool add_captured(Graph& body, onnx::GraphProto* graph) const {
    for (const auto& name : captured_names(*protos_.at(&body))) {
      const ValueRef value = body.find(name);
      if (!value) return false;
      if (copy_constant(value, graph)) continue;
      const ValueType type = types_.find(value);
      if (type.type == DataType::kUndefined) return false;
      auto* input = graph->add_input();
      input->set_name(name);
      declare(input, type);
    }
    return true;
  }

  bool copy_constant(const ValueRef& value, onnx::GraphProto* graph) const {
    if (value.is_graph_input()) return false;
    const NodeRef producer = value.producer();
    if (producer) {
      if (!producer.is("Constant")) return false;
      // Constants come first so that the order stays topological.
      *graph->add_node() = *producer.proto();
      for (int i = graph->node_size() - 1; i > 0; --i) {
        graph->mutable_node()->SwapElements(i, i - 1);
      }
      return true;
    }
    for (const auto& tensor : protos_.at(&value.scope())->initializer()) {
      if (tensor.name() != value.name()) continue;
      *graph->add_initializer() = tensor;
      return true;
    }
    return false;
  }

  const Model& model_;
  const ValueTypes& types_;
  const std::map<const Graph*, const onnx::GraphProto*>& protos_;
};

}  // namespace

ValueTypes infer_types(const Model& model, const Feeds* sample, const OpenSkeleton& open) {
  ValueTypes result;
  Graph& main = model.graph();
  for (auto& [name, type] : infer_main(model.proto(), sample, open)) {
    result.set(&main, name, type);
  }
  std::map<const Graph*, const onnx::GraphProto*> protos;
  collect_protos(main, model.proto().graph(), protos);
  for (Graph* body : model.graphs()) {
    if (body->parent() == nullptr || protos.count(body) == 0) continue;
    const auto hoisted = BodyHoister(model, result, protos).hoist(*body);
    if (!hoisted) continue;
    const auto own = computed_names(*protos.at(body));
    const std::set<std::string> own_names(own.begin(), own.end());
    for (const auto& [name, type] : infer_main(*hoisted, nullptr, open)) {
      const bool is_input = body->find(name) && &body->find(name).scope() == body;
      if (own_names.count(name) > 0 || is_input) result.set(body, name, type);
    }
  }
  return result;
}

}  // namespace mcompress::runtime
