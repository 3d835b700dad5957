# SPDX-License-Identifier: Apache-2.0
# Where nothing trains there is nothing to run: the module is the file that the test needs.
if(TARGET mcompress_train_module)
  mcompress_example(distill
    COMMAND ${program} run examples/distill/student.onnx -r examples/distill/teacher.yaml
      -o {out}/model.onnx --force --report {out}/report.json
    EXPECT
      "size_before.file_bytes == 266291"
      "metric_after.value >= 0.925"
      "failed == OFF")
  mcompress_example(distill-labels
    COMMAND ${program} run examples/distill/student.onnx -r examples/distill/labels.yaml
      -o {out}/model.onnx --force --report {out}/report.json
    EXPECT
      "metric_after.value >= 0.85"
      "metric_after.value <= 0.915"
      "failed == OFF")
endif()
