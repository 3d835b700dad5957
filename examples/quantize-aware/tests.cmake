# SPDX-License-Identifier: Apache-2.0
if(TARGET mcompress_train_module)
  mcompress_example(quantize-aware
    COMMAND ${program} run examples/lenet/model.onnx -r examples/quantize-aware/recipe.yaml
      -o {out}/model.onnx --force --report {out}/report.json
    EXPECT
      "size_before.file_bytes == 1067211"
      "size_after.file_bytes <= 65000"
      "metric_after.value >= 0.97"
      "failed == OFF")
endif()
mcompress_example(quantize-aware-rounded
  COMMAND ${program} run examples/lenet/model.onnx -r examples/quantize-aware/rounded.yaml
    -o {out}/model.onnx --force --report {out}/report.json
  EXPECT
    "size_after.file_bytes <= 60000"
    "metric_after.value <= 0.96"
    "failed == OFF")
