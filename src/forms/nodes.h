// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "mcompress/model.h"

namespace mcompress::forms {

/// A node of one output in front of `before`; returns that output.
ValueRef insert_op(Graph& graph, std::string op, std::vector<ValueRef> inputs, NodeRef before,
                   std::vector<Attribute> attributes = {});

}  // namespace mcompress::forms
