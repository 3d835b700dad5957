// SPDX-License-Identifier: Apache-2.0
#include "tests/support/storings.h"

#include <onnx/onnx_pb.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <stdexcept>

namespace mcompress::test {
namespace {

using onnx::GraphProto;
using onnx::ModelProto;

onnx::TensorProto* find_initializer(GraphProto& graph, const std::string& name) {
  for (auto& tensor : *graph.mutable_initializer()) {
    if (tensor.name() == name) return &tensor;
  }
  throw std::invalid_argument("no initializer is called " + name);
}

onnx::TensorProto take_initializer(GraphProto& graph, const std::string& name) {
  onnx::TensorProto taken = *find_initializer(graph, name);
  auto& all = *graph.mutable_initializer();
  all.erase(std::find_if(all.begin(), all.end(), [&](const auto& t) { return t.name() == name; }));
  return taken;
}

void add_scalar_input(GraphProto& graph, const std::string& name, int type) {
  auto* input = graph.add_input();
  input->set_name(name);
  input->mutable_type()->mutable_tensor_type()->set_elem_type(type);
  input->mutable_type()->mutable_tensor_type()->mutable_shape();
}

void store_as_constant(ModelProto& model, const std::string& weight) {
  GraphProto& graph = *model.mutable_graph();
  onnx::NodeProto node;
  node.set_op_type("Constant");
  node.add_output(weight);
  auto* attribute = node.add_attribute();
  attribute->set_name("value");
  attribute->set_type(onnx::AttributeProto::TENSOR);
  *attribute->mutable_t() = take_initializer(graph, weight);
  const auto rest = graph.node();
  graph.clear_node();
  *graph.add_node() = node;
  for (const auto& other : rest) *graph.add_node() = other;
}

/// A copy of the graph as a body: inputs are captured, all it defines gets `suffix`.
GraphProto make_body(const GraphProto& graph, const std::string& suffix, bool keep_weights) {
  std::set<std::string> defined;
  for (const auto& node : graph.node()) defined.insert(node.output().begin(), node.output().end());
  GraphProto body = graph;
  body.set_name("body" + suffix);
  body.clear_input();
  body.clear_value_info();
  if (keep_weights) {
    for (auto& tensor : *body.mutable_initializer()) {
      defined.insert(tensor.name());
      tensor.set_name(tensor.name() + suffix);
    }
  } else {
    body.clear_initializer();
  }
  const auto renamed = [&](const std::string& name) {
    return !name.empty() && defined.count(name) != 0 ? name + suffix : name;
  };
  for (auto& node : *body.mutable_node()) {
    for (auto& name : *node.mutable_input()) name = renamed(name);
    for (auto& name : *node.mutable_output()) name = renamed(name);
  }
  for (auto& output : *body.mutable_output()) output.set_name(renamed(output.name()));
  return body;
}

void wrap_in_if(ModelProto& model, bool weights_inside) {
  GraphProto& graph = *model.mutable_graph();
  onnx::NodeProto node;
  node.set_op_type("If");
  node.add_input("choose");
  for (const auto& output : graph.output()) node.add_output(output.name());
  for (const char* branch : {"then_branch", "else_branch"}) {
    auto* attribute = node.add_attribute();
    attribute->set_name(branch);
    attribute->set_type(onnx::AttributeProto::GRAPH);
    *attribute->mutable_g() = make_body(graph, std::string("_") + branch, weights_inside);
  }
  graph.clear_node();
  graph.clear_value_info();
  if (weights_inside) graph.clear_initializer();
  *graph.add_node() = node;
  add_scalar_input(graph, "choose", onnx::TensorProto::BOOL);
}

void share(ModelProto& model, const std::string& weight) {
  GraphProto& graph = *model.mutable_graph();
  add_scalar_input(graph, "factor", onnx::TensorProto::FLOAT);
  auto* node = graph.add_node();
  node->set_op_type("Mul");
  node->add_input(weight);
  node->add_input("factor");
  node->add_output("shared_weight");
  auto* output = graph.add_output();
  output->set_name("shared_weight");
  output->mutable_type()->mutable_tensor_type()->set_elem_type(onnx::TensorProto::FLOAT);
}

/// A folder that goes away at the end of the program.
const std::filesystem::path& scratch_folder() {
  struct Folder {
    std::filesystem::path path =
        std::filesystem::temp_directory_path() / ("mcompress-storings-" + std::to_string(getpid()));
    Folder() { std::filesystem::create_directories(path); }
    ~Folder() { std::filesystem::remove_all(path); }
  };
  static const Folder folder;
  return folder.path;
}

Model store_externally(ModelProto model, const Tensor& value, const std::string& weight) {
  static int count = 0;
  const std::string name = "weight" + std::to_string(++count);
  const auto data = scratch_folder() / (name + ".data");
  std::ofstream(data, std::ios::binary)
      .write(reinterpret_cast<const char*>(value.bytes().data()),
             static_cast<std::streamsize>(value.byte_size()));
  onnx::TensorProto& tensor = *find_initializer(*model.mutable_graph(), weight);
  tensor.clear_raw_data();
  tensor.clear_float_data();
  tensor.clear_external_data();
  tensor.set_data_location(onnx::TensorProto::EXTERNAL);
  auto* entry = tensor.add_external_data();
  entry->set_key("location");
  entry->set_value(data.filename().string());
  const auto path = scratch_folder() / (name + ".onnx");
  std::ofstream(path, std::ios::binary) << model.SerializeAsString();
  return Model::load(path);
}

}  // namespace

std::vector<Storing> six_storings(const Model& model, const std::string& weight) {
  const ModelProto& proto = model.proto();
  const auto changed = [&](auto change) {
    ModelProto copy = proto;
    change(copy);
    return Model::parse(copy.SerializeAsString());
  };
  const auto value = model.graph().find(weight).constant();
  if (!value) throw std::invalid_argument(weight + " is no constant");
  std::vector<Storing> result;
  result.push_back({"initializer", model.clone()});
  result.push_back({"Constant", changed([&](ModelProto& m) { store_as_constant(m, weight); })});
  result.push_back({"captured by bodies", changed([](ModelProto& m) { wrap_in_if(m, false); })});
  result.push_back({"inside bodies", changed([](ModelProto& m) { wrap_in_if(m, true); })});
  result.push_back({"external", store_externally(proto, *value, weight)});
  result.push_back({"shared", changed([&](ModelProto& m) { share(m, weight); })});
  return result;
}

}  // namespace mcompress::test
