// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "train/ops/arguments.h"

namespace mcompress::train {

/// What the attribute "activation" of FusedConv and FusedGemm says, "" or one that is not covered.
inline std::string fused_activation_obstacle(const NodeRef& node) {
  const std::string name = node.attribute("activation", "");
  for (const char* const known :
       {"", "Relu", "Tanh", "Sigmoid", "LeakyRelu", "Clip", "HardSigmoid"}) {
    if (name == known) return "";
  }
  return "activation " + name + " is not covered";
}

/// `parameters`: name of the list of alpha and beta; FusedGemm has them as attributes of their own.
inline at::Tensor fused_activation(const NodeRef& node, const at::Tensor& x,
                                   const char* parameters) {
  const std::string name = node.attribute("activation", "");
  const auto list = node.attribute_floats(parameters);
  const auto parameter = [&](size_t index, const char* attribute, float fallback) -> double {
    if (index < list.size()) return list[index];
    return node.attribute(attribute, fallback);
  };
  if (name.empty()) return x;
  if (name == "Relu") return at::relu(x);
  if (name == "Tanh") return at::tanh(x);
  if (name == "Sigmoid") return at::sigmoid(x);
  if (name == "LeakyRelu") {
    return at::leaky_relu(x, parameter(0, "activation_alpha", 0.01F));
  }
  if (name == "Clip")
    return at::clamp(x, at::Scalar(parameter(0, "activation_min", 0)),
                     at::Scalar(parameter(1, "activation_max", 6)));
  if (name == "HardSigmoid") {
    const double alpha = parameter(0, "activation_alpha", 0.2F);
    return at::clamp(x * alpha + parameter(1, "activation_beta", 0.5F), 0, 1);
  }
  refuse(node, fused_activation_obstacle(node));
}

}  // namespace mcompress::train
