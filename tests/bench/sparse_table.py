# SPDX-License-Identifier: Apache-2.0
"""Pruning, sharing and storing without training: what they lose, and what the files take (README.md beside it)."""
import json
import os
import subprocess
import sys
import time

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import bench

PARTS = ["sparsity", "codebook", "one-shot", "foreign", "load"]
# What the project asks of itself.
ONE_SHOT = {"lenet-300-100": 15, "lenet-5": 15}
MOST_DROP = 0.3
SPARSITIES = (0.8, 0.7, 0.6, 0.5)
MOST_OVER_BOUND = 1.35
MOST_OVER_BOUND_PACKED = 1.05
LARGE = 100_000


class Runner:
    def __init__(self, program, out):
        self.program, self.out = program, out

    def path(self, name):
        return os.path.join(self.out, name)

    def run(self, model, name, recipe, calibration=None, more=()):
        """Runs a recipe (text, or the name of a built-in one); the file written."""
        output = self.path(name + ".onnx")
        if "\n" in recipe:
            with open(self.path(name + ".yaml"), "w") as f:
                f.write(recipe)
            recipe = self.path(name + ".yaml")
        command = [self.program, "run", model, "-r", recipe, "-o", output, "--force", *more]
        if calibration:
            command += ["--data", "calibration=" + calibration]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode not in (0, 1):
            sys.exit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr}")
        return output

    def inspect(self, model):
        text = subprocess.run([self.program, "inspect", model, "--json"], capture_output=True, text=True, check=True)
        return json.loads(text.stdout)


def steps(*lines):
    return "version: 1\nsteps:\n" + "".join(f"  - {line}\n" for line in lines)


def score(path, samples):
    return np.asarray(bench.hits(bench.outputs_of(path, samples), samples.labels))


def lost(before, after):
    return 100 * (before.mean() - after.mean())


def ratio_row(name, ours, theirs, limit):
    met = "" if ours <= max(limit * theirs, 0.05) else "not met"
    return [name, f"{theirs:.2f}", f"{ours:.2f}", f"{ours / theirs:.2f}" if theirs > 0 else "-", met]


def sparsity_part(runner, models, limit):
    """One-shot 80 %: points lost by magnitude (global) and by prune-calibrated. Where both lose more than half of the
    metric, less is pruned until one does not: two wrecks cannot be compared."""
    rows = []
    for name, folder, model in models:
        calib = os.path.join(folder, "calib.npz")
        samples = bench.Samples(bench.open_session(model), os.path.join(folder, "eval.npz"), limit)
        base = score(model, samples)
        for sparsity in SPARSITIES:
            theirs, ours = (lost(base, score(runner.run(model, f"{name}-{kind}-{sparsity}", steps(
                f"prune-{kind}: {{sparsity: {sparsity}, scope: global}}"), calib), samples))
                for kind in ("magnitude", "calibrated"))
            wrecks = min(ours, theirs) > 50 * base.mean() and sparsity != SPARSITIES[-1]
            row = ratio_row(name, ours, theirs, 0.5)
            rows.append([name, f"{100 * sparsity:.0f} %", *row[1:-1], "both wrecked" if wrecks else row[-1]])
            if not wrecks:
                break
    return "## 80 % sparsity, points lost\n\n" + bench.markdown(
        ["model", "zeros", "magnitude, global", "calibrated", "ratio", ""], rows)


def round_per_tensor(model, out, bits, axis=None):
    """Weights of layers rounded to nearest on a symmetric grid, per tensor or per output."""
    graph = model.graph
    limit = 2 ** (bits - 1) - 1
    constants = {t.name: t for t in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
            constants[node.output[0]] = node.attribute[0].t
    for node in graph.node:
        if node.op_type not in ("Conv", "Gemm", "MatMul") or len(node.input) < 2 or node.input[1] not in constants:
            continue
        tensor = constants[node.input[1]]
        w = numpy_helper.to_array(tensor).astype(np.float32)
        if w.ndim < 2:
            continue
        last = node.op_type == "MatMul" or (node.op_type == "Gemm" and not any(
            a.name == "transB" and a.i for a in node.attribute))
        axes = tuple(range(w.ndim - 1)) if last else tuple(range(1, w.ndim))
        peak = np.abs(w).max(axis=axes if axis == "output" else None, keepdims=True)
        scale = np.where(peak > 0, peak / limit, 1)
        rounded = (np.clip(np.round(w / scale), -limit, limit) * scale).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(rounded, tensor.name))
    onnx.save(model, out)
    return out


