# SPDX-License-Identifier: Apache-2.0
"""INT8 by mcompress beside onnxruntime.quantization, on the same files. README.md beside it says what is measured."""
import argparse
import json
import os
import sys

import numpy as np

import bench


def stock(model, data, output, method, limit, memory_gb):
    """One core by taskset: the peer's calibrator ignores a thread setting."""
    here = os.path.dirname(os.path.abspath(__file__))
    ended = bench.Ended(["taskset", "-c", "0", sys.executable, os.path.join(here, "stock_quantize.py"), model, output,
                         data, method, str(limit), str(memory_gb)], timeout=3600)
    if ended.code != 0:
        return {"error": ended.text.strip().splitlines()[-1] if ended.text.strip() else f"exit {ended.code}"}
    said = json.loads(ended.text.strip().splitlines()[-1])
    return {"path": output, "seconds": said["seconds"], "samples": said["samples"], "peak_mb": ended.peak_mb}


def ours(program, model, data, output, limit, extra):
    report = output + ".json"
    ended = bench.Ended(["taskset", "-c", "0", program, "run", model, "-r", "int8", "--data", f"calibration={data}",
                         "--set", f"data.calibration.limit={limit}", "--threads", "1", "-o", output, "--force",
                         "--report", report, *extra], timeout=3600)
    result = {"seconds": ended.seconds, "peak_mb": ended.peak_mb, "code": ended.code}
    if ended.code not in (0, 1):
        result["error"] = " ".join(ended.text.split())[-300:] or f"exit code {ended.code}"
    else:
        result["path"] = output
    return result


def check(row):
    """What rules.md asks of ours and does not get."""
    mine, peers, base = row["ours"], [p for p in (row["minmax"], row["entropy"]) if "path" in p], row["base"]
    missed = []
    if peers:
        best = max(peers, key=lambda p: p["hits"].mean())
        drop, half = bench.paired_drop(best["hits"], mine["hits"])
        if drop > max(0.2, half):
            missed.append(f"metric {drop:.1f} pt below stock")
        smallest = min(p["bytes"] for p in peers)
        if mine["bytes"] > 1.05 * smallest:
            missed.append(f"size {mine['bytes'] / smallest:.2f} of stock")
    if bench.paired_drop(base["hits"], mine["hits"])[0] > 0.5:
        missed.append("more than 0.5 pt below FP32")
    if mine["ratio"] > 1.02:
        missed.append("slower than FP32")
    for peer in peers:  # a model that is wrong may be as fast as it likes
        if bench.paired_drop(base["hits"], peer["hits"])[0] <= 1 and mine["ratio"] > 1.02 * peer["ratio"]:
            missed.append(f"slower than stock: {mine['ratio']:.3f}, {peer['ratio']:.3f}")
    for name, peer, time_part, memory_part in (("MinMax", row["minmax"], 1 / 3, 1 / 2),
                                               ("Entropy", row["entropy"], 1 / 20, 1 / 40)):
        if "path" not in peer:
            continue
        # Below 5 s and 1 GB the peer's figure is mostly start-up: absolute bounds stand there.
        most = time_part * peer["seconds"] if peer["seconds"] >= 5 else 2.0
        if mine["seconds"] > most:
            missed.append(f"time {mine['seconds']:.1f} s, {name} allows {most:.1f}")
        most = memory_part * peer["peak_mb"] if peer["peak_mb"] >= 1000 else 60 + 4 * base["bytes"] / 1e6
        if mine["peak_mb"] > most:
            missed.append(f"memory {mine['peak_mb']:.0f} MB, {name} allows {most:.0f}")
    return missed


def measure(name, model, folder, options):
    calibration, evaluation = os.path.join(folder, "calib.npz"), os.path.join(folder, "eval.npz")
    stem = os.path.join(options.out, name.replace("/", "-"))
    available = len(bench.Samples(bench.open_session(model), calibration, options.samples))
    row = {"name": name, "base": {"path": model}, "available": available,
           "minmax": stock(model, calibration, stem + ".minmax.onnx", "MinMax", options.samples, options.memory_gb),
           "entropy": {"error": "not asked for"} if options.no_entropy else
           stock(model, calibration, stem + ".entropy.onnx", "Entropy", options.samples, options.memory_gb),
           "ours": ours(options.program, model, calibration, stem + ".ours.onnx", options.samples, options.extra)}
    samples = bench.Samples(bench.open_session(model), evaluation, options.limit)
    models = [entry for entry in (row["base"], row["minmax"], row["entropy"], row["ours"]) if "path" in entry]
    for entry in models:
        entry["bytes"] = os.path.getsize(entry["path"])
        entry["hits"] = bench.hits(bench.outputs_of(entry["path"], samples), samples.labels)
    milliseconds, ratios = bench.latency_ratios([entry["path"] for entry in models], evaluation)
    for entry, ratio in zip(models, ratios):
        entry["ratio"] = ratio
    row["base"]["ms"] = 1e3 * milliseconds
    row["missed"] = check(row) if "path" in row["ours"] else [row["ours"]["error"]]
    return row


def cells(row):
    columns = (row["minmax"], row["entropy"], row["ours"])

    def each(text):
        return " / ".join(text(entry) if "path" in entry else "-" for entry in columns)

    base = row["base"]
    return [row["name"], f"{100 * base['hits'].mean():.2f}", each(lambda e: f"{100 * e['hits'].mean():.2f}"),
            each(lambda e: f"{e['bytes'] / base['bytes']:.3f}"), f"{base['ms']:.3f} ms",
            each(lambda e: f"{e['ratio']:.3f}"), each(lambda e: f"{e['seconds']:.1f}"),
            each(lambda e: f"{e['peak_mb']:.0f}"), "; ".join(row["missed"]) or "all hold"]


def main():
    parser = bench.arguments()
    parser.add_argument("--samples", type=int, default=300, help="of calibration")
    parser.add_argument("--limit", type=int, default=0, help="evaluation samples; 0: all")
    parser.add_argument("--no-entropy", action="store_true")
    parser.add_argument("--memory-gb", type=float, default=16, help="what the stock tool may take")
    parser.add_argument("--extra", nargs=argparse.REMAINDER, default=[], help="further arguments of mcompress run")
    options = parser.parse_args()
    os.makedirs(options.out, exist_ok=True)
    header = ["model", "FP32", "metric: MinMax / Entropy / ours", "size ratio", "FP32 latency", "latency ratio",
              "seconds", "peak MB", "not met"]
    rows, notes = [], []
    for name, model, folder in bench.find_models(options.models, ("calib.npz", "eval.npz")):
        if options.only not in name:
            continue
        row = measure(name, model, folder, options)
        rows.append(cells(row))
        print(bench.markdown(header, rows[-1:]).splitlines()[-1], file=sys.stderr, flush=True)
        for method in ("minmax", "entropy"):
            entry = row[method]
            if "error" in entry and not options.no_entropy:
                notes.append(f"{name}: stock {method}: {entry['error']}")
            elif entry.get("samples", row["available"]) < row["available"]:
                notes.append(f"{name}: stock {method} had room for {entry['samples']} samples")
    table = bench.markdown(header, rows) + "".join(f"\n\n{note}" for note in notes) + "\n"
    with open(os.path.join(options.out, "int8.md"), "w", encoding="utf-8") as file:
        file.write(table)
    print(table)
    return 1 if any(row[-1] != "all hold" for row in rows) else 0


if __name__ == "__main__":
    np.seterr(all="ignore")
    sys.exit(main())
