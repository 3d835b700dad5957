# SPDX-License-Identifier: Apache-2.0
# mcompress_embed_files(<output.cpp> FUNCTION <ns::name> FILES a.yaml b.yaml ...)
#   Writes a .cpp that defines, sorted by name,
#     std::span<const std::pair<std::string_view, std::string_view>> ns::name()
#   with each file's stem and its text. Rewritten when a file changes.
function(mcompress_embed_files output)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "FUNCTION" "FILES")
  list(SORT arg_FILES)
  list(LENGTH arg_FILES count)
  string(REGEX REPLACE "::[^:]*$" "" scope ${arg_FUNCTION})
  string(REGEX REPLACE "^.*::" "" name ${arg_FUNCTION})
  set(entries "")
  foreach(file IN LISTS arg_FILES)
    get_filename_component(path ${file} ABSOLUTE BASE_DIR ${CMAKE_CURRENT_SOURCE_DIR})
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${path})
    get_filename_component(stem ${path} NAME_WE)
    # Bytes as hexadecimal escapes: no quoting rules, no separator that a file could contain.
    # One literal per 64 bytes keeps lines short and "\x41" "B" unambiguous.
    file(READ ${path} hex HEX)
    string(LENGTH "${hex}" digits)
    math(EXPR bytes "${digits} / 2")
    string(REGEX REPLACE "(..)" "\\\\x\\1" escaped "${hex}")
    set(block "................................................................")
    string(REGEX REPLACE "(${block}${block}${block}${block})" "\\1\"\n     \"" escaped "${escaped}")
    string(APPEND entries "    {\"${stem}\", {\n     \"${escaped}\", ${bytes}}},\n")
  endforeach()
  file(CONFIGURE OUTPUT ${output} @ONLY CONTENT "// Generated from files by cmake/EmbedFiles.cmake.
#include <array>
#include <span>
#include <string_view>
#include <utility>

namespace ${scope} {
namespace {
using Entry = std::pair<std::string_view, std::string_view>;
const std::array<Entry, ${count}> kFiles{{
${entries}}};
}  // namespace

std::span<const Entry> ${name}();
std::span<const Entry> ${name}() { return kFiles; }
}  // namespace ${scope}
")
endfunction()
