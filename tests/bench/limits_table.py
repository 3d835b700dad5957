# SPDX-License-Identifier: Apache-2.0
"""Times that weight compression may take: solvers on one core, sessions of encoded models (README.md beside it)."""
import argparse
import json
import os
import statistics
import subprocess
import sys

import numpy as np
from onnx import helper, numpy_helper, save

# Benchmark of numerics_bench, what it is, limit in seconds.
SOLVERS = [
    ("KMeans/256/1", "k-means of 10 M weights, 256 values, exact", 2.0),
    ("KMeans/256/0", "k-means of 10 M weights, 256 values, histogram", 0.3),
    ("FactorizeWeight/4096", "SVD of 4096 x 1024", 0.5),
    ("PruneLayer/4096/1", "SparseGPT of 4096 x 1024, 4096 rows", 15.0),
]
LOAD_LIMIT, RUN_LIMIT = 3.0, 1.02


def blas_environment():
    """Kernels that the program chooses where OpenBLAS does not know the CPU (tools/mcompress/fast_blas.cpp)."""
    with open("/proc/cpuinfo") as file:
        flags = file.read().split()
    best = "SkylakeX" if "avx512f" in flags else "Haswell" if "avx2" in flags else None
    return {**({"OPENBLAS_CORETYPE": best} if best else {}), **os.environ}


def solver_rows(bench):
    names = "|".join(f"^{name}$" for name, _, _ in SOLVERS)
    command = ["taskset", "-c", "0", bench, f"--benchmark_filter={names}", "--benchmark_format=json"]
    result = json.loads(subprocess.run(command, check=True, env=blas_environment(), stdout=subprocess.PIPE,
                                       stderr=subprocess.DEVNULL).stdout)
    seconds = {b["name"]: b["cpu_time"] / {"ns": 1e9, "us": 1e6, "ms": 1e3, "s": 1}[b["time_unit"]]
               for b in result["benchmarks"]}
    for name, what, limit in SOLVERS:
        yield what, f"{seconds[name]:.2f} s", f"<= {limit:g} s", seconds[name] <= limit


def make_model(path, zeros, layers=10, width=1000):
    """Products in a row: 10 M weights of 15 values, and zeros."""
    random = np.random.default_rng(0)
    values = np.sort(random.standard_normal(15)).astype(np.float32) / np.float32(width**0.5)
    tensors, nodes, x = [], [], "x"
    for i in range(layers):
        weight = values[random.integers(0, 15, (width, width))]
        weight[random.random((width, width)) < zeros] = 0
        tensors.append(numpy_helper.from_array(weight, f"w{i}"))
        nodes.append(helper.make_node("MatMul", [x, f"w{i}"], [f"h{i}"], name=f"product{i}"))
        nodes.append(helper.make_node("Relu", [f"h{i}"], [f"r{i}"], name=f"relu{i}"))
        x = f"r{i}"
    shape = ["n", width]
    graph = helper.make_graph(nodes, "products", [helper.make_tensor_value_info("x", 1, shape)],
                              [helper.make_tensor_value_info(x, 1, shape)], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    save(model, path)


def session_rows(program, out, rounds):
    recipe = os.path.join(out, "encode.yaml")
    with open(recipe, "w") as file:
        file.write("steps: [encode-weights]\n")
    for zeros in (0.0, 0.5, 0.9):
        model = os.path.join(out, f"zeros{zeros:g}.onnx")
        make_model(model, zeros)
        loads, runs, size = [], [], 0
        for _ in range(rounds):
            command = [program, "run", model, "-r", recipe, "-o", model.replace("zeros", "encoded"), "--force",
                       "--json", "--threads", "1"]
            report = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
            loads.append(report["session_after"]["load_ms"] / report["session_before"]["load_ms"])
            runs.append(report["latency_after"]["ratio"])
            size = report["size_after"]["file_bytes"] / report["size_before"]["file_bytes"]
        what = f"10 M weights, {100 * zeros:.0f} % zeros, encoded x {size:.3f}"
        load, run = statistics.median(loads), statistics.median(runs)
        yield f"load, {what}", f"x {load:.2f}", f"<= {LOAD_LIMIT:g}", load <= LOAD_LIMIT
        yield f"run, {what}", f"x {run:.3f}", f"<= {RUN_LIMIT:g}", run <= RUN_LIMIT


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out")
    parser.add_argument("--program", required=True)
    parser.add_argument("--bench", default=os.environ.get("NUMERICS_BENCH", ""), help="numerics_bench; without it no solvers")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    os.makedirs(arguments.out, exist_ok=True)
    rows = list(solver_rows(arguments.bench)) if arguments.bench else []
    rows += session_rows(arguments.program, arguments.out, arguments.rounds)
    print("| what | measured | limit | |\n|---|---|---|---|")
    for what, measured, limit, holds in rows:
        print(f"| {what} | {measured} | {limit} | {'holds' if holds else 'FAILS'} |")
    sys.exit(0 if all(row[3] for row in rows) else 1)


if __name__ == "__main__":
    main()
