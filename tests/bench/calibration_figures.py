# SPDX-License-Identifier: Apache-2.0
"""Time and memory of calibration, and of the first INT8 candidate, against plain inference of the same samples.

usage: calibration_figures.py MODELS_DIR OUT [--only TEXT] [--samples N] [--processes N]
One thread on one core. Plain inference is by the Python runtime, without opening the session. Times are the least of
several runs. `first candidate` is the step quantize-static of recipe int8 at effort quick, as its report says."""
import json
import os
import sys
import tempfile
import time

from bench import Ended, Samples, arguments, find_models, markdown, open_session

MOST_RATIO = 2.0


def inference_seconds(model, data, samples):
    session = open_session(model)
    feeds = [feed for feed in Samples(session, data, samples)]
    session.run(None, feeds[0])
    begin = time.perf_counter()
    for feed in feeds:
        session.run(None, feed)
    return time.perf_counter() - begin, len(feeds)


def pinned(command):
    return Ended(["/usr/bin/env", "taskset", "-c", "0", *command])


def step_seconds(report, name):
    return sum(step["seconds"] for step in report["steps"] if step["name"] == name)


def main():
    parser = arguments()
    parser.add_argument("--samples", type=int, default=300)
    parser.add_argument("--processes", type=int, default=3)
    args = parser.parse_args()
    program = args.program
    os.makedirs(args.out, exist_ok=True)
    os.sched_setaffinity(0, {0})
    rows, missed = [], False
    for name, model, folder in find_models(args.models, ("calib.npz",)):
        if args.only not in name:
            continue
        data = os.path.join(folder, "calib.npz")
        plain, table, candidate, peaks = [], [], [], []
        with tempfile.TemporaryDirectory() as temporary:
            report_file = os.path.join(temporary, "report.json")
            limit = ["--set", f"data.calibration.limit={args.samples}", "--threads", "1", "--force"]
            for _ in range(args.processes):
                seconds, count = inference_seconds(model, data, args.samples)
                plain.append(seconds)
                done = pinned([program, "calibrate", model, "--data", data, "-o",
                               os.path.join(temporary, "table.json"), *limit])
                table.append(done.seconds)
                peaks.append(done.peak_mb)
                done = pinned([program, "run", model, "-r", "int8", "--data", f"calibration={data}", "--effort",
                               "quick", "-o", os.path.join(temporary, "out.onnx"), "--report", report_file, *limit])
                if done.code not in (0, 1):
                    sys.exit(f"{name}: {done.text}")
                with open(report_file) as file:
                    report = json.load(file)
                candidate.append(step_seconds(report, "quantize-static"))
            whole = done.peak_mb
        ratio = min(candidate) / min(plain)
        missed |= ratio > MOST_RATIO
        rows.append([name, count, f"{min(plain):.2f}", f"{min(table):.2f}", f"{max(peaks):.0f}", f"{min(candidate):.2f}",
                     f"{ratio:.2f}", f"{whole:.0f}"])
        text = markdown(["model", "samples", "inference s", "calibrate s", "its peak MB", "first candidate s",
                         "over inference", "peak MB of run -r int8"], rows)
        print(text + "\n", flush=True)
        with open(os.path.join(args.out, "calibration.md"), "w") as file:
            file.write(text + "\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
