# SPDX-License-Identifier: Apache-2.0
# Runs a program whose JSON report is REPORT, and compares what it says with what the example states.
#   COMMAND   program and arguments, separated by |
#   NEEDS     a file without which there is nothing to run: the test is skipped
#   EXIT      exit code that is expected
#   EXPECT    conditions separated by |, each "NAME OPERATOR VALUE": NAME a path into the report such as
#             size_after.file_bytes or constraints.0.holds, OPERATOR one of <= >= ==
#   CONTAINS  FILE=TEXT pairs separated by |: what a written file has to say
if(NEEDS AND NOT EXISTS ${NEEDS})
  message("skipped: ${NEEDS} is not there (examples/ocr/fetch.sh says why)")
  return()
endif()

string(REPLACE "|" ";" command "${COMMAND}")
file(REMOVE ${REPORT})
execute_process(COMMAND ${command} RESULT_VARIABLE code)
if(NOT code EQUAL EXIT)
  message(FATAL_ERROR "exit code ${code}, expected ${EXIT}")
endif()

set(wrong "")
file(READ ${REPORT} report)
string(REPLACE "|" ";" conditions "${EXPECT}")
foreach(condition IN LISTS conditions)
  if(NOT condition MATCHES "^([^ ]+) (<=|>=|==) (.+)$")
    message(FATAL_ERROR "not a condition: ${condition}")
  endif()
  set(operator ${CMAKE_MATCH_2})
  set(limit ${CMAKE_MATCH_3})
  string(REPLACE "." ";" path ${CMAKE_MATCH_1})
  string(JSON value ERROR_VARIABLE error GET "${report}" ${path})
  if(error)
    list(APPEND wrong "${condition}: ${error}")
  elseif((operator STREQUAL "<=" AND value LESS_EQUAL limit)
      OR (operator STREQUAL ">=" AND value GREATER_EQUAL limit)
      OR (operator STREQUAL "==" AND (value STREQUAL limit OR value EQUAL limit)))
    message(STATUS "${condition}: ${value}")
  else()
    list(APPEND wrong "${condition}: is ${value}")
  endif()
endforeach()

string(REPLACE "|" ";" texts "${CONTAINS}")
foreach(pair IN LISTS texts)
  string(REGEX MATCH "^([^=]+)=(.+)$" found "${pair}")
  set(text "${CMAKE_MATCH_2}")
  file(READ ${CMAKE_MATCH_1} content)
  string(FIND "${content}" "${text}" at)
  if(at EQUAL -1)
    list(APPEND wrong "${CMAKE_MATCH_1} does not say: ${text}")
  endif()
endforeach()

if(wrong)
  list(JOIN wrong "\n  " wrong)
  message(FATAL_ERROR "the example gives other figures than it states:\n  ${wrong}")
endif()
