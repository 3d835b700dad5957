# SPDX-License-Identifier: Apache-2.0
# Everything from outside, as imported targets. Debian packages: tools/setup --list.
set(missing_hint "run tools/setup, which installs what is missing")

find_package(Threads REQUIRED)
foreach(package IN ITEMS fmt spdlog TBB ONNX Protobuf hwy yaml-cpp nlohmann_json ZLIB PNG JPEG CLI11)
  find_package(${package} QUIET)
  if(NOT ${package}_FOUND)
    message(FATAL_ERROR "${package} not found; ${missing_hint}")
  endif()
endforeach()
find_package(Eigen3 QUIET NO_MODULE)
if(NOT Eigen3_FOUND)
  message(FATAL_ERROR "Eigen3 not found; ${missing_hint}")
endif()
find_package(OnnxRuntime)
if(NOT OnnxRuntime_FOUND)
  message(FATAL_ERROR "ONNX Runtime not found in .deps/onnxruntime or ONNXRUNTIME_ROOT; ${missing_hint}")
endif()

# xxhash has no CMake package in Debian.
find_path(XXHASH_INCLUDE_DIR xxhash.h)
find_library(XXHASH_LIBRARY xxhash)
mark_as_advanced(XXHASH_INCLUDE_DIR XXHASH_LIBRARY)
if(NOT XXHASH_INCLUDE_DIR OR NOT XXHASH_LIBRARY)
  message(FATAL_ERROR "xxhash not found; ${missing_hint}")
endif()
add_library(xxhash::xxhash UNKNOWN IMPORTED)
set_target_properties(xxhash::xxhash PROPERTIES
  IMPORTED_LOCATION ${XXHASH_LIBRARY} INTERFACE_INCLUDE_DIRECTORIES ${XXHASH_INCLUDE_DIR})
# Not every build of it has the functions that choose the widest vectors of the CPU.
include(CheckCXXSourceCompiles)
set(CMAKE_REQUIRED_LIBRARIES xxhash::xxhash)
check_cxx_source_compiles("
  #include <xxh_x86dispatch.h>
  int main() { return static_cast<int>(XXH3_128bits(nullptr, 0).low64 & 1); }" XXHASH_DISPATCHES)
unset(CMAKE_REQUIRED_LIBRARIES)

# zstd's CMake package names its targets differently from version to version.
find_path(ZSTD_INCLUDE_DIR zstd.h)
find_library(ZSTD_LIBRARY zstd)
mark_as_advanced(ZSTD_INCLUDE_DIR ZSTD_LIBRARY)
if(NOT ZSTD_INCLUDE_DIR OR NOT ZSTD_LIBRARY)
  message(FATAL_ERROR "zstd not found; ${missing_hint}")
endif()
add_library(zstd::zstd UNKNOWN IMPORTED)
set_target_properties(zstd::zstd PROPERTIES
  IMPORTED_LOCATION ${ZSTD_LIBRARY} INTERFACE_INCLUDE_DIRECTORIES ${ZSTD_INCLUDE_DIR})

# OpenBLAS is optional. We chunk the work ourselves and call it from many threads, which the serial
# build cannot bear (src/numerics gives it one call after the other); so the threaded build comes first.
add_library(mcompress_blas INTERFACE)
find_library(OPENBLAS_LIBRARY openblas PATH_SUFFIXES openblas-pthread openblas-serial)
find_path(OPENBLAS_INCLUDE_DIR cblas.h PATH_SUFFIXES
          ${CMAKE_LIBRARY_ARCHITECTURE}/openblas-pthread ${CMAKE_LIBRARY_ARCHITECTURE}/openblas-serial
          ${CMAKE_LIBRARY_ARCHITECTURE})
mark_as_advanced(OPENBLAS_LIBRARY OPENBLAS_INCLUDE_DIR)
if(OPENBLAS_LIBRARY AND OPENBLAS_INCLUDE_DIR)
  target_compile_definitions(mcompress_blas INTERFACE MCOMPRESS_HAVE_OPENBLAS=1)
  target_include_directories(mcompress_blas SYSTEM INTERFACE ${OPENBLAS_INCLUDE_DIR})
  target_link_libraries(mcompress_blas INTERFACE ${OPENBLAS_LIBRARY})
endif()

# libtorch is optional: without it everything but training is built. Its CMake package asks for
# a compiler of CUDA and the like; all that is needed are headers and three libraries.
find_path(TORCH_INCLUDE_DIR torch/types.h PATH_SUFFIXES torch/csrc/api/include)
find_library(TORCH_LIBRARY torch)
find_library(TORCH_CPU_LIBRARY torch_cpu)
find_library(C10_LIBRARY c10)
mark_as_advanced(TORCH_INCLUDE_DIR TORCH_LIBRARY TORCH_CPU_LIBRARY C10_LIBRARY)
if(TORCH_INCLUDE_DIR AND TORCH_LIBRARY AND TORCH_CPU_LIBRARY AND C10_LIBRARY)
  add_library(mcompress_torch INTERFACE)
  target_include_directories(mcompress_torch SYSTEM INTERFACE ${TORCH_INCLUDE_DIR})
  target_link_libraries(mcompress_torch INTERFACE ${TORCH_LIBRARY} ${TORCH_CPU_LIBRARY} ${C10_LIBRARY})
  # Clang wants the whole type where C++20 makes the destructor of a vector of it constexpr.
  target_compile_options(mcompress_torch INTERFACE
    "$<$<CXX_COMPILER_ID:Clang>:SHELL:-include ATen/core/ivalue.h>")
  set(MCOMPRESS_HAVE_TORCH TRUE)
elseif(MCOMPRESS_TRAINING STREQUAL ON)
  message(FATAL_ERROR "libtorch not found; run tools/setup --training, or configure with -DMCOMPRESS_TRAINING=AUTO")
endif()
if(MCOMPRESS_TRAINING STREQUAL OFF)
  set(MCOMPRESS_HAVE_TORCH FALSE)
endif()

if(MCOMPRESS_BUILD_TESTS)
  find_package(GTest QUIET)
  if(NOT GTest_FOUND)
    message(FATAL_ERROR "GTest not found; ${missing_hint}, or configure with -DMCOMPRESS_BUILD_TESTS=OFF")
  endif()
endif()
