# SPDX-License-Identifier: Apache-2.0
set(models ${CMAKE_CURRENT_BINARY_DIR}/ocr-models)
add_test(NAME examples.ocr-fetch COMMAND bash ${CMAKE_CURRENT_SOURCE_DIR}/ocr/fetch.sh ${models})
set_tests_properties(examples.ocr-fetch PROPERTIES LABELS example TIMEOUT 600
  SKIP_RETURN_CODE 77 FIXTURES_SETUP ocr_models)

function(mcompress_ocr_example model recipe)
  set(name ocr-${model}-${recipe})
  mcompress_example(${name} NEEDS ${models}/${model}.onnx
    COMMAND ${program} run ${models}/${model}.onnx -r examples/ocr/${model}/${recipe}.yaml
      -o {out}/model.onnx --force --report {out}/report.json
    EXPECT "failed == OFF" ${ARGN})
  set_tests_properties(examples.${name} PROPERTIES FIXTURES_REQUIRED ocr_models)
endfunction()

mcompress_ocr_example(recognition lossless
  "metric_before.value == 0.91" "metric_after.value >= 0.91" "size_after.file_bytes <= 10800000")
mcompress_ocr_example(direction lossless
  "metric_before.value == 0.91" "metric_after.value >= 0.91" "size_after.file_bytes <= 540000")
mcompress_ocr_example(direction int8
  "metric_after.value >= 0.90" "size_after.file_bytes <= 190000")
mcompress_ocr_example(recognition int8
  "metric_after.value >= 0.84" "size_after.file_bytes <= 3000000")
