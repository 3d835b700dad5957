# SPDX-License-Identifier: Apache-2.0
# Finds ONNX Runtime in ONNXRUNTIME_ROOT, then in .deps/onnxruntime of the source tree.
#   onnxruntime::headers       headers only; the library is opened at run time (rules.md 37)
#   OnnxRuntime_LIBRARY        path of libonnxruntime.so.1
#   OnnxRuntime_VERSION        from the file's API version: 1.<ORT_API_VERSION>
set(ONNXRUNTIME_ROOT "" CACHE PATH "Folder with include/ and lib/ of ONNX Runtime")
set(search_roots ${ONNXRUNTIME_ROOT} ${PROJECT_SOURCE_DIR}/.deps/onnxruntime)

find_path(OnnxRuntime_INCLUDE_DIR onnxruntime_cxx_api.h
          PATHS ${search_roots} PATH_SUFFIXES include include/onnxruntime NO_DEFAULT_PATH)
find_file(OnnxRuntime_LIBRARY NAMES libonnxruntime.so.1 libonnxruntime.so
          PATHS ${search_roots} PATH_SUFFIXES lib lib/${CMAKE_LIBRARY_ARCHITECTURE} NO_DEFAULT_PATH)
mark_as_advanced(OnnxRuntime_INCLUDE_DIR OnnxRuntime_LIBRARY)

if(OnnxRuntime_INCLUDE_DIR)
  file(STRINGS ${OnnxRuntime_INCLUDE_DIR}/onnxruntime_c_api.h version_line
       REGEX "^#define ORT_API_VERSION [0-9]+")
  string(REGEX REPLACE "[^0-9]+([0-9]+).*" "1.\\1" OnnxRuntime_VERSION "${version_line}")
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(OnnxRuntime
  REQUIRED_VARS OnnxRuntime_LIBRARY OnnxRuntime_INCLUDE_DIR VERSION_VAR OnnxRuntime_VERSION)

if(OnnxRuntime_FOUND AND NOT TARGET onnxruntime::headers)
  add_library(onnxruntime::headers INTERFACE IMPORTED)
  set_target_properties(onnxruntime::headers PROPERTIES
    INTERFACE_INCLUDE_DIRECTORIES ${OnnxRuntime_INCLUDE_DIR}
    INTERFACE_COMPILE_DEFINITIONS ORT_API_MANUAL_INIT)
endif()
