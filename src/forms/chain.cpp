// SPDX-License-Identifier: Apache-2.0
#include "forms/chain.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace mcompress::forms {
namespace {

/// Constants up to this size are compared with those written before.
constexpr size_t kShareLimit = 4096;

uint64_t varint_bytes(uint64_t value) {
  uint64_t bytes = 1;
  for (; value >= 128; value >>= 7) ++bytes;
  return bytes;
}

/// A length-delimited field with a one-byte tag.
uint64_t field_bytes(uint64_t length) { return 1 + varint_bytes(length) + length; }

uint64_t tensor_proto_bytes(DataType type, const Shape& shape, std::optional<size_t> name_length) {
  uint64_t bytes = 2;  // data_type
  for (const int64_t d : shape) bytes += 1 + varint_bytes(static_cast<uint64_t>(d));
  if (name_length) bytes += field_bytes(*name_length);
  return bytes + field_bytes(packed_bytes(type, element_count(shape)));
}

struct AttributeBytes {
  uint64_t operator()(int64_t value) const {
    return 1 + varint_bytes(static_cast<uint64_t>(value));
  }
  uint64_t operator()(float) const { return 5; }
  uint64_t operator()(const std::string& value) const { return field_bytes(value.size()); }
  uint64_t operator()(const std::vector<int64_t>& values) const {
    uint64_t bytes = 0;
    for (const int64_t v : values) bytes += (*this)(v);
    return bytes;
  }
  uint64_t operator()(const std::vector<float>& values) const { return 5 * values.size(); }
  uint64_t operator()(const std::vector<std::string>& values) const {
    uint64_t bytes = 0;
    for (const std::string& v : values) bytes += field_bytes(v.size());
    return bytes;
  }
  uint64_t operator()(const Tensor& value) const {
    return field_bytes(tensor_proto_bytes(value.type(), value.shape(), std::nullopt));
  }
};

uint64_t attribute_bytes(const Attribute& attribute) {
  constexpr uint64_t kTypeField = 3;  // its tag takes two bytes
  return field_bytes(field_bytes(attribute.name.size()) + kTypeField +
                     std::visit(AttributeBytes(), attribute.value));
}

NodeRef first_node(Graph& graph) {
  for (const NodeRef node : graph.nodes()) return node;
  return {};
}

}  // namespace

int Chain::constant(DataType type, Shape shape, std::function<Tensor()> make) {
  values_.push_back({false, constants_.size()});
  constants_.push_back({type, std::move(shape), std::move(make)});
  return static_cast<int>(values_.size()) - 1;
}

int Chain::constant(Tensor value) {
  const DataType type = value.type();
  const Shape shape = value.shape();
  return constant(type, shape, [value = std::move(value)] { return value; });
}

int Chain::node(std::string op, std::vector<int> inputs, std::vector<Attribute> attributes,
                std::string domain) {
  values_.push_back({true, nodes_.size()});
  nodes_.push_back({std::move(op), std::move(inputs), std::move(attributes), std::move(domain)});
  return static_cast<int>(values_.size()) - 1;
}

void Chain::require_opset(int64_t version) { least_opset_ = std::max(least_opset_, version); }

uint64_t Chain::payload_bytes() const {
  uint64_t bytes = 0;
  for (const Constant& c : constants_) bytes += packed_bytes(c.type, element_count(c.shape));
  return bytes;
}

uint64_t initializer_bytes(DataType type, const Shape& shape, size_t name_length) {
  return field_bytes(tensor_proto_bytes(type, shape, name_length));
}

uint64_t plain_bytes(const ValueRef& value) {
  const NodeRef producer = value.producer();
  if (!producer) {
    return initializer_bytes(value.constant_type(), value.constant_shape(), value.name().size());
  }
  const uint64_t tensor =
      field_bytes(tensor_proto_bytes(value.constant_type(), value.constant_shape(), std::nullopt));
  const uint64_t attribute = field_bytes(field_bytes(5) + 3 + tensor);
  const uint64_t name = producer.name().empty() ? 0 : field_bytes(producer.name().size());
  return field_bytes(field_bytes(value.name().size()) + field_bytes(8) + name + attribute);
}

uint64_t node_bytes(const Chain::Node& node, const std::vector<size_t>& input_names,
                    size_t output_name) {
  uint64_t bytes = field_bytes(output_name) + field_bytes(node.op.size());
  for (const size_t name : input_names) bytes += field_bytes(name);
  for (const Attribute& a : node.attributes) bytes += attribute_bytes(a);
  if (!node.domain.empty()) bytes += field_bytes(node.domain.size());
  return field_bytes(bytes);
}

