# SPDX-License-Identifier: Apache-2.0
"""Factors at half the parameters, with data and without; archives. README.md beside it says what is measured."""
import json
import os
import subprocess
import sys
import time

import bench

MOST_OF_PLAIN = 1 / 3
# A model counts where plain factors lose more than its metric is uncertain by.
LEAST_LOSS = 0.5


def run(program, model, folder, out, fit, budget):
    name = os.path.join(out, f"{fit}")
    with open(name + ".yaml", "w", encoding="utf-8") as file:
        file.write(f"version: 1\nencode: false\nsteps:\n  - fold-batch-norm\n"
                   f"  - factorize-weights: {{budget: {budget}, fit: {fit}}}\n")
    done = subprocess.run([program, "run", model, "-r", name + ".yaml", "-o", name + ".onnx", "--force", "--json",
                           "--validate", "none", "--data", "calibration=" + os.path.join(folder, "calib.npz"),
                           "--data", "evaluation=" + os.path.join(folder, "eval.npz")],
                          capture_output=True, text=True)
    if done.returncode not in (0, 1):
        sys.exit(done.stderr)
    return json.loads(done.stdout)


def low_rank(options):
    rows, plain_sum, whitened_sum = [], 0.0, 0.0
    for name, model, folder in bench.find_models(options.models):
        if options.only not in name:
            continue
        reports = {fit: run(options.program, model, folder, options.out, fit, options.budget)
                   for fit in ("weights", "outputs")}
        before = reports["weights"]["metric_before"]
        loss = {fit: before["value"] - report["metric_after"]["value"] for fit, report in reports.items()}
        if not before["higher_is_better"]:
            loss = {fit: -value for fit, value in loss.items()}
        counts = 100 * loss["weights"] > LEAST_LOSS
        if counts:
            plain_sum += loss["weights"]
            whitened_sum += max(loss["outputs"], 0)
        kept = [f"{report['size_after']['parameters'] / report['size_before']['parameters']:.3f}"
                for report in reports.values()]
        rows.append([name, before["name"], f"{before['value']:.4f}", f"{loss['weights']:.4f}",
                     f"{loss['outputs']:.4f}", " / ".join(kept), "yes" if counts else "no"])
        print(bench.markdown(["model"] * 7, rows[-1:]).splitlines()[-1], file=sys.stderr, flush=True)
    table = bench.markdown(["model", "metric", "input", "lost by plain SVD", "lost by whitened",
                            "parameters left", "counts"], rows)
    ratio = whitened_sum / plain_sum if plain_sum > 0 else 0.0
    missed = ratio > MOST_OF_PLAIN
    return table + f"\nsum of losses, whitened / plain: {ratio:.3f}{' (not met)' if missed else ''}\n", missed


def archives(options):
    rows = []
    for name, model, folder in bench.find_models(options.models):
        if options.only not in name:
            continue
        small, packed, back = (os.path.join(options.out, file) for file in ("s.onnx", "s.mcz", "back.onnx"))
        subprocess.run([options.program, "run", model, "-r", options.recipe, "-o", small, "--force", "--validate",
                        "none", "--data", "calibration=" + os.path.join(folder, "calib.npz")],
                       check=True, capture_output=True)
        for source, label in ((model, name), (small, f"{name}, {options.recipe}")):
            done = subprocess.run([options.program, "pack", source, "-o", packed, "--force", "--json"], check=True,
                                  capture_output=True, text=True)
            figures = json.loads(done.stdout)
            begin = time.perf_counter()
            subprocess.run([options.program, "unpack", packed, "-o", back, "--force"], check=True, capture_output=True)
            seconds = time.perf_counter() - begin
            with open(source, "rb") as a, open(back, "rb") as b:
                same = a.read() == b.read()
            size = figures["plain_bytes"]
            rows.append([label, size, figures["packed_bytes"], f"{os.path.getsize(model) / figures['packed_bytes']:.2f}",
                         f"{size / figures['seconds'] / 1e6:.1f}", f"{size / seconds / 1e6:.1f}",
                         "" if same else "differs"])
    return bench.markdown(["file", "bytes", "packed", "input / packed", "pack MB/s", "unpack MB/s", "not met"],
                          rows) + "\n", any(row[-1] for row in rows)


def main():
    parser = bench.arguments()
    parser.add_argument("--budget", type=float, default=0.5)
    parser.add_argument("--recipe", default="smallest", help="whose output is packed, too")
    parser.add_argument("--part", choices=["low-rank", "archives"], action="append")
    options = parser.parse_args()
    os.makedirs(options.out, exist_ok=True)
    failed = False
    for part, work in (("low-rank", low_rank), ("archives", archives)):
        if options.part and part not in options.part:
            continue
        table, missed = work(options)
        failed |= missed
        print(table)
        with open(os.path.join(options.out, part + ".md"), "w", encoding="utf-8") as file:
            file.write(table)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
