// SPDX-License-Identifier: Apache-2.0
#include "runtime/session.h"

#include <onnxruntime_session_options_config_keys.h>
#include <spdlog/fmt/fmt.h>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include <algorithm>
#include <chrono>
#include <utility>

#include "support/interrupt.h"

namespace mcompress::runtime {
namespace {

Ort::SessionOptions make_options(const OpenOptions& options) {
  Ort::SessionOptions result;
  result.SetIntraOpNumThreads(std::max(1, options.session.threads));
  result.SetInterOpNumThreads(1);
  result.SetLogSeverityLevel(ORT_LOGGING_LEVEL_ERROR);
  result.SetGraphOptimizationLevel(options.session.optimize ? ORT_ENABLE_ALL : ORT_DISABLE_ALL);
  // The skeleton's large tensors are located by canonical paths without their leading slash.
  result.AddConfigEntry(kOrtSessionOptionsModelExternalInitializersFileFolderPath, "/");
  // Threads of one session must not spin into the turn of the next one.
  result.AddConfigEntry(kOrtSessionOptionsConfigForceSpinningStop, "1");
  if (!options.session.prepack) {
    result.AddConfigEntry(kOrtSessionOptionsConfigDisablePrepacking, "1");
  }
  if (!options.ops_library.empty()) {
    result.RegisterCustomOpsLibrary(options.ops_library.c_str());
  }
  if (!options.profile_prefix.empty()) result.EnableProfiling(options.profile_prefix.c_str());
  if (!options.optimized_path.empty()) {
    result.SetOptimizedModelFilePath(options.optimized_path.c_str());
    result.AddConfigEntry(kOrtSessionOptionsOptimizedModelExternalInitializersFileName,
                          "weights.data");
    result.AddConfigEntry(kOrtSessionOptionsOptimizedModelExternalInitializersMinSizeInBytes,
                          "4096");
  }
  return result;
}

template <class TypeInfo>
ValueInfo value_info(std::string name, const TypeInfo& type) {
  ValueInfo info;
  info.name = std::move(name);
  if (type.GetONNXType() != ONNX_TYPE_TENSOR) return info;
  const auto tensor = type.GetTensorTypeAndShapeInfo();
  info.type = static_cast<DataType>(tensor.GetElementType());
  info.shape = tensor.GetShape();
  info.has_shape = true;
  std::vector<const char*> symbols(info.shape.size(), "");
  if (!symbols.empty()) tensor.GetSymbolicDimensions(symbols.data(), symbols.size());
  info.dim_params.assign(symbols.begin(), symbols.end());
  return info;
}

}  // namespace

struct OrtSession::Bound {
  std::vector<const char*> input_names;
  std::vector<Ort::Value> inputs;
  std::vector<const char*> output_names;
};

OrtSession::OrtSession(std::shared_ptr<const Library> library, const onnx::ModelProto& model,
                       const OpenOptions& options)
    : library_(std::move(library)) {
  check_interrupt();
  const std::string bytes = model.SerializeAsString();
  if (bytes.empty()) {
    throw Error(ErrorCode::kModel, "model: more than 2 GiB beside its large tensors");
  }
  try {
    session_ = std::make_shared<Ort::Session>(library_->env, bytes.data(), bytes.size(),
                                              make_options(options));
    Ort::AllocatorWithDefaultOptions allocator;
    for (size_t i = 0; i < session_->GetInputCount(); ++i) {
      inputs_.push_back(value_info(session_->GetInputNameAllocated(i, allocator).get(),
                                   session_->GetInputTypeInfo(i)));
    }
    for (size_t i = 0; i < session_->GetOverridableInitializerCount(); ++i) {
      optional_inputs_.emplace_back(
          session_->GetOverridableInitializerNameAllocated(i, allocator).get());
    }
    for (size_t i = 0; i < session_->GetOutputCount(); ++i) {
      output_names_.emplace_back(session_->GetOutputNameAllocated(i, allocator).get());
    }
  } catch (const Ort::Exception& error) {
    throw translate(ErrorCode::kModel, error);
  }
}

// A run opens dozens of sessions, and what each leaves between small blocks that live on would add up.
OrtSession::~OrtSession() {
  session_.reset();
#if defined(__GLIBC__)
  malloc_trim(0);
#endif
}

std::vector<ValueInfo> OrtSession::output_types() const {
  std::vector<ValueInfo> types;
  Ort::AllocatorWithDefaultOptions allocator;
  for (size_t i = 0; i < session_->GetOutputCount(); ++i) {
    ValueInfo info = value_info(session_->GetOutputNameAllocated(i, allocator).get(),
                                session_->GetOutputTypeInfo(i));
    info.has_shape = info.has_shape && !info.shape.empty();
    types.push_back(std::move(info));
  }
  return types;
}

OrtSession::Bound OrtSession::bind(const Feeds& feeds) const {
  Bound bound;
  for (const auto& feed : feeds) {
    const bool wanted = std::any_of(inputs_.begin(), inputs_.end(),
                                    [&](const ValueInfo& i) { return i.name == feed.name; }) ||
                        std::count(optional_inputs_.begin(), optional_inputs_.end(), feed.name) > 0;
    if (!wanted) {
      throw Error(ErrorCode::kData,
                  fmt::format("{}: the model has no input of this name", feed.name));
    }
    bound.input_names.push_back(feed.name.c_str());
    bound.inputs.push_back(borrow(feed.name, feed.tensor));
  }
  for (const auto& input : inputs_) {
    const bool fed = std::any_of(feeds.begin(), feeds.end(),
                                 [&](const NamedTensor& f) { return f.name == input.name; });
    if (!fed) throw Error(ErrorCode::kData, fmt::format("{}: the input is not fed", input.name));
  }
  for (const auto& name : output_names_) bound.output_names.push_back(name.c_str());
  return bound;
}

std::vector<Ort::Value> OrtSession::execute(const Bound& bound) {
  Ort::RunOptions options;
  const support::ActiveRun active([&options] { options.SetTerminate(); });
  return session_->Run(options, bound.input_names.data(), bound.inputs.data(), bound.inputs.size(),
                      bound.output_names.data(), bound.output_names.size());
}

std::vector<Tensor> OrtSession::run(const Feeds& feeds) {
  try {
    auto values = execute(bind(feeds));
    std::vector<Tensor> tensors;
    tensors.reserve(values.size());
    for (size_t i = 0; i < values.size(); ++i) {
      tensors.push_back(take_out(output_names_[i], std::move(values[i]), feeds, session_));
    }
    return tensors;
  } catch (const Ort::Exception& error) {
    throw translate(ErrorCode::kRuntime, error);
  }
}

double OrtSession::time(const Feeds& feeds) {
  try {
    const Bound bound = bind(feeds);
    const auto start = std::chrono::steady_clock::now();
    const auto values = execute(bound);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  } catch (const Ort::Exception& error) {
    throw translate(ErrorCode::kRuntime, error);
  }
}

std::string OrtSession::end_profiling() {
  try {
    Ort::AllocatorWithDefaultOptions allocator;
    return session_->EndProfilingAllocated(allocator).get();
  } catch (const Ort::Exception& error) {
    throw translate(ErrorCode::kRuntime, error);
  }
}

}  // namespace mcompress::runtime