def codebook_part(runner, models, limit):
    """4 bits: points lost by rounding per tensor and per output, by one codebook and by a codebook with scales."""
    rows = []
    for name, folder, model in models:
        calib = os.path.join(folder, "calib.npz")
        samples = bench.Samples(bench.open_session(model), os.path.join(folder, "eval.npz"), limit)
        base = score(model, samples)
        tensor = lost(base, score(round_per_tensor(onnx.load(model), runner.path(name + "-rtn.onnx"), 4), samples))
        by_output = score(
            round_per_tensor(onnx.load(model), runner.path(name + "-rtn-output.onnx"), 4, "output"), samples)
        book = lost(base, score(runner.run(model, name + "-book", steps("share-weights: {values: 15}"), calib), samples))
        by_scales = score(runner.run(
            model, name + "-scaled", steps("share-weights: {values: 15, scope: channel}"), calib), samples)
        drop, interval = bench.paired_drop(by_output, by_scales)
        met = book <= max(tensor / 2, 0.05) and drop <= max(0.2, interval) + 1e-9
        rows.append([name, f"{tensor:.2f}", f"{book:.2f}", f"{lost(base, by_output):.2f}",
                     f"{lost(base, by_scales):.2f}", "" if met else "not met"])
    return "## 4 bits, points lost\n\n" + bench.markdown(
        ["model", "nearest, per tensor", "codebook", "nearest, per output", "codebook with scales", ""], rows)


def large_over_bound(runner, path, packing):
    """Stored bytes of the large layers over what the entropy of their values allows: in the file, and in its archive."""
    layers = [l for l in runner.inspect(path)["layers"] if np.prod(l["weight_shape"]) > LARGE and l["entropy_bits"]]
    bound = sum(l["entropy_bits"] * float(np.prod(l["weight_shape"])) / 8 for l in layers)
    # A weight is one part of the archive, whatever constants of the file it is in.
    packed = sum(part["packed_bytes"] for part in packing["parts"] if part["symbols"] > LARGE)
    return (sum(l["bytes"] for l in layers) / bound, packed / bound) if bound else (0, 0)


def one_shot_part(runner, models, limit):
    """The curve of size against error, one-shot, by budget."""
    rows = []
    for name, folder, model in models:
        if name not in ONE_SHOT:
            continue
        calib = os.path.join(folder, "calib.npz")
        samples = bench.Samples(bench.open_session(model), os.path.join(folder, "eval.npz"), limit)
        base = score(model, samples)
        plain = os.path.getsize(model)
        best = 0
        for budget in (6.5, 5, 4, 3.3, 2.7):
            path = runner.run(model, f"{name}-{budget}", steps(
                f"prune-calibrated: {{budget: {budget} %, codebook: auto}}", "encode-weights"), calib)
            archive = runner.path(f"{name}-{budget}.mcz")
            packing = json.loads(subprocess.run([runner.program, "pack", path, "-o", archive, "--force", "--json"],
                                                capture_output=True, text=True, check=True).stdout)
            drop = lost(base, score(path, samples))
            size = os.path.getsize(path)
            if drop <= MOST_DROP:
                best = max(best, plain / size)
            over, packed_over = large_over_bound(runner, path, packing)
            holds = over <= MOST_OVER_BOUND and packed_over <= MOST_OVER_BOUND_PACKED
            rows.append([name, f"{budget} %", f"{size:,}", f"{plain / size:.1f} x",
                         f"{plain / os.path.getsize(archive):.1f} x", f"{drop:+.2f}", f"{over:.2f}",
                         f"{packed_over:.2f}", "" if holds else "not met"])
        rows.append([name, "best within 0.3 points", "", f"{best:.1f} x", "", "", "", "",
                     "" if best >= ONE_SHOT[name] else "not met"])
    return "## One-shot, no training\n\n" + bench.markdown(
        ["model", "budget", "bytes", "smaller", "packed", "points lost", "large layers over bound", "packed", ""], rows)


