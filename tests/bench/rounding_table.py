# SPDX-License-Identifier: Apache-2.0
"""What preparing and rounding weights save: on evaluation samples, which no step has seen (README.md beside it)."""
import os
import subprocess
import sys

import numpy as np

import bench

# What the project asks of itself: output error of INT4 GPTQ, damage of 2-bit GPTQ, beside nearest rounding.
MOST_INT4, MOST_2_BITS, LEAST_LOSS = 0.6, 0.25, 1.0
EVERYWHERE = "quantize-static: {where: everywhere, effort: quick}"
RECIPES = {
    "4 bits, nearest": ["quantize-weights: {bits: 4, method: nearest}"],
    "4 bits, gptq": ["quantize-weights: {bits: 4, method: gptq}"],
    "2 bits, nearest": ["quantize-weights: {bits: 2, method: nearest}"],
    "2 bits, gptq": ["quantize-weights: {bits: 2, method: gptq}"],
    "int8": [EVERYWHERE],
    "int8, equalized": ["equalize-ranges", EVERYWHERE],
    "int8, equalized, Mul": ["equalize-ranges: {explicit-mul: worthwhile}", EVERYWHERE],
    "int8, smoothed": ["smooth-activations", EVERYWHERE],
    "int8, gptq": ["quantize-static: {where: everywhere, effort: quick, rounding: gptq}"],
    "int8, biases corrected": [EVERYWHERE, "correct-bias"],
    "int8, all": ["equalize-ranges: {explicit-mul: worthwhile}",
                  "quantize-static: {where: everywhere, effort: quick, rounding: gptq}", "correct-bias"],
}
CLEAN = ["eliminate-identity", "fold-constants", "fold-batch-norm", "fold-affine", "fuse-activations"]


def run(program, model, name, steps, data, out):
    recipe, output = os.path.join(out, name + ".yaml"), os.path.join(out, name + ".onnx")
    with open(recipe, "w") as f:
        f.write("version: 1\nsteps:\n" + "".join(f"  - {step}\n" for step in steps) + "encode: false\n")
    command = [program, "run", model, "-r", recipe, "-o", output, "--force", "-q", "--validate", "none",
               "--data", "calibration=" + data]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode not in (0, 1):
        sys.exit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr}")
    return output


def noise(wanted, found):
    """Noise power of the first output beside its power."""
    lost = sum(float(np.square(a - b).sum()) for a, b in zip(wanted, found))
    return lost / sum(float(np.square(a).sum()) for a in wanted)


def table_of(name, model, folder, options):
    data, samples = os.path.join(folder, "calib.npz"), None
    stem = name.replace("/", "-")
    clean = run(options.program, model, stem + "-clean", CLEAN, data, options.out)
    samples = bench.Samples(bench.open_session(clean), os.path.join(folder, "eval.npz"), options.limit)
    wanted = bench.outputs_of(clean, samples)
    before = bench.hits(wanted, samples.labels).mean() * 100
    rows, figures = [], {}
    for title, steps in RECIPES.items():
        made = run(options.program, clean, stem + "-candidate", steps, data, options.out)
        found = bench.outputs_of(made, samples)
        figures[title] = noise(wanted, found), before - bench.hits(found, samples.labels).mean() * 100
        rows.append([name, title, f"{figures[title][0]:.5f}", f"{figures[title][1]:+.2f}"])
        print(" | ".join(rows[-1]), flush=True)
    return rows, figures


def main():
    parser = bench.arguments()
    parser.add_argument("--limit", type=int, default=1000)
    options = parser.parse_args()
    os.makedirs(options.out, exist_ok=True)
    rows, all_figures, verdicts = [], [], []
    for name, model, folder in bench.find_models(options.models, ("calib.npz", "eval.npz")):
        if options.only in name:
            more, figures = table_of(name, model, folder, options)
            rows += more
            all_figures.append(figures)
    # Ratios of losses are ratios of sums.
    def ratio(ours, nearest, column, least):
        chosen = [f for f in all_figures if f[nearest][column] >= least]
        below = sum(f[nearest][column] for f in chosen)
        return sum(f[ours][column] for f in chosen) / below if below > 0 else None
    for title, ours, nearest, column, least, most in (
            ("INT4 GPTQ beside nearest, output error", "4 bits, gptq", "4 bits, nearest", 0, 0.0, MOST_INT4),
            ("2-bit GPTQ beside nearest, points lost", "2 bits, gptq", "2 bits, nearest", 1, LEAST_LOSS,
             MOST_2_BITS)):
        value = ratio(ours, nearest, column, least)
        if value is not None:
            verdicts.append((title, value, most))
    text = bench.markdown(["model", "recipe", "noise / signal", "points lost"], rows) + "\n"
    for title, value, most in verdicts:
        text += f"\n{title}: {value:.3f}, {'met' if value <= most else 'NOT MET'} (at most {most})"
    with open(os.path.join(options.out, "rounding.md"), "w") as f:
        f.write(text + "\n")
    print(text)
    return any(value > most for _, value, most in verdicts)


if __name__ == "__main__":
    sys.exit(main())
