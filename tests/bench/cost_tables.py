# SPDX-License-Identifier: Apache-2.0
"""Cost tables against the models they were measured on, and how long a sensitivity table takes."""
import argparse
import json
import pathlib
import subprocess
import time


def mcompress(program, *arguments):
    begin = time.perf_counter()
    result = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True)
    if result.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(map(str, arguments))}: exit code {result.returncode}\n{result.stderr}")
    return json.loads(result.stdout), time.perf_counter() - begin


def row_of(program, model, out, samples):
    name = f"{model.parent.name}-{model.stem}"
    table = out / f"{name}.json"
    data = ["--data", f"calibration={model.parent / 'calib.npz'}"]
    run, _ = mcompress(program, "run", model, "-r", "int8", "--measure", "--costs", table, *data,
                       "-o", out / f"{name}.onnx", "--force", "--json")
    found, seconds = mcompress(program, "sensitivity", model, "-r", "int8", "--options",
                               "int8,int8-weights", "--costs", table, *data, "--samples", samples,
                               "-o", out / f"{name}.yaml", "--force", "--json")
    costs = run["costs"]
    return [name, costs["entries"], *(f"{costs[key]:.3f}" if costs[key] is not None else "" for key in (
        "float_predicted_ms", "float_measured_ms", "saving_predicted_ms", "saving_measured_ms")),
        len(found["layers"]), f"{seconds:.1f}", found["layers"][0]["name"] if found["layers"] else ""]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--program", required=True)
    parser.add_argument("--only", default="")
    parser.add_argument("--samples", type=int, default=32)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    lines = ["| model | lines | float: units predicted, ms | model measured, ms | INT8 saves: predicted, ms "
             "| measured, ms | layers | sensitivity, s | worst layer |", "|---|" + "---:|" * 7 + "---|"]
    for model in sorted(args.models.rglob("*.onnx")):
        if args.only in str(model) and (model.parent / "calib.npz").exists():
            lines.append("| " + " | ".join(map(str, row_of(args.program, model, args.out, args.samples))) + " |")
            print(lines[-1], flush=True)
    (args.out / "cost_tables.md").write_text("\n".join(lines) + "\n")


main()
