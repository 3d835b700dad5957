// SPDX-License-Identifier: Apache-2.0
#include "forms/nodes.h"

#include <utility>

namespace mcompress::forms {

ValueRef insert_op(Graph& graph, std::string op, std::vector<ValueRef> inputs, NodeRef before,
                   std::vector<Attribute> attributes) {
  NodeSpec spec;
  spec.op = std::move(op);
  spec.inputs = std::move(inputs);
  spec.attributes = std::move(attributes);
  return graph.insert(std::move(spec), before).output();
}

}  // namespace mcompress::forms
