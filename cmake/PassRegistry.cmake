# SPDX-License-Identifier: Apache-2.0
# The registry of passes is the list of files in src/passes: the only glob of the tree.
#
# mcompress_passes(<folder> <tests folder> <sources variable> <generated .cpp>)
#   Stops where a pass has no test; writes a .cpp with builtin_passes(), which calls
#   passes::register_<stem> for each file. A file that forgets MCOMPRESS_REGISTER_PASS fails at link with its own name.
function(mcompress_passes folder tests sources generated)
  file(GLOB files CONFIGURE_DEPENDS ${folder}/*.cpp)
  file(GLOB test_files CONFIGURE_DEPENDS ${tests}/*_test.cpp)
  list(SORT files)
  set(declarations "")
  set(calls "")
  set(untested "")
  foreach(file IN LISTS files)
    get_filename_component(stem ${file} NAME_WE)
    string(APPEND declarations "void register_${stem}(PassRegistry& registry);\n")
    string(APPEND calls "    passes::register_${stem}(all);\n")
    if(NOT "${tests}/${stem}_test.cpp" IN_LIST test_files)
      string(APPEND untested "  src/passes/${stem}.cpp: tests/passes/${stem}_test.cpp is missing\n")
    endif()
  endforeach()
  if(untested AND MCOMPRESS_BUILD_TESTS)
    message(${MCOMPRESS_UNTESTED_PASS} "every pass has a test of its own:\n${untested}")
  endif()
  file(CONFIGURE OUTPUT ${generated} @ONLY CONTENT "// Generated from src/passes/*.cpp by cmake/PassRegistry.cmake.
#include \"mcompress/pass.h\"

namespace mcompress {
namespace passes {
${declarations}}  // namespace passes

const PassRegistry& builtin_passes() {
  static const PassRegistry registry = [] {
    PassRegistry all;
${calls}    return all;
  }();
  return registry;
}
}  // namespace mcompress
")
  set(${sources} ${files} PARENT_SCOPE)
endfunction()