Emitter::Emitter(Graph& graph) : graph_(&graph), before_(first_node(graph)) {}

std::string Emitter::next_name(uint64_t& counter) const {
  static constexpr std::string_view kLetters =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  for (;;) {
    std::string name;
    for (uint64_t rest = counter++ + 1; rest > 0; rest = (rest - 1) / kLetters.size()) {
      name.insert(name.begin(), kLetters[(rest - 1) % kLetters.size()]);
    }
    if (graph_->is_free(name)) return name;
  }
}

/// "" for constants that are too large to be worth comparing.
std::string Emitter::content_key(const Chain::Constant& constant, Tensor& value) {
  if (packed_bytes(constant.type, element_count(constant.shape)) > kShareLimit) return "";
  value = constant.make();
  const std::span<const std::byte> bytes = value.bytes();
  std::string key = data_type_name(value.type()) + to_string(value.shape());
  key.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  return key;
}

uint64_t Emitter::bytes(const Chain& chain, size_t end_name_length) const {
  uint64_t counter = counter_;
  uint64_t total = 0;
  std::vector<size_t> names;
  std::map<std::string, size_t> added;
  for (const Chain::Value& value : chain.values()) {
    if (value.is_node) {
      const Chain::Node& node = chain.nodes()[value.at];
      const bool last = names.size() + 1 == chain.values().size();
      std::vector<size_t> inputs;
      for (const int input : node.inputs) inputs.push_back(names[static_cast<size_t>(input)]);
      names.push_back(last ? end_name_length : next_name(counter).size());
      total += node_bytes(node, inputs, names.back());
      continue;
    }
    const Chain::Constant& constant = chain.constants()[value.at];
    Tensor content;
    const std::string key = content_key(constant, content);
    if (const auto it = shared_.find(key); !key.empty() && it != shared_.end()) {
      names.push_back(it->second.size());
      continue;
    }
    if (const auto it = added.find(key); !key.empty() && it != added.end()) {
      names.push_back(it->second);
      continue;
    }
    names.push_back(next_name(counter).size());
    if (!key.empty()) added[key] = names.back();
    total += initializer_bytes(constant.type, constant.shape, names.back());
  }
  return total;
}

ValueRef Emitter::emit(const Chain& chain) {
  std::vector<ValueRef> values;
  for (const Chain::Value& value : chain.values()) {
    if (value.is_node) {
      const Chain::Node& node = chain.nodes()[value.at];
      NodeSpec spec;
      spec.op = node.op;
      for (const int input : node.inputs) spec.inputs.push_back(values[static_cast<size_t>(input)]);
      spec.attributes = node.attributes;
      spec.domain = node.domain;
      // The end is named last, by who reads it; a short name of its own would be spent for nothing.
      const bool last = values.size() + 1 == chain.values().size();
      spec.outputs = {last ? graph_->fresh_name("end") : next_name(counter_)};
      if (!before_.alive()) before_ = first_node(*graph_);
      values.push_back(graph_->insert(std::move(spec), before_).output());
      continue;
    }
    const Chain::Constant& constant = chain.constants()[value.at];
    Tensor content;
    const std::string key = content_key(constant, content);
    if (const auto it = shared_.find(key); !key.empty() && it != shared_.end()) {
      values.push_back(graph_->find(it->second));
      if (values.back()) continue;
      values.pop_back();  // erased meanwhile
    }
    values.push_back(graph_->add_constant(next_name(counter_),
                                          content.type() == DataType::kUndefined ? constant.make()
                                                                                 : content));
    if (!key.empty()) shared_[key] = values.back().name();
  }
  return values.back();
}

ValueRef replace_constant(const ValueRef& old, const ValueRef& end) {
  Graph& graph = old.scope();
  const std::string name = old.name();
  const std::vector<Use> uses = old.uses();
  const auto read_by_all = [&uses](const ValueRef& value) {
    for (const Use& use : uses) use.node.graph().set_input(use.node, use.input, value);
  };
  read_by_all({});
  if (const NodeRef constant = old.producer()) {
    graph.erase(constant);
  } else {
    graph.erase_initializer(name);
  }
  graph.set_output(end.producer(), end.producer_output(), name);
  const ValueRef renamed(&graph, name);
  read_by_all(renamed);
  return renamed;
}

}  // namespace mcompress::forms
