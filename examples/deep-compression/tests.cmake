# SPDX-License-Identifier: Apache-2.0
mcompress_training_example(deep-compression lenet/model.onnx deep-compression/short.yaml
  "size_before.file_bytes == 1067211"
  "size_after.file_bytes <= 30000"
  "metric_before.value == 0.986"
  "metric_after.value >= 0.975")
