#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""usage: make_student.py FILE [HIDDEN...]

Writes an untrained network for MNIST, 784-HIDDEN...-10 (default 80 40), as ONNX. Needs numpy and onnx."""
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    widths = [784, *(int(width) for width in sys.argv[2:] or (80, 40)), 10]
    random = np.random.default_rng(0)
    nodes = [helper.make_node("Flatten", ["input"], ["flat"])]
    weights, value = [], "flat"
    for layer, (inputs, outputs) in enumerate(zip(widths, widths[1:]), 1):
        # He's initialization: the variance of activations stays through Relu.
        weight = random.normal(0, np.sqrt(2 / inputs), (outputs, inputs)).astype(np.float32)
        weights.append(numpy_helper.from_array(weight, f"fc{layer}.weight"))
        weights.append(numpy_helper.from_array(np.zeros(outputs, np.float32), f"fc{layer}.bias"))
        last = layer == len(widths) - 1
        scores = "logits" if last else f"scores{layer}"
        nodes.append(helper.make_node("Gemm", [value, f"fc{layer}.weight", f"fc{layer}.bias"], [scores],
                                      f"fc{layer}", transB=1))
        if not last:
            nodes.append(helper.make_node("Relu", [scores], [f"hidden{layer}"]))
        value = f"hidden{layer}"
    graph = helper.make_graph(
        nodes, "student",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 1, 28, 28])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 10])], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, sys.argv[1])


if __name__ == "__main__":
    main()
