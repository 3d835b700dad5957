# SPDX-License-Identifier: Apache-2.0
mcompress_example(ci-holds
  COMMAND bash examples/ci/gate.sh examples/lenet/model.onnx examples/ci/holds.yaml {out}
  EXPECT
    "failed == OFF"
    "steps.0.gates.0.holds == ON"
    "size_after.file_bytes <= 110000"
  CONTAINS
    "{out}/verdict.md=✅ met: `size <= 25 %`")
mcompress_example(ci-fails EXIT 1
  COMMAND bash examples/ci/gate.sh examples/lenet/model.onnx examples/ci/fails.yaml {out}
  EXPECT
    "failed == ON"
    "steps.0.gates.0.holds == OFF"
    "steps.0.gates.0.measured >= 0.05"
  CONTAINS
    "{out}/verdict.md=❌ not met: `metric-drop <= 0.5 pt`")
