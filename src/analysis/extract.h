// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "mcompress/model.h"
#include "mcompress/value_types.h"

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

/// A model of its own that computes what `nodes` do, in order: values that they read and that are
/// no constants are its inputs, with the types of `types` (open dimensions 1); the output of the
/// last node is read by an Identity that leaves the model. Constants are copied. The default domain
/// is of opset 13 at least, nodes are not adapted. Empty where an input is not float or of unknown
/// shape.
std::optional<Model> extract_chain(const Model& model, std::span<const NodeRef> nodes,
                                   const ValueTypes& types);

/// One Identity over one float: a Run of it costs what any Run costs.
Model identity_model();

}  // namespace mcompress::analysis
