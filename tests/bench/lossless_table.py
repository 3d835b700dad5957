# SPDX-License-Identifier: Apache-2.0
"""The recipe `lossless`: latency and outputs beside the input model's. README.md beside it says what is measured."""
import os
import sys

import numpy as np

import bench


def difference(model, output, samples):
    """Largest difference of any output value, relative to the largest value of that output."""
    before, after = bench.open_session(model), bench.open_session(output)
    worst, largest = {}, {}
    for feed in samples:
        for k, (x, y) in enumerate(zip(before.run(None, feed), after.run(None, feed))):
            if not np.issubdtype(x.dtype, np.floating):
                worst[k] = max(worst.get(k, 0), float(np.any(x != y)))
                largest[k] = 1.0
                continue
            worst[k] = max(worst.get(k, 0), float(np.abs(x - y).max(initial=0)))
            largest[k] = max(largest.get(k, 0), float(np.abs(x).max(initial=0)))
    return max((worst[k] / max(largest[k], 1e-30) for k in worst), default=0.0)


def main():
    parser = bench.arguments()
    parser.add_argument("--limit", type=int, default=300, help="evaluation samples")
    options = parser.parse_args()
    os.makedirs(options.out, exist_ok=True)
    header = ["model", "latency", "latency ratio", "largest difference / largest value", "size ratio", "seconds",
              "peak MB", "not met"]
    rows = []
    for name, model, folder in bench.find_models(options.models):
        if options.only not in name:
            continue
        output = os.path.join(options.out, name.replace("/", "-") + ".lossless.onnx")
        ended = bench.Ended([options.program, "run", model, "-r", "lossless", "-o", output, "--force"])
        if ended.code != 0:
            rows.append([name, "-", "-", "-", "-", f"{ended.seconds:.1f}", f"{ended.peak_mb:.0f}",
                         f"exit code {ended.code}"])
            continue
        data = os.path.join(folder, "eval.npz")
        worst = difference(model, output, bench.Samples(bench.open_session(model), data, options.limit))
        seconds, ratios = bench.latency_ratios([model, output], data)
        missed = (["slower"] if ratios[1] > 1.02 else []) + (["outputs differ"] if worst > 1e-4 else [])
        rows.append([name, f"{1e3 * seconds:.3f} ms", f"{ratios[1]:.3f}", f"{worst:.1e}",
                     f"{os.path.getsize(output) / os.path.getsize(model):.3f}", f"{ended.seconds:.1f}",
                     f"{ended.peak_mb:.0f}", "; ".join(missed) or "all hold"])
        print(bench.markdown(header, rows[-1:]).splitlines()[-1], file=sys.stderr, flush=True)
    table = bench.markdown(header, rows) + "\n"
    with open(os.path.join(options.out, "lossless.md"), "w", encoding="utf-8") as file:
        file.write(table)
    print(table)
    return 1 if any(row[-1] != "all hold" for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
