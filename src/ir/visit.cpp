// SPDX-License-Identifier: Apache-2.0
#include "ir/visit.h"

namespace mcompress::ir {
namespace {

using Visit = std::function<void(onnx::TensorProto&)>;

void visit_graph(onnx::GraphProto& graph, const Visit& visit);

void visit_sparse(onnx::SparseTensorProto& sparse, const Visit& visit) {
  if (sparse.has_values()) visit(*sparse.mutable_values());
  if (sparse.has_indices()) visit(*sparse.mutable_indices());
}

void visit_attribute(onnx::AttributeProto& attribute, const Visit& visit) {
  if (attribute.has_t()) visit(*attribute.mutable_t());
  for (auto& tensor : *attribute.mutable_tensors()) visit(tensor);
  if (attribute.has_g()) visit_graph(*attribute.mutable_g(), visit);
  for (auto& graph : *attribute.mutable_graphs()) visit_graph(graph, visit);
  if (attribute.has_sparse_tensor()) visit_sparse(*attribute.mutable_sparse_tensor(), visit);
  for (auto& sparse : *attribute.mutable_sparse_tensors()) visit_sparse(sparse, visit);
}

template <class Nodes>
void visit_nodes(Nodes& nodes, const Visit& visit) {
  for (auto& node : nodes) {
    for (auto& attribute : *node.mutable_attribute()) visit_attribute(attribute, visit);
  }
}

void visit_graph(onnx::GraphProto& graph, const Visit& visit) {
  visit_nodes(*graph.mutable_node(), visit);
  for (auto& tensor : *graph.mutable_initializer()) visit(tensor);
  for (auto& sparse : *graph.mutable_sparse_initializer()) visit_sparse(sparse, visit);
}

}  // namespace

void for_each_tensor(onnx::ModelProto& model, const Visit& visit) {
  if (model.has_graph()) visit_graph(*model.mutable_graph(), visit);
  for (auto& training : *model.mutable_training_info()) {
    if (training.has_initialization()) visit_graph(*training.mutable_initialization(), visit);
    if (training.has_algorithm()) visit_graph(*training.mutable_algorithm(), visit);
  }
  for (auto& function : *model.mutable_functions()) visit_nodes(*function.mutable_node(), visit);
}

}  // namespace mcompress::ir
