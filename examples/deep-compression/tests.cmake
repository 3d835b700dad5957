# SPDX-License-Identifier: Apache-2.0
# Where nothing trains there is nothing to run: the module is the file that the test needs.
if(TARGET mcompress_train_module)
  mcompress_example(deep-compression
    COMMAND ${program} run examples/lenet/model.onnx -r examples/deep-compression/short.yaml
      -o {out}/model.onnx --force --report {out}/report.json
    EXPECT
      "size_before.file_bytes == 1067211"
      "size_after.file_bytes <= 30000"
      "metric_before.value == 0.986"
      "metric_after.value >= 0.975"
      "failed == OFF")
endif()
