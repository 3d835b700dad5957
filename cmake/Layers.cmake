# SPDX-License-Identifier: Apache-2.0
# What may include what (architecture.md, "Layering"). mcompress_library() checks its DEPENDS against
# this table when configuring; the `layering` test reads every #include and every banned word.
#
#   layer FOLDER ALLOWED...       src/FOLDER may include itself, ALLOWED and the public headers of both
#   public HEADER LAYER           include/mcompress/HEADER belongs to LAYER
#   external PREFIX FOLDER...     <PREFIX...> is included by these folders only
#   forbidden HEADER FOLDER...    <HEADER> is not for these folders
#   word WORD PATH...             WORD appears in code under these paths only
# `services` are interfaces without code, `plans` plain structs (Recipe, RunReport); `core` is src/*.cpp,
# `tools` is tools/mcompress. runtime/ and analysis/extract edit the copies that sessions are made
# from; the model itself changes through ir only. data reads TensorProto files.
set(MCOMPRESS_LAYER_RULES
  "layer support"
  "layer numerics support"
  "layer ir support"
  "layer services ir support"
  "layer plans pass services ir support"
  "layer forms ir support numerics"
  "layer archive forms ir support numerics"
  "layer opset ir support services"
  "layer analysis ir forms numerics support"
  "layer quantization analysis forms ir numerics support services"
  "layer runtime ir support services"
  "layer costs quantization runtime analysis forms ir numerics support services"
  "layer data runtime ir numerics support services"
  "layer calibration data runtime analysis ir numerics support services"
  "layer evaluation runtime ir numerics data support services plans"
  "layer train analysis forms ir numerics support services"
  "layer training pass analysis ir support services"
  "layer pass ir analysis support services plans"
  "layer passes pass training quantization ir forms analysis numerics opset support services"
  "layer recipe pass support services plans"
  "layer report support plans"
  "layer search pass evaluation quantization analysis forms numerics ir support services plans"
  "layer pipeline core recipe report passes pass search costs quantization evaluation calibration data runtime analysis opset forms ir numerics support services plans"
  "layer core archive pipeline recipe report passes pass search costs evaluation calibration data runtime quantization analysis opset forms ir numerics support services plans"
  "layer tools core archive pipeline recipe report passes pass search costs evaluation calibration data runtime quantization analysis opset forms ir numerics support services plans"

  "public error.h support"
  "public interrupt.h support"
  "public tensor.h ir"
  "public model.h ir"
  "public value_types.h ir"
  "public layer.h ir"
  "public target.h support"
  "public cost_table.h support"
  "public dataset.h services"
  "public data_options.h services"
  "public metric.h services"
  "public runtime_service.h services"
  "public metric.h services"
  "public trainer.h services"
  "public pass_context.h services"
  "public config_value.h services"
  "public options.h services"
  "public pass.h pass"
  "public recipe.h plans"
  "public report.h plans"
  "public mcompress.h core"
  "public calibrate.h core"

  "external onnx/ ir opset runtime analysis data"
  "external google/protobuf/ ir opset runtime"
  "external onnxruntime runtime"
  "external yaml-cpp/ recipe"
  "external nlohmann/ costs recipe report calibration runtime tools"
  "external CLI/ tools"
  "external Eigen/ numerics"
  "external hwy/ numerics"
  "external cblas.h numerics"
  "external tbb/ support"
  "external oneapi/ support"
  "external xxhash.h support"
  "external xxh_x86dispatch.h support"
  "external zlib.h data support"
  "external zstd.h archive"
  "external png.h data"
  "external jpeglib.h data"
  "external torch/ train"
  "external ATen/ train"
  "external c10/ train"
  "external dlfcn.h runtime pipeline"

  "forbidden iostream support numerics ir forms opset analysis runtime data calibration evaluation pass passes recipe report search pipeline archive core"
  "forbidden spdlog/spdlog.h numerics report"
  "forbidden fstream numerics passes"
  "forbidden filesystem numerics passes"
  "forbidden chrono numerics passes"
  "forbidden random numerics passes pass"

  "word std::cout tools/"
  "word std::cerr tools/"
  "word printf( tools/"
  "word exit( tools/"
  "word abort( tools/"
  "word getenv( tools/"
  "word setenv( tools/ src/runtime/"
  "word rand( nowhere/"
  "word system_clock nowhere/"
  "word random_device nowhere/"
  "word mutable_graph( src/ir/ src/runtime/ src/analysis/extract")

list(JOIN MCOMPRESS_LAYER_RULES "\n" layer_rules)
file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/layers.txt CONTENT "${layer_rules}\n" @ONLY)

# Stops where a folder of src links another that its layer may not use.
function(mcompress_check_layer folder)
  foreach(rule IN LISTS MCOMPRESS_LAYER_RULES)
    separate_arguments(words UNIX_COMMAND "${rule}")
    list(POP_FRONT words kind name)
    if(kind STREQUAL layer AND name STREQUAL folder)
      foreach(depend IN LISTS ARGN)
        if(NOT depend IN_LIST words)
          message(FATAL_ERROR "src/${folder} may not link ${depend} (cmake/Layers.cmake)")
        endif()
      endforeach()
      return()
    endif()
  endforeach()
  message(FATAL_ERROR "src/${folder} has no line in cmake/Layers.cmake")
endfunction()
