// SPDX-License-Identifier: Apache-2.0
#include "tests/support/model_text.h"

#include <fmt/format.h>
#include <onnx/defs/parser.h>
#include <onnx/onnx_pb.h>

#include <algorithm>
#include <map>
#include <sstream>
#include <stdexcept>
#include <vector>

namespace mcompress::test {
namespace {

std::string trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return "";
  return std::string(text.substr(first, text.find_last_not_of(" \t") - first + 1));
}

DataType type_named(const std::string& name) {
  for (int32_t i = 1; i <= 26; ++i) {
    if (data_type_name(static_cast<DataType>(i)) == name) return static_cast<DataType>(i);
  }
  throw std::invalid_argument("no element type is called " + name);
}

std::string packed(DataType type, const std::vector<int64_t>& values) {
  const auto bits = static_cast<size_t>(data_type_bits(type));
  std::string bytes(packed_bytes(type, static_cast<int64_t>(values.size())), '\0');
  for (size_t i = 0; i < values.size(); ++i) {
    const auto value = static_cast<uint64_t>(values[i]) & ((uint64_t{1} << bits) - 1);
    for (size_t b = 0; b < bits; ++b) {
      const size_t at = i * bits + b;
      if ((value >> b & 1) != 0) bytes[at / 8] = static_cast<char>(bytes[at / 8] | 1 << at % 8);
    }
  }
  return bytes;
}

void add_initializer(std::istringstream& line, onnx::GraphProto& graph) {
  std::string type_name, name, token;
  line >> type_name >> name;
  auto* tensor = graph.add_initializer();
  tensor->set_name(name);
  const DataType type = type_named(type_name);
  tensor->set_data_type(static_cast<int32_t>(type));
  std::string rest;
  std::getline(line, rest);
  const size_t open = rest.find('['), close = rest.find(']');
  std::string dims = rest.substr(open + 1, close - open - 1);
  std::replace(dims.begin(), dims.end(), ',', ' ');
  std::istringstream dim_stream(dims), value_stream(rest.substr(close + 1));
  for (int64_t d; dim_stream >> d;) tensor->add_dims(d);
  std::vector<int64_t> values;
  for (int64_t v; value_stream >> v;) values.push_back(v);
  tensor->set_raw_data(packed(type, values));
}

void name_node(std::istringstream& line, onnx::GraphProto& graph) {
  std::string output, name;
  line >> output >> name;
  for (auto& node : *graph.mutable_node()) {
    if (std::count(node.output().begin(), node.output().end(), output) != 0) node.set_name(name);
  }
}

void open_dimension(std::istringstream& line, onnx::GraphProto& graph) {
  std::string input;
  int dim = 0;
  line >> input >> dim;
  for (auto& info : *graph.mutable_input()) {
    if (info.name() != input) continue;
    info.mutable_type()->mutable_tensor_type()->mutable_shape()->mutable_dim(dim)->Clear();
  }
}

/// The comment lines that mean something; returns whether initializers are to be frozen.
bool apply_comments(const std::vector<std::string>& comments, onnx::ModelProto& model) {
  bool freeze = false;
  for (const std::string& comment : comments) {
    std::istringstream line(comment);
    std::string word;
    line >> word;
    if (word == "name") name_node(line, *model.mutable_graph());
    if (word == "initializer") add_initializer(line, *model.mutable_graph());
    if (word == "open") open_dimension(line, *model.mutable_graph());
    if (word == "freeze") freeze = true;
  }
  return freeze;
}

std::string number(float value) {
  // -0 and 0 read alike, so that normal forms of rounding passes can be compared.
  return fmt::format("{:.5g}", value == 0.0F ? 0.0F : value);
}

std::string constant_text(const ValueRef& value) {
  const auto tensor = value.constant();
  std::string text = data_type_name(tensor->type()) + to_string(tensor->shape()) + "{";
  const std::vector<float> values = tensor->to_float();
  for (size_t i = 0; i < values.size() && i < 16; ++i) {
    text += (i == 0 ? "" : ", ") + number(values[i]);
  }
  return text + (values.size() > 16 ? ", ...}" : "}");
}

class Printer {
 public:
  std::string graph(Graph& graph, const std::string& indent) {
    std::string text = indent + "(";
    std::string separator;
    for (const ValueInfo& input : graph.inputs()) {
      text += separator + input.name;
      separator = ", ";
    }
    text += ") => (";
    separator.clear();
    for (const ValueInfo& output : graph.outputs()) {
      // Names of what a body returns do not matter; those of the model do.
      text += separator + (graph.parent() == nullptr ? output.name : "");
      separator = ", ";
    }
    text += ")\n";
    for (const NodeRef node : graph.nodes()) {
      if (node.is("Constant") && node.output(0).is_constant()) continue;
      text += line(node, indent + "  ");
    }
    return text;
  }

