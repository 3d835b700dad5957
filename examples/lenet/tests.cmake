# SPDX-License-Identifier: Apache-2.0
mcompress_recipe_example(lenet lenet/model.onnx lenet/recipe.yaml
  "size_before.file_bytes == 1067211"
  "size_after.file_bytes <= 37000"
  "metric_before.value == 0.986"
  "metric_after.value >= 0.983"
  "constraints.0.holds == ON"
  "constraints.1.holds == ON")
