# SPDX-License-Identifier: Apache-2.0
mcompress_training_example(quantize-aware lenet/model.onnx quantize-aware/recipe.yaml
  "size_before.file_bytes == 1067211"
  "size_after.file_bytes <= 65000"
  "metric_after.value >= 0.97")
mcompress_recipe_example(quantize-aware-rounded lenet/model.onnx quantize-aware/rounded.yaml
  "size_after.file_bytes <= 60000"
  "metric_after.value <= 0.96")
