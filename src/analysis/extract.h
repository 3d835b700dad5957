// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <vector>

#include "mcompress/model.h"

namespace mcompress::analysis {

/// A value of the model and what it is called in an extracted one.
struct ExtractedOutput {
  NodeRef node;
  int output = 0;
  std::string name;
};
struct Extracted {
  Model model;
  std::vector<ExtractedOutput> outputs;  ///< every named output of every node, in order
};

/// A model without inputs that consists of copies of `nodes`. Each of their inputs must be absent,
/// a constant or an output of a node before it in the list; the nodes may come from several graphs
/// of `model` and have no bodies. Constants are copied, so keep large ones out.
Extracted extract_constant_nodes(const Model& model, std::span<const NodeRef> nodes);

}  // namespace mcompress::analysis
