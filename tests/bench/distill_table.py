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
IMAGES = 18000  # of glyphs/train.npz


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


def recipe(options, images, *more):
    """As many steps whatever the number of images is."""
    settings = [f"epochs: {options.epochs * options.train / images:g}", "batch: 64", "learning-rate: 0.003",
                "rate-end: 0.02", "batch-norm: update", "shift: 2", *more]
    return ("version: 1\n"
            f"data: {{training: {{npz: {os.path.abspath(options.models)}/glyphs/train.npz, scale: 1/255, mean: 0.5, "
            f"std: 0.25, limit: {images}}}}}\n"
            "metric: top1\nsteps:\n"
            f"  - fine-tune: {{{', '.join(settings)}}}\n")


def ways(options, path, feature):
    """Recipes by what is learned from."""
    teacher = [f"teacher: {path}", "temperature: 4"]
    few = options.train
    result = {"labels": recipe(options, few), "teacher": recipe(options, few, *teacher, "soft-weight: 0.9")}
    if feature:
        result["teacher, inner values"] = recipe(options, few, *teacher, "soft-weight: 0.9",
                                                 f"features: ['{feature}={feature}']")
    result["teacher, all images, no labels"] = recipe(options, IMAGES, *teacher, "soft-weight: 1")
    return result


def main():
    parser = bench.arguments()
    parser.add_argument("--epochs", type=float, default=40)
    parser.add_argument("--train", type=int, default=1250, help="training images that have labels")
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
        student = runner.path(os.path.basename(name) + "-student.onnx")
        onnx.save(narrowed(path), student)
        times = os.path.getsize(path) / os.path.getsize(student)
        for seed in range(options.seeds):
            hits = {}
            for way, text in ways(options, path, feature).items():
                stem = f"{os.path.basename(name)}-{seed}-{way.replace(', ', '-').replace(' ', '-')}"
                hits[way] = score(runner.run(student, stem, text, more=[
                    "--validate", "none", "--seed", str(seed), "--report", runner.path(stem + ".json")]), samples)
                won, half = bench.paired_drop(hits[way], hits["labels"])
                rows.append([name, f"{best:.2f}", f"{times:.1f}", seed, way, f"{100 * hits[way].mean():.2f}",
                             *(["", ""] if way == "labels" else [f"{won:+.2f} +- {half:.2f}",
                                                                 "" if won > half else "not met"])])
    text = "## Students with and without their teacher\n\n" + bench.markdown(
        ["teacher", "its accuracy", "times smaller", "seed", "student learns from", "accuracy", "points won", ""], rows)
    print(text)
    with open(runner.path("distill.md"), "w") as f:
        f.write(text)
    return 1 if any(row[-1] for row in rows if row[4] == "teacher") else 0


if __name__ == "__main__":
    sys.exit(main())