 private:
  std::string line(const NodeRef& node, const std::string& indent) {
    std::string inputs, outputs;
    for (int i = 0; i < node.input_count(); ++i) {
      inputs += (i == 0 ? "" : ", ") + read(node.input(i));
    }
    for (int i = 0; i < node.output_count(); ++i) {
      outputs += (i == 0 ? "" : ", ") + written(node, i);
    }
    std::string text = indent + outputs + " = " +
                       (node.domain().empty() ? "" : node.domain() + ".") + node.op() +
                       attributes(*node.proto()) + "(" + inputs + ")\n";
    for (Graph* body : node.subgraphs()) text += graph(*body, indent + "  ");
    return text;
  }

  std::string read(const ValueRef& value) {
    if (!value) return "";
    if (value.is_constant()) return constant_text(value);
    return name_of(value);
  }

  std::string written(const NodeRef& node, int index) {
    const ValueRef value = node.output(index);
    return value ? name_of(value) : "";
  }

  std::string name_of(const ValueRef& value) {
    const bool is_model_output = value.is_graph_output() && value.scope().parent() == nullptr;
    if (value.is_graph_input() || is_model_output || !value.producer()) return value.name();
    const auto key = std::make_pair(static_cast<const Graph*>(&value.scope()), value.name());
    const auto [it, fresh] = numbers_.try_emplace(key, numbers_.size());
    return "%" + std::to_string(it->second);
  }

  static std::string attributes(const onnx::NodeProto& node) {
    std::map<std::string, std::string> sorted;
    for (const auto& attribute : node.attribute()) {
      if (attribute.has_g() || attribute.graphs_size() > 0) continue;
      std::string text;
      if (attribute.type() == onnx::AttributeProto::FLOAT) text = number(attribute.f());
      if (attribute.type() == onnx::AttributeProto::INT) text = std::to_string(attribute.i());
      if (attribute.type() == onnx::AttributeProto::STRING) text = attribute.s();
      for (const int64_t v : attribute.ints()) text += " " + std::to_string(v);
      for (const float v : attribute.floats()) text += " " + number(v);
      for (const auto& v : attribute.strings()) text += " " + v;
      sorted[attribute.name()] = trimmed(text);
    }
    std::string result;
    for (const auto& [name, text] : sorted) {
      result += (result.empty() ? "<" : ", ") + name + "=" + text;
    }
    return result.empty() ? "" : result + ">";
  }

  std::map<std::pair<const Graph*, std::string>, size_t> numbers_;
};

}  // namespace

Model parse_model(std::string_view text, int64_t opset) {
  std::vector<std::string> comments;
  std::string body;
  std::istringstream stream{std::string(text)};
  for (std::string line; std::getline(stream, line);) {
    const std::string content = trimmed(line);
    if (content.starts_with("#")) {
      comments.push_back(content.substr(1));
    } else {
      body += line + "\n";
    }
  }
  if (!trimmed(body.substr(0, body.find_first_of('{'))).starts_with("<") &&
      body.find("ir_version") == std::string::npos) {
    const int ir = opset >= 21 ? 10 : 8;
    body = fmt::format("<ir_version: {}, opset_import: [\"\" : {}]>\n", ir, opset) + body;
  }
  onnx::ModelProto proto;
  const auto status = onnx::OnnxParser::Parse(proto, body.c_str());
  if (!status.IsOK()) throw std::invalid_argument(status.ErrorMessage() + "\n" + body);
  const bool freeze = apply_comments(comments, proto);
  Model model = Model::parse(proto.SerializeAsString());
  if (freeze) model.freeze_inputs();
  return model;
}

std::string normal_form(Model& model) { return Printer().graph(model.graph(), ""); }

}  // namespace mcompress::test
