# SPDX-License-Identifier: Apache-2.0
"""A student with its teacher against the same student with labels alone (README.md beside it)."""
import os
import sys

import numpy as np
import onnx
from onnx import numpy_helper

import bench
from sparse_table import Runner, score

# Teachers, and inner values of student and teacher that may be compared.
CASES = {"glyphs/resnet8-bn": "/layer3/Relu_1_output_0", "glyphs/mobilenetv2-bn": ""}


def narrowed(path):
    """The same graph with the first half of the channels of each layer but the last: a quarter of the weights."""
    model = onnx.load(path)
    initializers = {tensor.name: tensor for tensor in model.graph.initializer}
    source = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "Identity"}
    layers = [node for node in model.graph.node if node.op_type in ("Conv", "Gemm")]
    cut = set()
    del model.graph.value_info[:]

    def keep(name, axes):
        while name in source:
            name = source[name]
        if name in cut:
            return
        cut.add(name)
        values = numpy_helper.to_array(initializers[name])
        half = tuple(slice(0, size // 2 if axis in axes else size) for axis, size in enumerate(values.shape))
        initializers[name].CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values[half]), name))

    for node in model.graph.node:
        if node.op_type == "BatchNormalization":
            for name in node.input[1:]:
                keep(name, {0})
    for layer in layers:
        grouped = False
        for attribute in layer.attribute:
            if attribute.name == "group" and attribute.i > 1:
                attribute.i //= 2
                grouped = True
        outputs = set() if layer is layers[-1] else {0}
        inputs = set() if layer is layers[0] or grouped else {1}
        keep(layer.input[1], outputs | inputs)
        for name in layer.input[2:]:
            keep(name, outputs)
    onnx.checker.check_model(model)
    return model


def recipe(options, *more):
    settings = [f"epochs: {options.epochs}", "batch: 64", "learning-rate: 0.003", "rate-end: 0.02", "batch-norm: update",
                "shift: 2", *more]
    return ("version: 1\n"
            f"data: {{training: {{npz: {os.path.abspath(options.models)}/glyphs/train.npz, scale: 1/255, mean: 0.5, "
            f"std: 0.25{f', limit: {options.train}' if options.train else ''}}}}}\n"
            "metric: top1\nsteps:\n"
            f"  - fine-tune: {{{', '.join(settings)}}}\n")


def main():
    parser = bench.arguments()
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--train", type=int, default=0, help="training images; 0: all 18,000")
    parser.add_argument("--limit", type=int, default=0, help="images that are scored; 0: all")
    parser.add_argument("--seeds", type=int, default=1, help="runs of each")
    options = parser.parse_args()
    os.makedirs(options.out, exist_ok=True)
    runner = Runner(os.path.abspath(options.program), options.out)
    rows = []
    for name, feature in CASES.items():
        if options.only not in name:
            continue
        path = os.path.abspath(os.path.join(options.models, name + ".onnx"))
        samples = bench.Samples(bench.open_session(path), os.path.join(os.path.dirname(path), "eval.npz"),
                                options.limit)
        best = 100 * score(path, samples).mean()
        ways = {"labels": [], "teacher": [f"teacher: {path}", "temperature: 2", "soft-weight: 0.8"]}
        if feature:
            ways["features"] = ways["teacher"] + [f"features: ['{feature}={feature}']"]
        for seed in range(options.seeds):
            stem = f"{os.path.basename(name)}-{seed}"
            student = runner.path(os.path.basename(name) + "-student.onnx")
            onnx.save(narrowed(path), student)
            times = os.path.getsize(path) / os.path.getsize(student)
            hits = {way: score(runner.run(student, f"{stem}-{way}", recipe(options, *more),
                                          more=["--seed", str(seed), "--report",
                                                runner.path(f"{stem}-{way}.json")]), samples)
                    for way, more in ways.items()}
            for way in list(ways)[1:]:
                won, half = bench.paired_drop(hits[way], hits["labels"])
                rows.append([name, seed, f"{times:.1f}", f"{best:.2f}", f"{100 * hits['labels'].mean():.2f}", way,
                             f"{100 * hits[way].mean():.2f}", f"{won:+.2f} +- {half:.2f}",
                             "" if won > half else "not met"])
    text = "## Students with and without their teacher\n\n" + bench.markdown(
        ["teacher", "seed", "times smaller", "its accuracy", "labels alone", "with", "accuracy", "points won", ""], rows)
    print(text)
    with open(runner.path("distill.md"), "w") as f:
        f.write(text)
    return 1 if any(row[-1] for row in rows if row[5] == "teacher") else 0


if __name__ == "__main__":
    sys.exit(main())
