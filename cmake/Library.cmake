# SPDX-License-Identifier: Apache-2.0
# One static library per folder of src, one test program per folder of tests/unit.

# Adds a folder that may not be there yet.
function(mcompress_add_folder folder)
  if(EXISTS ${PROJECT_SOURCE_DIR}/${folder}/CMakeLists.txt)
    add_subdirectory(${PROJECT_SOURCE_DIR}/${folder} ${PROJECT_BINARY_DIR}/${folder})
  endif()
endfunction()

# Turns folder names into link items that vanish where the folder has no target.
function(mcompress_folder_targets result)
  set(items "")
  foreach(folder IN LISTS ARGN)
    list(APPEND items $<TARGET_NAME_IF_EXISTS:mcompress_${folder}>)
  endforeach()
  set(${result} ${items} PARENT_SCOPE)
endfunction()

# mcompress_library(<folder> [MODULE] SOURCES a.cpp ... [DEPENDS folder ...] [PUBLIC_LINK x ...] [PRIVATE_LINK y ...])
#   Declares mcompress_<folder>. DEPENDS names folders (linked publicly); the links name targets.
#   PUBLIC_LINK is for what the folder's headers include, PRIVATE_LINK for its .cpp files.
#   Without sources it is an interface: headers only, or still to come.
#   MODULE: part of a library that is opened at run time, and of nothing else.
#   Libraries under src are shipped; one under tests also sees "tests/support/...".
function(mcompress_library folder)
  cmake_parse_arguments(PARSE_ARGV 1 arg "MODULE" "" "SOURCES;DEPENDS;PUBLIC_LINK;PRIVATE_LINK")
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "mcompress_library(${folder}): unknown '${arg_UNPARSED_ARGUMENTS}'")
  endif()
  set(target mcompress_${folder})
  mcompress_folder_targets(depends ${arg_DEPENDS})
  if(arg_SOURCES)
    add_library(${target} STATIC ${arg_SOURCES})
    target_link_libraries(${target} PRIVATE mcompress_warnings)
    set(scope PUBLIC)
  else()
    add_library(${target} INTERFACE)
    set(scope INTERFACE)
  endif()
  target_include_directories(${target} ${scope}
    ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/src)
  target_link_libraries(${target} ${scope} ${depends} ${arg_PUBLIC_LINK})
  if(arg_SOURCES)
    target_link_libraries(${target} PRIVATE ${arg_PRIVATE_LINK})
  endif()
  set(shipped_root ${PROJECT_SOURCE_DIR}/src)
  cmake_path(IS_PREFIX shipped_root ${CMAKE_CURRENT_SOURCE_DIR} shipped)
  if(shipped)
    mcompress_check_layer(${folder} ${arg_DEPENDS})
    if(NOT arg_MODULE)
      set_property(GLOBAL APPEND PROPERTY MCOMPRESS_LIBRARIES ${target})
    endif()
  else()
    target_include_directories(${target} ${scope} ${PROJECT_SOURCE_DIR})
  endif()
endfunction()

# mcompress_test(<name> SOURCES a_test.cpp ... [DEPENDS folder ...] [LINK x ...] [LABELS l ...])
#   Declares <name>_test: googletest with gmock's main, each case a ctest of its own, label `unit`
#   unless LABELS says otherwise. Tests include "tests/support/..." and "support/..." (of src) alike.
function(mcompress_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "TIMEOUT" "SOURCES;DEPENDS;LINK;LABELS")
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "mcompress_test(${name}): unknown '${arg_UNPARSED_ARGUMENTS}'")
  endif()
  if(NOT arg_SOURCES)
    return()
  endif()
  if(NOT arg_LABELS)
    set(arg_LABELS unit)
  endif()
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 300)
  endif()
  set(target ${name}_test)
  mcompress_folder_targets(depends ${arg_DEPENDS})
  add_executable(${target} ${arg_SOURCES})
  target_include_directories(${target} PRIVATE
    ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR})
  target_compile_definitions(${target} PRIVATE
    MCOMPRESS_SOURCE_DIR="${PROJECT_SOURCE_DIR}" MCOMPRESS_BINARY_DIR="${PROJECT_BINARY_DIR}")
  target_link_libraries(${target} PRIVATE
    mcompress_warnings ${depends} ${arg_LINK} GTest::gmock_main GTest::gmock GTest::gtest)
  # Tests are compiled once and run once: optimizing them costs more than it gives.
  target_compile_options(${target} PRIVATE $<$<CONFIG:Release>:-O1>)
  gtest_discover_tests(${target} DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 60
    PROPERTIES LABELS "${arg_LABELS}" TIMEOUT ${arg_TIMEOUT})
endfunction()
