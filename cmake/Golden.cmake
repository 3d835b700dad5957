# SPDX-License-Identifier: Apache-2.0
# mcompress_golden_test(<target>)
#   Lets the target `update-golden` run the *Golden* cases of a test program with --update-golden,
#   which rewrites their expected texts in tests/golden (tests/support/golden.h).
function(mcompress_golden_test target)
  if(NOT TARGET update-golden)
    add_custom_target(update-golden)
  endif()
  add_custom_target(update-golden-${target}
    COMMAND ${target} --gtest_filter=*Golden* --gtest_brief=1 --update-golden
    DEPENDS ${target} VERBATIM)
  add_dependencies(update-golden update-golden-${target})
endfunction()
