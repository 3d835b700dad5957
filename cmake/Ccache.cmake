# SPDX-License-Identifier: Apache-2.0
# Uses ccache where it is installed, unless the caller chose a launcher.
find_program(MCOMPRESS_CCACHE ccache)
mark_as_advanced(MCOMPRESS_CCACHE)
foreach(language IN ITEMS C CXX)
  if(MCOMPRESS_CCACHE AND NOT DEFINED CMAKE_${language}_COMPILER_LAUNCHER)
    set(CMAKE_${language}_COMPILER_LAUNCHER ${MCOMPRESS_CCACHE})
  endif()
endforeach()
