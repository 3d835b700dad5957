# SPDX-License-Identifier: Apache-2.0
"""Weight-only INT8 of a large synthetic transformer: time against cp, peak memory (README.md beside it)."""
import argparse
import os
import shutil
import subprocess
import sys
import time

import numpy as np
from onnx import TensorProto, helper


def make_model(path, gib, width, external):
    """A stack of gated feed-forward blocks with residuals, an embedding in front; written tensor by tensor."""
    random = np.random.default_rng(0)
    hidden, vocabulary = width * 8 // 3 // 64 * 64, 8000
    block_bytes = 4 * 3 * width * hidden
    blocks = max(1, round((gib * 2**30 - 4 * vocabulary * width) / block_bytes))
    tensors, nodes, largest = [], [], 0
    data = open(path + ".data", "wb") if external else None

    def weight(name, rows, columns):
        nonlocal largest
        # Outputs of different size, as trained weights have them.
        values = random.standard_normal((rows, columns), dtype=np.float32)
        values *= random.lognormal(0, 0.5, columns).astype(np.float32) / np.float32(rows**0.5)
        largest = max(largest, values.nbytes)
        tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=values.shape)
        if data is None:
            tensor.raw_data = values.tobytes()
        else:
            data.write(b"\0" * (-data.tell() % 4096))
            tensor.data_location = TensorProto.EXTERNAL
            for key, value in (("location", os.path.basename(path) + ".data"), ("offset", data.tell()),
                               ("length", values.nbytes)):
                tensor.external_data.add(key=key, value=str(value))
            data.write(values.tobytes())
        tensors.append(tensor)
        return name

    def node(op, inputs, output):
        nodes.append(helper.make_node(op, inputs, [output], name=output))
        return output

    x = node("Gather", [weight("table", vocabulary, width), "ids"], "embedded")
    for i in range(blocks):
        gate = node("MatMul", [x, weight(f"gate{i}.w", width, hidden)], f"gate{i}")
        up = node("MatMul", [x, weight(f"up{i}.w", width, hidden)], f"up{i}")
        gated = node("Mul", [node("Sigmoid", [gate], f"open{i}"), up], f"gated{i}")
        down = node("MatMul", [gated, weight(f"down{i}.w", hidden, width)], f"down{i}")
        x = node("Add", [x, down], f"sum{i}")
    node("Softmax", [x], "y")
    graph = helper.make_graph(
        nodes, "large", [helper.make_tensor_value_info("ids", TensorProto.INT64, ["n", "s"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", "s", width])], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    if data:
        data.close()
    with open(path, "wb") as file:
        file.write(model.SerializeToString())
    return largest


def make_apart(*arguments):
    """In a process of its own: what this one takes in memory would count as the program's before it starts."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, str(make_model(*arguments)).encode())
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if status != 0:
        sys.exit("the model could not be made")
    return int(os.read(reader, 100))


def files_of(path):
    return [p for p in (path, path + ".data") if os.path.exists(p)]


def seconds(call):
    started = time.monotonic()
    call()
    return time.monotonic() - started


def copy(paths, folder):
    for path in paths:
        target = os.path.join(folder, "copy")
        subprocess.run(["cp", path, target], check=True)
        os.remove(target)


def run(program, model, output):
    """Peak memory in MB of one command."""
    for name in os.listdir(os.path.dirname(output)):
        if name.startswith(os.path.basename(output)):
            os.remove(os.path.join(os.path.dirname(output), name))
    child = subprocess.Popen([program, "run", model, "-r", "int8-weights", "-o", output, "-q",
                              "--validate", "layers"], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    if status != 0:
        sys.exit(f"the program ended with {status}")
    return usage.ru_maxrss / 1000


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    parser.add_argument("out", help="folder for the models: needs 3 x the largest")
    parser.add_argument("--gib", type=float, default=1.0)
    parser.add_argument("--large-gib", type=float, default=3.0, help="with external data; 0: left out")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    os.makedirs(options.out, exist_ok=True)
    failed = False

    model, output = os.path.join(options.out, "one.onnx"), os.path.join(options.out, "small.onnx")
    make_apart(model, options.gib, 2048, options.gib > 1.8)
    ratios = []
    for _ in range(options.rounds):
        for path in files_of(model):
            shutil.copyfile(path, os.devnull)  # into the page cache
        copied = seconds(lambda: copy(files_of(model), options.out))
        took = seconds(lambda: run(options.program, model, output))
        ratios.append(took / copied)
        print(f"{options.gib:g} GiB: cp {copied:.2f} s, int8-weights {took:.2f} s, x {ratios[-1]:.2f}", flush=True)
    ratio = sorted(ratios)[len(ratios) // 2]
    failed |= ratio > 2.5
    print(f"median x {ratio:.2f} of cp ({'met' if ratio <= 2.5 else 'not met'}: 2.5)")
    for path in files_of(model):
        os.remove(path)

    if options.large_gib > 0:
        model = os.path.join(options.out, "large.onnx")
        largest = make_apart(model, options.large_gib, 3072, True) / 1e6
        peak = run(options.program, model, output)
        limit = largest + 300
        failed |= peak > limit
        print(f"{options.large_gib:g} GiB of external data: peak {peak:.0f} MB, largest tensor {largest:.0f} MB "
              f"({'met' if peak <= limit else 'not met'}: {limit:.0f} MB)")
        for path in files_of(model):
            os.remove(path)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
