# SPDX-License-Identifier: Apache-2.0
"""What the benchmark scripts share: feeding models, scoring them, timing them, and watching processes."""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnxruntime as ort

NUMPY_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64,
               "tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(int8)": np.int8,
               "tensor(uint8)": np.uint8, "tensor(bool)": np.bool_}


def open_session(path, optimize=True):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    if not optimize:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


class Samples:
    """Samples of an .npz for a model, one at a time. An array of the input's rank holds one along its first axis, an
    array with an axis more holds whole inputs, a scalar is the same for all. Stored types are cast."""

    def __init__(self, session, path, limit=0):
        stored = np.load(path)
        self.labels = stored["labels"] if "labels" in stored.files else None
        self.columns, self.count = {}, None
        for model_input in session.get_inputs():
            values = stored[model_input.name].astype(NUMPY_TYPES[model_input.type])
            axes_more = values.ndim - len(model_input.shape)
            if values.ndim > 0:
                values = values[:limit] if limit else values
                self.count = len(values)
            self.columns[model_input.name] = (values, axes_more)
        if self.labels is not None:
            self.labels = self.labels[:self.count]

    def __len__(self):
        return self.count

    def __getitem__(self, i):
        if i >= self.count:
            raise IndexError(i)
        return {name: values if values.ndim == 0 else values[i] if axes_more == 1 else values[i:i + 1]
                for name, (values, axes_more) in self.columns.items()}


def collapse(ids, blank=0):
    """What a CTC output says: repeats are one, blanks are nothing."""
    kept = [int(k) for n, k in enumerate(ids) if n == 0 or k != ids[n - 1]]
    return [k for k in kept if k != blank]


def outputs_of(path, samples, optimize=True):
    session = open_session(path, optimize)
    return [session.run(None, feed)[0] for feed in samples]


def hits(outputs, labels):
    """Per sample 1 or 0: the right class, or for rows of labels (padded with -1) the right sequence."""
    if labels.ndim == 1 or labels.shape[1] == 1:
        return np.array([float(y.reshape(-1).argmax() == label) for y, label in zip(outputs, labels.reshape(-1))])
    return np.array([float(collapse(y.reshape(-1, y.shape[-1]).argmax(-1)) == [k for k in row if k >= 0])
                     for y, row in zip(outputs, labels.tolist())])


def ctc_loss(probabilities, row, blank=0):
    """-log of the probability of all ways to say the row (Graves 2006), in logarithms."""
    log = np.log(np.maximum(probabilities.astype(np.float64), 1e-30))
    states = [blank]
    for label in row:
        states += [label, blank]
    states = np.array(states)
    # From two states back, where no blank has to stand between equal labels.
    jumps = np.zeros(len(states), bool)
    jumps[2:] = (states[2:] != blank) & (states[2:] != states[:-2])
    now = np.full(len(states), -np.inf)
    now[:2] = log[0, states[:2]]
    for at in log[1:]:
        one = np.concatenate([[-np.inf], now[:-1]])
        two = np.where(jumps, np.concatenate([[-np.inf, -np.inf], now])[:len(states)], -np.inf)
        now = np.logaddexp(np.logaddexp(now, one), two) + at[states]
    return -np.logaddexp.reduce(now[-2:])


def losses(outputs, labels):
    """Per sample: cross-entropy of class scores, or CTC of rows of probabilities (labels padded with -1)."""
    if labels.ndim == 1:
        scores = [y.reshape(-1).astype(np.float64) for y in outputs]
        return np.array([np.logaddexp.reduce(y) - y[label] for y, label in zip(scores, labels)])
    return np.array([ctc_loss(y.reshape(-1, y.shape[-1]), [k for k in row if k >= 0])
                     for y, row in zip(outputs, labels.tolist())])


def paired_drop(before, after):
    """Points lost, and half of the 95 % interval of that, over the same samples."""
    lost = 100 * (before - after)
    return lost.mean(), 1.96 * lost.std() / np.sqrt(len(lost))


