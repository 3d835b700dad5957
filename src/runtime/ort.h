// SPDX-License-Identifier: Apache-2.0
// Private to src/runtime: the only file that includes ONNX Runtime's headers.
#pragma once

#include <onnxruntime_cxx_api.h>

#include <memory>
#include <string>

#include "mcompress/dataset.h"
#include "mcompress/error.h"
#include "mcompress/tensor.h"

namespace mcompress::runtime {

/// The opened library with its environment; one per process, kept alive by everybody who uses it.
struct Library {
  std::string path;     ///< as given to dlopen
  std::string version;  ///< "1.30.0"
  Ort::Env env{nullptr};
};

/// Opens the library at `path`, or searches for it when `path` is empty: ../lib beside the
/// executable, where the build found it, the loader's own search path. The first call decides for
/// the process. Throws kRuntime with a hint.
std::shared_ptr<const Library> open_library(const std::string& path);

/// The runtime's message without the source positions that precede it.
std::string clean_message(const std::string& message);
/// An Error with the runtime's words; kInterrupted when an interrupt was asked for.
Error translate(ErrorCode code, const Ort::Exception& error);

/// A runtime value that reads the tensor's own bytes: `tensor` must outlive it. `name` is for
/// messages. Throws kData for types that ONNX Runtime cannot be fed.
Ort::Value borrow(const std::string& name, const Tensor& tensor);
/// A tensor that keeps a large value's memory alive instead of copying it. Throws kModel for
/// sequences, maps, strings and absent optionals.
Tensor take_out(const std::string& name, Ort::Value value, const Feeds& feeds,
                std::shared_ptr<Ort::Session> session);

}  // namespace mcompress::runtime
