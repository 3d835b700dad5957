// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "ir/model_impl.h"

namespace mcompress {
namespace {

ValueInfo to_value_info(const onnx::ValueInfoProto& proto) {
  ValueInfo info;
  info.name = proto.name();
  if (!proto.has_type() || !proto.type().has_tensor_type()) return info;
  const auto& tensor = proto.type().tensor_type();
  info.type = static_cast<DataType>(tensor.elem_type());
  info.has_shape = tensor.has_shape();
  for (const auto& dim : tensor.shape().dim()) {
    info.shape.push_back(dim.has_dim_value() && dim.dim_value() >= 0 ? dim.dim_value() : -1);
    info.dim_params.push_back(dim.dim_param());
  }
  return info;
}

void fill_attribute(onnx::AttributeProto& proto, const Attribute& attribute,
                    ir::PayloadStore& store) {
  using A = onnx::AttributeProto;
  proto.Clear();
  proto.set_name(attribute.name);
  if (const auto* const i = std::get_if<int64_t>(&attribute.value)) {
    proto.set_type(A::INT);
    proto.set_i(*i);
  } else if (const auto* const f = std::get_if<float>(&attribute.value)) {
    proto.set_type(A::FLOAT);
    proto.set_f(*f);
  } else if (const auto* const s = std::get_if<std::string>(&attribute.value)) {
    proto.set_type(A::STRING);
    proto.set_s(*s);
  } else if (const auto* const is = std::get_if<std::vector<int64_t>>(&attribute.value)) {
    proto.set_type(A::INTS);
    proto.mutable_ints()->Add(is->begin(), is->end());
  } else if (const auto* const fs = std::get_if<std::vector<float>>(&attribute.value)) {
    proto.set_type(A::FLOATS);
    proto.mutable_floats()->Add(fs->begin(), fs->end());
  } else if (const auto* const ss = std::get_if<std::vector<std::string>>(&attribute.value)) {
    proto.set_type(A::STRINGS);
    for (const auto& text : *ss) proto.add_strings(text);
  } else {
    proto.set_type(A::TENSOR);
    ir::write_tensor(*proto.mutable_t(), std::get<Tensor>(attribute.value), store);
  }
}

void remove_value_info(onnx::GraphProto& graph, const std::string& name) {
  auto* const infos = graph.mutable_value_info();
  const auto it = std::find_if(infos->begin(), infos->end(),
                               [&](const auto& info) { return info.name() == name; });
  if (it != infos->end()) infos->erase(it);
}

[[noreturn]] void bug(const std::string& message) { throw Error(ErrorCode::kBug, message); }

}  // namespace

const std::string& Graph::name() const { return proto_->name(); }

NodeRange Graph::nodes() {
  index_->sort(*this);
  std::vector<NodeRef> nodes;
  nodes.reserve(static_cast<size_t>(proto_->node_size()));
  for (auto& node : *proto_->mutable_node()) nodes.emplace_back(this, &node);
  return NodeRange(std::move(nodes));
}

std::vector<ValueInfo> Graph::inputs() const {
  std::vector<ValueInfo> infos;
  for (const auto& input : proto_->input()) infos.push_back(to_value_info(input));
  return infos;
}

std::vector<ValueInfo> Graph::outputs() const {
  std::vector<ValueInfo> infos;
  for (const auto& output : proto_->output()) infos.push_back(to_value_info(output));
  return infos;
}

std::vector<std::string> Graph::initializers() const {
  std::vector<std::string> names;
  for (const auto& tensor : proto_->initializer()) names.push_back(tensor.name());
  return names;
}

ValueRef Graph::find(std::string_view name) {
  std::string text(name);
  if (text.empty()) return {};
  Graph* const scope = Index::scope_of(*this, text);
  return scope == nullptr ? ValueRef() : ValueRef(scope, std::move(text));
}

NodeRef Graph::insert(NodeSpec spec, NodeRef before) {
  auto& impl = model_->impl();
  ++impl.edits;
  auto* const node = proto_->add_node();
  node->set_op_type(spec.op);
  if (!spec.domain.empty()) node->set_domain(spec.domain);
  if (!spec.name.empty()) node->set_name(fresh_name(spec.name));
  for (const auto& input : spec.inputs) node->add_input(input ? input.name() : "");
  for (const auto& output : spec.outputs) {
    node->add_output(output.empty() ? fresh_name(spec.name.empty() ? spec.op : spec.name) : output);
  }
  for (const auto& attribute : spec.attributes) {
    fill_attribute(*node->add_attribute(), attribute, *impl.payloads);
  }
  auto place =
      Index::Place{.key = ++index_->next_key, .phase = 0, .sequence = ++index_->next_sequence};
  if (before) {
    const auto anchor = index_->places.find(before.proto());
    if (anchor == index_->places.end()) bug("a node is inserted before one of another graph");
    place = {.key = anchor->second.key, .phase = -1, .sequence = index_->next_sequence};
  }
  index_->places[node] = place;
  index_->define_outputs(*this, node);
  for (int i = 0; i < node->input_size(); ++i) Index::add_use(*this, node, i);
  index_->order_dirty = true;
  return {this, node};
}

void Graph::erase(NodeRef node) {
  if (!node.alive()) bug("a node is erased twice");
  for (int i = 0; i < node.output_count(); ++i) {
    const ValueRef output = node.output(i);
    if (output && (!output.uses().empty() || output.is_graph_output())) {
      bug("node " + node.label() + " is erased while '" + output.name() + "' is in use");
    }
  }
  ++model_->impl().edits;
  Index::remove_all_uses(*this, node.proto());
  for (const auto& output : node.proto()->output()) {
    index_->definitions.erase(output);
    remove_value_info(*proto_, output);
  }
  index_->places.erase(node.proto());
  auto* const nodes = proto_->mutable_node();
  const auto at = std::find(nodes->pointer_begin(), nodes->pointer_end(), node.proto());
  onnx::NodeProto* extracted = nullptr;
  nodes->ExtractSubrange(static_cast<int>(at - nodes->pointer_begin()), 1, &extracted);
  index_->graveyard.emplace_back(extracted);
}

ValueRef Graph::replace_uses(const ValueRef& from, const ValueRef& to) {
  if (from == to) return to;
  Graph& scope = from.scope();
  const auto outputs = scope.index_->output_uses.find(from.name());
  const bool is_output = outputs != scope.index_->output_uses.end() && !outputs->second.empty();
  if (is_output) {
    const NodeRef producer = to.producer();
    const bool can_move = producer && &to.scope() == &scope && !to.is_graph_output();
    if (can_move) return supersede(from, to);
    if (!from.producer()) bug("graph output '" + from.name() + "' is no node's output");
    const std::string name = from.name();
    const NodeRef old = from.producer();
    const NodeRef identity = scope.insert({.op = "Identity", .inputs = {to}, .outputs = {""}}, old);
    return supersede(from, identity.output());
  }
  ++model_->impl().edits;
  const auto uses = from.uses();
  for (const Use& use : uses) use.node.graph().set_input(use.node, use.input, to);
  return to;
}

ValueRef Graph::supersede(const ValueRef& old, const ValueRef& now) {
  Graph& scope = old.scope();
  const NodeRef old_producer = old.producer();
  const NodeRef producer = now.producer();
  if (!producer || !old_producer || &now.scope() != &scope) {
    bug("'" + now.name() + "' cannot take the name of '" + old.name() + "' over");
  }
  if (now.is_graph_output()) bug("graph output '" + now.name() + "' cannot be renamed");
  auto& state = model_->impl().state;
  const std::string name = old.name();
  const std::string former = now.name();
  const auto old_uses = old.uses();
  const auto now_uses = now.uses();
  // Three renames under one index: old -> fresh, now -> name, then everybody reads name.
  const int old_index = old.producer_output();
  const int now_index = now.producer_output();
  for (const Use& use : old_uses) Index::remove_use(use.node.graph(), use.node.proto(), use.input);
  for (const Use& use : now_uses) Index::remove_use(use.node.graph(), use.node.proto(), use.input);
  scope.set_output(old_producer, old_index, scope.fresh_name(name));
  scope.set_output(producer, now_index, name);
  const auto reread = [&](const Use& use) {
    use.node.proto()->set_input(use.input, name);
    Index::add_use(use.node.graph(), use.node.proto(), use.input);
  };
  for (const Use& use : old_uses) reread(use);
  for (const Use& use : now_uses) reread(use);
  // What `now` was called in the input model is what its layer is known by there.
  const auto origin = state.origin.find(former);
  if (origin != state.origin.end()) {
    const std::string was = origin->second;
    state.origin.erase(origin);
    state.origin[name] = was;
  } else if (model_->impl().original_names->contains(former)) {
    state.origin[name] = former;
  }
  return {&scope, name};
}

void Graph::set_input(NodeRef node, int index, const ValueRef& value) {
  ++model_->impl().edits;
  auto* const proto = node.proto();
  while (proto->input_size() <= index) proto->add_input("");
  Index::remove_use(*this, proto, index);
  proto->set_input(index, value ? value.name() : "");
  Index::add_use(*this, proto, index);
  index_->order_dirty = true;
  for (Graph* graph = parent_; graph != nullptr; graph = graph->parent_) {
    graph->index_->order_dirty = true;
  }
}

void Graph::truncate_inputs(NodeRef node, int count) {
  ++model_->impl().edits;
  auto* const proto = node.proto();
  while (proto->input_size() > count) {
    Index::remove_use(*this, proto, proto->input_size() - 1);
    proto->mutable_input()->RemoveLast();
  }
}

void Graph::set_output(NodeRef node, int index, const std::string& name) {
  ++model_->impl().edits;
  auto* const proto = node.proto();
  while (proto->output_size() <= index) proto->add_output("");
  const std::string old = proto->output(index);
  if (old == name) return;
  if (!old.empty()) {
    index_->definitions.erase(old);
    remove_value_info(*proto_, old);
  }
  proto->set_output(index, name);
  if (name.empty()) return;
  const auto [it, fresh] = index_->definitions.try_emplace(
      name, Index::Definition{.kind = Index::Kind::kNodeOutput, .node = proto, .output = index});
  if (!fresh) bug("value '" + name + "' would be defined twice");
  model_->impl().names.insert(name);
  index_->order_dirty = true;
}

void Graph::set_op(NodeRef node, const std::string& op, const std::string& domain) {
  ++model_->impl().edits;
  node.proto()->set_op_type(op);
  node.proto()->clear_domain();
  if (!domain.empty()) node.proto()->set_domain(domain);
}

void Graph::set_name(NodeRef node, const std::string& name) {
  ++model_->impl().edits;
  node.proto()->set_name(name);
  model_->impl().names.insert(name);
}

void Graph::set_attribute(NodeRef node, Attribute attribute) {
  ++model_->impl().edits;
  auto& attributes = *node.proto()->mutable_attribute();
  const auto it = std::find_if(attributes.begin(), attributes.end(),
                               [&](const auto& a) { return a.name() == attribute.name; });
  if (it != attributes.end() && (it->has_g() || it->graphs_size() > 0)) {
    bug("attribute " + attribute.name + " of " + node.label() + " is a graph");
  }
  fill_attribute(it != attributes.end() ? *it : *attributes.Add(), attribute,
                 *model_->impl().payloads);
}

void Graph::remove_attribute(NodeRef node, std::string_view name) {
  auto& attributes = *node.proto()->mutable_attribute();
  const auto it = std::find_if(attributes.begin(), attributes.end(),
                               [&](const auto& a) { return a.name() == name; });
  if (it == attributes.end()) return;
  if (it->has_g() || it->graphs_size() > 0) bug("attribute " + it->name() + " is a graph");
  ++model_->impl().edits;
  attributes.erase(it);
}

ValueRef Graph::add_constant(std::string_view hint, const Tensor& value) {
  return add_constant_named(fresh_name(hint.empty() ? "constant" : hint), value);
}

ValueRef Graph::add_constant_named(const std::string& name, const Tensor& value) {
  auto& impl = model_->impl();
  if (find(name)) bug("value '" + name + "' would be defined twice");
  if (impl.initializers_are_inputs()) {
    model_->freeze_inputs();
    impl.proto->set_ir_version(4);  // from 4 on an initializer need not be an input
  }
  ++impl.edits;
  impl.names.insert(name);
  auto* const tensor = proto_->add_initializer();
  tensor->set_name(name);
  ir::write_tensor(*tensor, value, *impl.payloads);
  index_->definitions[name] = {.kind = Index::Kind::kInitializer, .initializer = tensor};
  return {this, name};
}

void Graph::set_constant(const ValueRef& value, const Tensor& tensor) {
  if (!value.is_constant()) bug("'" + value.name() + "' is no constant");
  auto& impl = model_->impl();
  ++impl.edits;
  Graph& scope = value.scope();
  const auto& definition = scope.index_->definitions.at(value.name());
  remove_value_info(*scope.proto_, value.name());
  if (definition.initializer != nullptr) {
    ir::write_tensor(*definition.initializer, tensor, *impl.payloads);
    for (auto& input : *scope.proto_->mutable_input()) {  // IR 3: declared as an input, too
      if (input.name() != value.name()) continue;
      auto* const type = input.mutable_type()->mutable_tensor_type();
      type->set_elem_type(static_cast<int32_t>(tensor.type()));
      type->clear_shape();
      for (const int64_t d : tensor.shape()) type->mutable_shape()->add_dim()->set_dim_value(d);
    }
    return;
  }
  definition.node->clear_attribute();
  fill_attribute(*definition.node->add_attribute(), {"value", tensor}, *impl.payloads);
}

ValueRef Graph::set_constant_input(NodeRef node, int index, const Tensor& tensor) {
  const ValueRef value = node.input(index);
  if (value && value.is_constant() && value.uses().size() == 1 && !value.is_graph_output()) {
    set_constant(value, tensor);
    return value;
  }
  const ValueRef added = add_constant(value ? value.name() : node.op(), tensor);
  set_input(node, index, added);
  return added;
}

void Graph::erase_initializer(const std::string& name) {
  const auto definition = index_->definitions.find(name);
  if (definition == index_->definitions.end() || definition->second.initializer == nullptr) {
    bug("'" + name + "' is no initializer");
  }
  const ValueRef value(this, name);
  if (!value.uses().empty() || value.is_graph_output()) {
    bug("initializer '" + name + "' is erased while in use");
  }
  ++model_->impl().edits;
  auto* const tensors = proto_->mutable_initializer();
  const auto at =
      std::find(tensors->pointer_begin(), tensors->pointer_end(), definition->second.initializer);
  tensors->DeleteSubrange(static_cast<int>(at - tensors->pointer_begin()), 1);
  remove_value_info(*proto_, name);
  const bool listed = definition->second.is_input;
  index_->definitions.erase(definition);
  if (!listed) return;
  auto* const inputs = proto_->mutable_input();
  const auto input =
      std::find_if(inputs->begin(), inputs->end(), [&](const auto& i) { return i.name() == name; });
  if (input != inputs->end()) inputs->erase(input);
}

std::string Graph::fresh_name(std::string_view hint) {
  auto& impl = model_->impl();
  std::string base = hint.empty() ? "value" : std::string(hint);
  if (impl.names.insert(base).second) return base;
  int& next = impl.next_suffix[base];
  for (;;) {
    std::string name = base + "_" + std::to_string(++next);
    if (impl.names.insert(name).second) return name;
  }
}

bool Graph::is_free(std::string_view name) const {
  return !name.empty() && !model_->impl().names.contains(std::string(name));
}

void Graph::set_input_shape(const std::string& name, const Shape& shape) {
  for (auto& input : *proto_->mutable_input()) {
    if (input.name() != name || !input.type().has_tensor_type()) continue;
    ++model_->impl().edits;
    auto* const dims = input.mutable_type()->mutable_tensor_type()->mutable_shape();
    dims->Clear();
    for (const int64_t d : shape) {
      auto* const dim = dims->add_dim();
      if (d >= 0) dim->set_dim_value(d);
    }
    return;
  }
  bug("the graph has no tensor input '" + name + "'");
}

void Graph::drop_value_info() {
  if (proto_->value_info_size() == 0) return;
  ++model_->impl().edits;
  proto_->clear_value_info();
}

}  // namespace mcompress
