# SPDX-License-Identifier: Apache-2.0
# Runs CHECK on the tree PLANTED and compares what it finds with PLANTED/expected.txt.
execute_process(COMMAND ${CHECK} ${PLANTED} OUTPUT_VARIABLE found RESULT_VARIABLE code)
file(READ ${PLANTED}/expected.txt expected)
if(NOT code EQUAL 1 OR NOT found STREQUAL expected)
  message(FATAL_ERROR "exit code ${code}; found:\n${found}\nexpected:\n${expected}")
endif()
