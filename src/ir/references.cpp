// SPDX-License-Identifier: Apache-2.0
#include "ir/model_impl.h"

namespace mcompress {
namespace {

const std::string& empty_text() {
  static const std::string text;
  return text;
}

const onnx::AttributeProto* find_attribute(const onnx::NodeProto& node, std::string_view name) {
  for (const auto& attribute : node.attribute()) {
    if (attribute.name() == name) return &attribute;
  }
  return nullptr;
}

/// The tensor of a Constant node, whichever attribute it is given by; nullptr for strings and
/// sparse ones.
std::unique_ptr<onnx::TensorProto> constant_of(const onnx::NodeProto& node) {
  auto tensor = std::make_unique<onnx::TensorProto>();
  for (const auto& attribute : node.attribute()) {
    if (attribute.name() == "value" && attribute.has_t()) {
      *tensor = attribute.t();
      return tensor;
    }
    if (attribute.name() == "value_float") {
      tensor->set_data_type(onnx::TensorProto::FLOAT);
      tensor->add_float_data(attribute.f());
      return tensor;
    }
    if (attribute.name() == "value_int") {
      tensor->set_data_type(onnx::TensorProto::INT64);
      tensor->add_int64_data(attribute.i());
      return tensor;
    }
    if (attribute.name() == "value_floats") {
      tensor->set_data_type(onnx::TensorProto::FLOAT);
      tensor->add_dims(attribute.floats_size());
      *tensor->mutable_float_data() = attribute.floats();
      return tensor;
    }
    if (attribute.name() == "value_ints") {
      tensor->set_data_type(onnx::TensorProto::INT64);
      tensor->add_dims(attribute.ints_size());
      *tensor->mutable_int64_data() = attribute.ints();
      return tensor;
    }
  }
  return nullptr;
}

bool is_constant_node(const onnx::NodeProto& node) {
  return node.op_type() == "Constant" && (node.domain().empty() || node.domain() == "ai.onnx");
}

}  // namespace

// ---- ValueRef ----

NodeRef ValueRef::producer() const {
  if (scope_ == nullptr) return {};
  const auto it = scope_->index_->definitions.find(name_);
  if (it == scope_->index_->definitions.end() || it->second.node == nullptr) return {};
  return {scope_, it->second.node};
}

int ValueRef::producer_output() const {
  if (scope_ == nullptr) return -1;
  const auto it = scope_->index_->definitions.find(name_);
  if (it == scope_->index_->definitions.end() || it->second.node == nullptr) return -1;
  return it->second.output;
}

std::vector<Use> ValueRef::uses() const {
  std::vector<Use> uses;
  if (scope_ == nullptr) return uses;
  const auto it = scope_->index_->uses.find(name_);
  if (it == scope_->index_->uses.end()) return uses;
  for (const auto& use : it->second) uses.push_back({NodeRef(use.graph, use.node), use.input});
  return uses;
}

bool ValueRef::is_graph_output() const {
  if (scope_ == nullptr) return false;
  const auto it = scope_->index_->output_uses.find(name_);
  return it != scope_->index_->output_uses.end() && !it->second.empty();
}

bool ValueRef::is_graph_input() const {
  if (scope_ == nullptr) return false;
  const auto it = scope_->index_->definitions.find(name_);
  return it != scope_->index_->definitions.end() && it->second.is_input;
}

bool ValueRef::is_constant() const { return constant_type() != DataType::kUndefined; }

DataType ValueRef::constant_type() const {
  if (scope_ == nullptr) return DataType::kUndefined;
  const auto it = scope_->index_->definitions.find(name_);
  if (it == scope_->index_->definitions.end()) return DataType::kUndefined;
  const auto& definition = it->second;
  const auto known = [](int32_t number) {
    const auto type = static_cast<DataType>(number);
    return data_type_bits(type) > 0 ? type : DataType::kUndefined;
  };
  if (definition.initializer != nullptr) {
    const bool overridable =
        definition.is_input && !scope_->model().impl().initializers_are_inputs();
    return overridable ? DataType::kUndefined : known(definition.initializer->data_type());
  }
  if (definition.node == nullptr || !is_constant_node(*definition.node))
    return DataType::kUndefined;
  const auto* const value = find_attribute(*definition.node, "value");
  if (value != nullptr && value->has_t()) return known(value->t().data_type());
  const auto tensor = constant_of(*definition.node);
  return tensor ? known(tensor->data_type()) : DataType::kUndefined;
}

Shape ValueRef::constant_shape() const {
  if (!is_constant()) return {};
  const auto& definition = scope_->index_->definitions.at(name_);
  if (definition.initializer != nullptr) {
    return {definition.initializer->dims().begin(), definition.initializer->dims().end()};
  }
  const auto tensor = constant_of(*definition.node);
  return {tensor->dims().begin(), tensor->dims().end()};
}

std::optional<Tensor> ValueRef::constant() const {
  if (!is_constant()) return std::nullopt;
  const auto& definition = scope_->index_->definitions.at(name_);
  auto& store = *scope_->model().impl().payloads;
  if (definition.initializer != nullptr) return ir::read_tensor(*definition.initializer, store);
  return ir::read_tensor(*constant_of(*definition.node), store);
}

// ---- NodeRef ----

bool NodeRef::alive() const { return proto_ != nullptr && graph_->index_->places.contains(proto_); }

const std::string& NodeRef::op() const { return proto_->op_type(); }

std::string NodeRef::domain() const {
  return proto_->domain() == "ai.onnx" ? std::string() : proto_->domain();
}

const std::string& NodeRef::name() const { return proto_->name(); }

std::string NodeRef::label() const {
  if (!proto_->name().empty()) return proto_->name();
  return proto_->op_type() + ":" + (proto_->output_size() > 0 ? proto_->output(0) : std::string());
}

bool NodeRef::is(std::string_view op, std::string_view domain) const {
  return proto_ != nullptr && proto_->op_type() == op && this->domain() == domain;
}

int NodeRef::input_count() const { return proto_->input_size(); }
int NodeRef::output_count() const { return proto_->output_size(); }

ValueRef NodeRef::input(int index) const { return graph_->find(input_name(index)); }

ValueRef NodeRef::output(int index) const {
  const std::string& name = output_name(index);
  return name.empty() ? ValueRef() : ValueRef(graph_, name);
}

const std::string& NodeRef::input_name(int index) const {
  return index >= 0 && index < proto_->input_size() ? proto_->input(index) : empty_text();
}

const std::string& NodeRef::output_name(int index) const {
  return index >= 0 && index < proto_->output_size() ? proto_->output(index) : empty_text();
}

bool NodeRef::has_attribute(std::string_view name) const {
  return find_attribute(*proto_, name) != nullptr;
}

int64_t NodeRef::attribute(std::string_view name, int64_t fallback) const {
  const auto* const attribute = find_attribute(*proto_, name);
  return attribute != nullptr && attribute->has_i() ? attribute->i() : fallback;
}

float NodeRef::attribute(std::string_view name, float fallback) const {
  const auto* const attribute = find_attribute(*proto_, name);
  return attribute != nullptr && attribute->has_f() ? attribute->f() : fallback;
}

std::string NodeRef::attribute(std::string_view name, std::string_view fallback) const {
  const auto* const attribute = find_attribute(*proto_, name);
  return attribute != nullptr && attribute->has_s() ? attribute->s() : std::string(fallback);
}

std::vector<int64_t> NodeRef::attribute_ints(std::string_view name) const {
  const auto* const attribute = find_attribute(*proto_, name);
  if (attribute == nullptr) return {};
  return {attribute->ints().begin(), attribute->ints().end()};
}

std::vector<float> NodeRef::attribute_floats(std::string_view name) const {
  const auto* const attribute = find_attribute(*proto_, name);
  if (attribute == nullptr) return {};
  return {attribute->floats().begin(), attribute->floats().end()};
}

std::optional<Tensor> NodeRef::attribute_tensor(std::string_view name) const {
  const auto* const attribute = find_attribute(*proto_, name);
  if (attribute == nullptr || !attribute->has_t()) return std::nullopt;
  return ir::read_tensor(attribute->t(), *graph_->model().impl().payloads);
}

std::vector<Graph*> NodeRef::subgraphs() const {
  std::vector<Graph*> graphs;
  const auto& bodies = graph_->model().impl().bodies;
  const auto it = bodies.find(proto_);
  if (it == bodies.end()) return graphs;
  for (const auto& body : it->second) graphs.push_back(body.get());
  return graphs;
}

}  // namespace mcompress