def dense_model(path, weights):
    w = numpy_helper.from_array(weights, "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, weights.shape[0]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, weights.shape[1]])], [w])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def foreign_part(runner, models, _limit):
    """A file that someone else left with 90 % zeros: smallest without data, exact."""
    rows = []
    for name, _folder, model in models:
        if name not in ONE_SHOT:
            continue
        pruned = onnx.load(model)
        for tensor in pruned.graph.initializer:
            w = numpy_helper.to_array(tensor).copy()
            if w.ndim < 2:
                continue
            w[np.abs(w) < np.quantile(np.abs(w), 0.9)] = 0
            tensor.CopyFrom(numpy_helper.from_array(w, tensor.name))
        source = runner.path(name + "-foreign.onnx")
        onnx.save(pruned, source)
        small = runner.run(source, name + "-foreign-small", "smallest")
        x = np.random.default_rng(1).standard_normal((4, 1, 28, 28)).astype(np.float32)
        same = all(np.array_equal(bench.open_session(source).run(None, {"input": x[i:i + 1]})[0],
                                  bench.open_session(small).run(None, {"input": x[i:i + 1]})[0])
                   for i in range(4))
        factor = os.path.getsize(source) / os.path.getsize(small)
        rows.append([name, f"{factor:.1f} x", "yes" if same else "no", "" if same and factor >= 7 else "not met"])
    return "## 90 % zeros by someone else, `-r smallest`, no data\n\n" + bench.markdown(
        ["model", "smaller", "bit-exact", ""], rows)


def load_time(path, times=7):
    best = []
    for _ in range(times):
        start = time.perf_counter()
        session = bench.open_session(path)
        middle = time.perf_counter()
        session.run(None, {"x": np.ones((1, session.get_inputs()[0].shape[1]), np.float32)})
        best.append((middle - start, time.perf_counter() - middle))
    return tuple(np.median(np.asarray(best), axis=0))


def load_part(runner, _models, _limit):
    """Opening an encoded model of 10 M weights against the dense one, interleaved."""
    random = np.random.default_rng(2)
    values = np.sort(random.standard_normal(15)).astype(np.float32)
    rows = []
    for density in (0.05, 0.1, 0.4, 1.0):
        w = values[random.integers(0, 15, (4096, 2560))]
        w[random.random(w.shape) >= density] = 0
        dense = dense_model(runner.path(f"dense-{density}.onnx"), w)
        small = runner.run(dense, f"encoded-{density}", steps("encode-weights"), more=["--validate", "none"])
        ratios, first = [], []
        for _ in range(3):
            a, b = load_time(dense, 3), load_time(small, 3)
            ratios.append(b[0] / a[0])
            first.append(b[1] / a[1])
        ratio = float(np.median(ratios))
        rows.append([f"{density:.2f}", f"{os.path.getsize(dense) / os.path.getsize(small):.1f} x", f"{ratio:.2f}",
                     f"{np.median(first):.2f}", "" if ratio <= 3 else "not met"])
    return "## Load time, 10 M weights\n\n" + bench.markdown(
        ["density", "smaller", "load time over dense", "first run over dense", ""], rows)


def main():
    parser = bench.arguments()
    parser.add_argument("--part", action="append", choices=PARTS)
    parser.add_argument("--limit", type=int, default=0)
    options = parser.parse_args()
    os.makedirs(options.out, exist_ok=True)
    runner = Runner(os.path.abspath(options.program), options.out)
    models = []
    for name, path, folder in bench.find_models(options.models, ("calib.npz", "eval.npz")):
        if options.only in name:
            models.append((name.replace("/", "-"), folder, path))
    functions = {"sparsity": sparsity_part, "codebook": codebook_part, "one-shot": one_shot_part,
                 "foreign": foreign_part, "load": load_part}
    text = ""
    for part in options.part or PARTS:
        section = functions[part](runner, models, options.limit)
        print(section, flush=True)
        text += section + "\n"
    with open(runner.path("sparse.md"), "w") as f:
        f.write(text)
    return 1 if "not met" in text else 0


if __name__ == "__main__":
    sys.exit(main())
