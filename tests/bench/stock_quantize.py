# SPDX-License-Identifier: Apache-2.0
"""Quantizes a model as a user of onnxruntime.quantization would: opset 17, pre-processed, static, QDQ, U8 activations,
S8 weights per channel. Prints one JSON line: samples, seconds without imports.

usage: stock_quantize.py MODEL OUTPUT CALIBRATION.npz METHOD LIMIT MEMORY_GB
Where METHOD needs more than MEMORY_GB, half the samples are taken, until it fits."""
import json
import os
import resource
import sys
import tempfile
import time

import onnx
import onnx.version_converter
from onnxruntime.quantization import (CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType,
                                      quantize_static)
from onnxruntime.quantization.shape_inference import quant_pre_process

from bench import Samples, open_session


class Reader(CalibrationDataReader):
    def __init__(self, samples):
        self.feeds = iter(samples)

    def get_next(self):
        return next(self.feeds, None)


def quantize(model, output, samples, method):
    with tempfile.TemporaryDirectory() as folder:
        raised, prepared = os.path.join(folder, "raised.onnx"), os.path.join(folder, "prepared.onnx")
        loaded = onnx.load(model)
        if next(o.version for o in loaded.opset_import if o.domain in ("", "ai.onnx")) < 17:
            loaded = onnx.version_converter.convert_version(loaded, 17)
        onnx.save(loaded, raised)
        quant_pre_process(raised, prepared, skip_symbolic_shape=True)
        quantize_static(prepared, output, Reader(samples), quant_format=QuantFormat.QDQ, per_channel=True,
                        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
                        calibrate_method=getattr(CalibrationMethod, method))


def main():
    model, output, data, method, limit, memory_gb = sys.argv[1:]
    cap = int(float(memory_gb) * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (cap, cap))
    limit = int(limit)
    session = open_session(model)
    while True:
        samples = Samples(session, data, limit)
        begin = time.perf_counter()
        try:
            quantize(model, output, samples, method)
            break
        except Exception as error:  # The runtime reports a lack of memory by types of its own.
            text = f"{type(error).__name__}: {error}".lower()
            if limit <= 10 or not any(word in text for word in ("memory", "alloc")):
                raise
            limit //= 2
    print(json.dumps({"samples": len(samples), "seconds": time.perf_counter() - begin}))


if __name__ == "__main__":
    main()
