# SPDX-License-Identifier: Apache-2.0
# The shared library for users of the API, and everything that `cmake --install` copies.
include(CMakePackageConfigHelpers)

# All folders of src in one library. It takes their objects, so that what the API names is exported
# even where compress.cpp does not call it; the archives bring what they link and nothing else.
add_library(mcompress SHARED)
add_library(mcompress::mcompress ALIAS mcompress)
get_property(folders GLOBAL PROPERTY MCOMPRESS_LIBRARIES)
foreach(folder IN LISTS folders)
  get_target_property(type ${folder} TYPE)
  if(type STREQUAL STATIC_LIBRARY)
    target_sources(mcompress PRIVATE $<TARGET_OBJECTS:${folder}>)
    target_link_libraries(mcompress PRIVATE ${folder})
  endif()
endforeach()
set_target_properties(mcompress PROPERTIES
  LINKER_LANGUAGE CXX VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}
  INSTALL_RPATH "$ORIGIN")
target_include_directories(mcompress INTERFACE
  $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_compile_features(mcompress INTERFACE cxx_std_20)

install(TARGETS mcompress EXPORT mcompressTargets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
if(TARGET mcompress_tool)
  # The runtime lies beside the library, one folder up from the program.
  file(RELATIVE_PATH bin_to_lib /${CMAKE_INSTALL_BINDIR} /${CMAKE_INSTALL_LIBDIR})
  set_target_properties(mcompress_tool PROPERTIES INSTALL_RPATH "$ORIGIN/${bin_to_lib}")
  install(TARGETS mcompress_tool RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
# Opened when a recipe trains, from beside the library; a build without libtorch has none.
if(TARGET mcompress_train_module)
  install(TARGETS mcompress_train_module LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()
install(FILES ${OnnxRuntime_LIBRARY} DESTINATION ${CMAKE_INSTALL_LIBDIR} RENAME libonnxruntime.so.1)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/mcompress DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
  FILES_MATCHING PATTERN "*.h")
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/mcompress)
install(EXPORT mcompressTargets NAMESPACE mcompress:: DESTINATION ${package_dir})
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/mcompressConfig.cmake.in
  ${PROJECT_BINARY_DIR}/mcompressConfig.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/mcompressConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/mcompressConfig.cmake
  ${PROJECT_BINARY_DIR}/mcompressConfigVersion.cmake DESTINATION ${package_dir})

file(RELATIVE_PATH pc_to_prefix /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
configure_file(${PROJECT_SOURCE_DIR}/cmake/mcompress.pc.in ${PROJECT_BINARY_DIR}/mcompress.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/mcompress.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
