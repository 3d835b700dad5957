# SPDX-License-Identifier: Apache-2.0
"""What quantization-aware training wins back of what rounding loses (README.md beside it)."""
import os
import sys

import bench
from sparse_table import Runner, score

MODELS = ["glyphs/mobilenetv2-bn", "glyphs/resnet8-bn"]
WANTED = 70  # per cent of what static quantization lost
# The second of each pair: the same start, and training.
CASES = {
    "W8A8": ("quantize-static: {where: everywhere, effort: quick}", "weights: 8"),
    "W4A8": ("weights: 4", "weights: 4"),
    "ternary, A8": ("weights: ternary, keep-8-bits: [first, last]", "weights: ternary, keep-8-bits: [first, last]"),
}
# Nothing moves: what is rounded at first, in the same form and with the same scales.
STILL = "steps: 1, batch: 64, learning-rate: 1.0e-12, scales: fixed"


def recipe(data, step):
    if not step.startswith("quantize-static"):
        step = f"quantize-aware-train: {{where: everywhere, {step}}}"
    return f"version: 1\n{data}metric: top1\nsteps:\n  - fold-constants\n  - fold-batch-norm\n  - {step}\n"


def main():
    parser = bench.arguments()
    parser.add_argument("--limit", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--train", type=int, default=5000, help="training images")
    parser.add_argument("--learning-rate", default="0.001")
    parser.add_argument("--case", action="append", choices=list(CASES))
    parser.add_argument("--more", default="", help="further options of the step")
    options = parser.parse_args()
    os.makedirs(options.out, exist_ok=True)
    runner = Runner(os.path.abspath(options.program), options.out)
    train = os.path.abspath(os.path.join(options.models, "glyphs", "train.npz"))
    data = f"data: {{training: {{npz: {train}, scale: 1/255, mean: 0.5, std: 0.25, limit: {options.train}}}}}\n"
    tune = (f"epochs: {options.epochs}, batch: 64, learning-rate: {options.learning_rate}, shift: 1, "
            f"teacher: input, soft-weight: 0.5{options.more}")

    def report(stem):
        return ["--validate", "none", "--report", runner.path(stem + ".json")]

    rows = []
    for name in MODELS:
        if options.only not in name:
            continue
        path = os.path.join(options.models, name + ".onnx")
        samples = bench.Samples(bench.open_session(path), os.path.join(os.path.dirname(path), "eval.npz"),
                                options.limit)
        base = score(path, samples)
        for case in options.case or CASES:
            without, with_it = CASES[case]
            stem = f"{os.path.basename(name)}-{case.replace(', ', '-')}"
            if not without.startswith("quantize-static"):
                without += ", " + STILL
            rounded = runner.run(path, stem + "-static", recipe(data, without), more=report(stem + "-static"))
            still = score(rounded, samples)
            written = runner.run(path, stem, recipe(data, f"{with_it}, {tune}"), more=report(stem))
            trained = score(written, samples)
            lost, half = bench.paired_drop(base, still)
            left, left_half = bench.paired_drop(base, trained)
            told, verdict = "-", "lost no more than its interval"
            if lost > half:
                won = 100 * (lost - left) / lost
                told, verdict = f"{won:.0f} %", "" if won >= WANTED else "not met"
            rows.append([name, case, f"{100 * base.mean():.2f} %", f"{lost:+.2f} +- {half:.2f}",
                         f"{left:+.2f} +- {left_half:.2f}", told,
                         f"{os.path.getsize(path) / os.path.getsize(written):.1f}", verdict])
    text = bench.markdown(["model", "bits", "float", "points lost, rounded", "points lost, trained", "won back",
                           "smaller, times", ""], rows)
    print(text, flush=True)
    with open(runner.path("quantize_aware.md"), "w") as f:
        f.write(text)
    return 1 if "not met" in text else 0


if __name__ == "__main__":
    sys.exit(main())
