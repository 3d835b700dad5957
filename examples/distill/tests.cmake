# SPDX-License-Identifier: Apache-2.0
mcompress_training_example(distill distill/student.onnx distill/teacher.yaml
  "size_before.file_bytes == 266291"
  "metric_after.value >= 0.925")
mcompress_training_example(distill-labels distill/student.onnx distill/labels.yaml
  "metric_after.value >= 0.85"
  "metric_after.value <= 0.915")