_TIMER = """
import sys, time, json, numpy as np
sys.path.insert(0, {bench!r})
from bench import Samples, open_session
paths, data, pairs = {paths!r}, {data!r}, {pairs}
sessions = [open_session(p) for p in paths]
feed = Samples(sessions[0], data, 1)[0]
begin = time.perf_counter()
for _ in range(3):
    for s in sessions: s.run(None, feed)
repeat = max(1, int(0.002 * 3 * len(sessions) / (time.perf_counter() - begin)))
times = []
for pair in range(pairs):
    row = [0.0] * len(paths)
    # Who goes first changes, so that nobody always runs into warm caches.
    for k in range(len(paths)):
        k = (k + pair) % len(paths)
        begin = time.perf_counter()
        for _ in range(repeat): sessions[k].run(None, feed)
        row[k] = (time.perf_counter() - begin) / repeat
    times.append(row)
print(json.dumps(times))
"""


def latency_ratios(paths, data, pairs=40, processes=3):
    """Median over interleaved pairs of several processes: seconds of paths[0], and every model's ratio to it."""
    times = []
    for _ in range(processes):
        code = _TIMER.format(bench=os.path.dirname(os.path.abspath(__file__)), paths=paths, data=data, pairs=pairs)
        done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
        times += json.loads(done.stdout)
    times = np.array(times)
    return float(np.median(times[:, 0])), [float(r) for r in np.median(times / times[:, :1], axis=0)]


# A process inherits the peak memory of who starts it, and this one holds whole data sets: a small one starts it.
_STARTER = """
import os, sys, threading, time
timeout, tell, command = float(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
os.set_inheritable(tell, False)
begin = time.perf_counter()
pid = os.posix_spawnp(command[0], command, os.environ)
alarm = threading.Timer(timeout, os.kill, (pid, 9))
alarm.start()
_, status, usage = os.wait4(pid, 0)
alarm.cancel()
seconds = time.perf_counter() - begin
os.write(tell, f"{os.waitstatus_to_exitcode(status)} {seconds} {usage.ru_maxrss / 1024}".encode())
"""


class Ended:
    """A process that ended: exit code (negative: by a signal), wall seconds, peak memory of it alone, output."""

    def __init__(self, command, timeout=600):
        read_end, write_end = os.pipe()
        starter = [sys.executable, "-I", "-S", "-c", _STARTER, str(timeout), str(write_end), *command]
        with tempfile.TemporaryFile() as output:
            process = subprocess.Popen(starter, stdout=output, stderr=subprocess.STDOUT,
                                       stdin=subprocess.DEVNULL, pass_fds=[write_end])
            os.close(write_end)
            process.wait()
            with os.fdopen(read_end) as pipe:
                told = pipe.read().split()
            output.seek(0)
            self.text = output.read().decode(errors="replace")
        if not told:
            raise RuntimeError(f"{command[0]} cannot be started: {self.text.strip().splitlines()[-1:]}")
        self.code, self.seconds, self.peak_mb = int(told[0]), float(told[1]), float(told[2])
        self.timed_out = self.seconds >= timeout


def markdown(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows])


def arguments():
    """A parser with what every table of models takes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("models")
    parser.add_argument("out")
    parser.add_argument("--program", required=True)
    parser.add_argument("--only", default="", help="models whose name contains this")
    return parser


def find_models(folder, need=("eval.npz",)):
    """Each .onnx of a tree that has the data beside it: (name, path, folder)."""
    for here, _, files in sorted(os.walk(folder)):
        models = sorted(f for f in files if f.endswith(".onnx"))
        if models and all(name in files for name in need):
            for model in models:
                stem = os.path.basename(here)
                yield stem if len(models) == 1 else f"{stem}/{model[:-5]}", os.path.join(here, model), here
