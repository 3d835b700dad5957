# SPDX-License-Identifier: Apache-2.0
# Installs, moves the installation (it has to be relocatable), starts the program, and builds and
# runs a consumer twice: with find_package and with pkg-config.
set(prefix ${WORK_DIR}/moved)
set(consumer_build ${WORK_DIR}/consumer)

function(run)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "OUTPUT" "COMMAND")
  execute_process(COMMAND ${arg_COMMAND} OUTPUT_VARIABLE output ERROR_VARIABLE output
                  RESULT_VARIABLE code)
  if(NOT code EQUAL 0)
    list(JOIN arg_COMMAND " " command)
    message(FATAL_ERROR "${command}\nexit code ${code}\n${output}")
  endif()
  if(arg_OUTPUT)
    set(${arg_OUTPUT} "${output}" PARENT_SCOPE)
  endif()
endfunction()

file(REMOVE_RECURSE ${WORK_DIR}/installed ${prefix} ${consumer_build})
run(COMMAND ${CMAKE_COMMAND} --install ${BUILD_DIR} --prefix ${WORK_DIR}/installed)
file(RENAME ${WORK_DIR}/installed ${prefix})

# The trainer is found where it was installed to, in a build that has one.
function(train_a_little)
  if(NOT EXISTS ${BUILD_DIR}/lib/libmcompress-train.so)
    return()
  endif()
  cmake_path(GET MODEL PARENT_PATH example)
  file(WRITE ${WORK_DIR}/train.yaml "data:
  training: {idx: {images: ${example}/data/train-1000-images-idx3-ubyte.gz}, limit: 64}
steps:
  - fine-tune: {steps: 2, batch: 16}
")
  run(COMMAND ${program} run ${MODEL} -r ${WORK_DIR}/train.yaml -o ${WORK_DIR}/trained.onnx --force)
endfunction()

set(program ${prefix}/${BINDIR}/mcompress)
if(EXISTS ${program})
  run(COMMAND ${program} --help OUTPUT help)
  if(NOT help MATCHES "run")
    message(FATAL_ERROR "mcompress --help does not name 'run':\n${help}")
  endif()
  if(EXISTS ${MODEL})
    run(COMMAND ${program} inspect ${MODEL})
    train_a_little()
  endif()
endif()

run(COMMAND ${CMAKE_COMMAND} -G ${GENERATOR} -S ${CONSUMER_DIR} -B ${consumer_build}
            -D CMAKE_PREFIX_PATH=${prefix} -D CMAKE_CXX_COMPILER=${CXX})
run(COMMAND ${CMAKE_COMMAND} --build ${consumer_build})
run(COMMAND ${consumer_build}/consumer)

if(PKG_CONFIG)
  set(ENV{PKG_CONFIG_PATH} ${prefix}/${LIBDIR}/pkgconfig)
  run(COMMAND ${PKG_CONFIG} --cflags --libs mcompress OUTPUT flags)
  separate_arguments(flags UNIX_COMMAND "${flags}")
  run(COMMAND ${CXX} ${CONSUMER_DIR}/main.cpp ${flags} -Wl,-rpath,${prefix}/${LIBDIR}
              -o ${consumer_build}/by_pkg_config)
  run(COMMAND ${consumer_build}/by_pkg_config)
endif()
