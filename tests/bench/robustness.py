# SPDX-License-Identifier: Apache-2.0
"""`inspect` and every recipe that needs no data on the operator models of Debian's libonnx-testdata: counts crashes,
outputs that do not load or run, and outputs that differ where they must not. README.md beside it says more."""
import argparse
import collections
import concurrent.futures
import glob
import os
import subprocess
import sys
import tempfile

import numpy as np
import onnx
from onnx import numpy_helper

import bench

RECIPES = ["exact", "lossless", "fp16", "int8-weights", "int8-dynamic", "low-rank", "shared", "sparse", "deep-compression"]
EXACT = """version: 1
steps: [eliminate-identity, fold-constants, share-initializers, eliminate-dead, encode-weights, shorten-names]
"""
SAID = {0: "done", 1: "limit", 3: "recipe", 4: "model", 5: "data", 6: "runtime"}
# What the words of the recipe promise, relative to the largest value of an output; the others are lossy.
TOLERANCE = {"exact": 1e-5, "lossless": 1e-4}


def find_models():
    listed = subprocess.run(["dpkg", "-L", "libonnx-testdata"], capture_output=True, text=True, check=True).stdout
    return sorted(line for line in listed.splitlines() if line.endswith("/model.onnx"))


def plain(value):
    """A tensor of the test data as numpy; sequences and optionals are left out."""
    return numpy_helper.to_array(value)


def read_feed(model, session):
    feed = {}
    folder = os.path.join(os.path.dirname(model), "test_data_set_0")
    for k, model_input in enumerate(session.get_inputs()):
        path = os.path.join(folder, f"input_{k}.pb")
        if not os.path.exists(path) or not model_input.type.startswith("tensor("):
            return None
        with open(path, "rb") as file:
            feed[model_input.name] = plain(onnx.TensorProto.FromString(file.read()))
    return feed


def run_model(path, feed, optimize):
    return bench.open_session(path, optimize).run(None, feed)


def same(before, after, tolerance):
    """Equal, or within tolerance of the largest finite value; NaN and infinities where they were."""
    for x, y in zip(before, after):
        if isinstance(x, (list, dict)) or x is None:
            if tolerance == 0 and repr(x) != repr(y):
                return False
            continue
        if x.dtype != y.dtype or x.shape != y.shape:
            return False
        if not np.issubdtype(x.dtype, np.floating):
            if not np.array_equal(x, y):
                return False
            continue
        finite = np.isfinite(x)
        if not np.array_equal(np.where(finite, 0, x), np.where(finite, 0, y), equal_nan=True):
            return False
        if finite.any():
            largest = float(np.abs(x[finite].astype(np.float64)).max())
            if np.abs(x[finite].astype(np.float64) - y[finite].astype(np.float64)).max() > tolerance * largest:
                return False
    return len(before) == len(after)


class Reference:
    """What the input model gives: None where the runtime cannot open it or there is no data for it."""

    def __init__(self, model):
        self.plain = self.optimized = self.feed = None
        self.runs = self.stable = False
        try:
            session = bench.open_session(model, optimize=False)
            self.feed = read_feed(model, session)
            if self.feed is not None:
                self.plain, self.optimized = (run_model(model, self.feed, optimize) for optimize in (False, True))
                again = run_model(model, self.feed, False)
                self.runs, self.stable = True, same(self.plain, again, 0)  # random ones differ by themselves
        except Exception:
            pass


def judge(reference, output, recipe):
    if not reference.runs:
        return "not run"
    try:
        plain_out, optimized_out = (run_model(output, reference.feed, optimize) for optimize in (False, True))
    except Exception as error:
        return f"INVALID: {str(error).splitlines()[0][:160]}"
    if recipe not in TOLERANCE or not reference.stable:
        return "runs"
    bits = 0 if recipe == "exact" else TOLERANCE[recipe]
    if not same(reference.plain, plain_out, bits):
        return "DIFFERS with optimizations off"
    if not same(reference.optimized, optimized_out, TOLERANCE[recipe]):
        return "DIFFERS with optimizations on"
    return "equal"


def verdict_of(ended):
    if ended.timed_out:
        return "CRASH: no end within the time limit"
    if ended.code < 0:
        return f"CRASH: signal {-ended.code}"
    if ended.code not in SAID:
        return f"CRASH: exit code {ended.code}"
    return SAID[ended.code]


def examine(model, options, exact_recipe):
    """(what was run, verdict, last line said) for one model."""
    found = []
    ended = bench.Ended([options.program, "inspect", model], timeout=options.timeout)
    found.append(("inspect", verdict_of(ended), ended.text))
    reference = Reference(model)
    for recipe in options.recipes:
        with tempfile.TemporaryDirectory() as folder:
            output = os.path.join(folder, "output.onnx")
            ended = bench.Ended([options.program, "run", model, "-r", exact_recipe if recipe == "exact" else recipe,
                                 "-o", output, "-q"], timeout=options.timeout)
            verdict = verdict_of(ended)
            if verdict in ("done", "limit"):
                verdict = judge(reference, output, recipe)
            elif glob.glob(os.path.join(folder, "*")) and not verdict.startswith("CRASH"):
                verdict = "INVALID: left a partial file"
            found.append((recipe, verdict, ended.text))
    return model, found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out", nargs="?", default="build/bench-robustness")
    parser.add_argument("--program", required=True)
    parser.add_argument("--every", type=int, default=1, help="take one model in N")
    parser.add_argument("--only", default="", help="models whose path contains this")
    parser.add_argument("--recipes", default=",".join(RECIPES))
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--timeout", type=float, default=120, help="seconds for one command")
    options = parser.parse_args()
    options.recipes = options.recipes.split(",")
    os.makedirs(options.out, exist_ok=True)
    models = [m for m in find_models() if options.only in m][::options.every]
    counts = collections.defaultdict(collections.Counter)
    bad = []
    exact_recipe = os.path.join(options.out, "exact.yaml")
    with open(exact_recipe, "w", encoding="utf-8") as file:
        file.write(EXACT)
    with concurrent.futures.ProcessPoolExecutor(options.jobs) as pool:
        work = [pool.submit(examine, model, options, exact_recipe) for model in models]
        for count, done in enumerate(concurrent.futures.as_completed(work), 1):
            if count % 50 == 0:
                print(f"{count} of {len(models)} models", file=sys.stderr, flush=True)
            try:
                model, found = done.result()
            except RuntimeError as error:  # the program is being built anew
                print(error, file=sys.stderr, flush=True)
                counts["inspect"]["not started"] += 1
                continue
            for what, verdict, text in found:
                counts[what][verdict.split(":")[0]] += 1
                if verdict.split()[0].rstrip(":") in ("CRASH", "INVALID", "DIFFERS"):
                    bad.append((os.path.relpath(model, "/usr/share/libonnx-testdata/data"), what, verdict, text.strip()))
                    print(*bad[-1][:3], sep="\t", file=sys.stderr, flush=True)
    kinds = sorted({kind for counter in counts.values() for kind in counter})
    table = bench.markdown(["what", *kinds], [[what, *(counts[what][kind] for kind in kinds)]
                                              for what in ["inspect", *options.recipes]])
    with open(os.path.join(options.out, "robustness.md"), "w", encoding="utf-8") as file:
        file.write(f"{len(models)} models\n\n{table}\n")
        for model, what, verdict, text in sorted(bad):
            file.write(f"\n- `{model}` {what}: {verdict}\n\n      " + text[-600:].replace("\n", "\n      ") + "\n")
    print(f"{len(models)} models\n\n{table}\n\n{len(bad)} to look into: {options.out}/robustness.md")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
