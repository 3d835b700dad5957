// SPDX-License-Identifier: Apache-2.0
#include <dlfcn.h>
#include <spdlog/fmt/fmt.h>
#include <spdlog/spdlog.h>
#include <cstdlib>

#include <filesystem>
#include <mutex>
#include <string_view>
#include <system_error>
#include <vector>

#include "mcompress/runtime_service.h"
#include "runtime/ort.h"

namespace mcompress::runtime {
namespace {

constexpr const char* kSoname = "libonnxruntime.so.1";
constexpr const char* kMissingHint =
    "run tools/setup, which fetches it into .deps/onnxruntime, or put libonnxruntime.so.1 into the "
    "lib folder beside the program's bin";

std::vector<std::string> search_paths(const std::string& path) {
  if (!path.empty()) return {path};
  std::vector<std::string> paths;
  std::error_code error;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", error);
  if (!error) {
    const auto installed = program.parent_path().parent_path() / "lib" / kSoname;
    if (std::filesystem::exists(installed, error)) paths.push_back(installed.string());
  }
#ifdef MCOMPRESS_ONNXRUNTIME_PATH
  if (std::filesystem::exists(MCOMPRESS_ONNXRUNTIME_PATH, error)) {
    paths.emplace_back(MCOMPRESS_ONNXRUNTIME_PATH);
  }
#endif
  paths.emplace_back(kSoname);
  return paths;
}

// What the runtime reports as an error is also thrown, so here it is only detail.
void ORT_API_CALL log_message(void*, OrtLoggingLevel severity, const char* category, const char*,
                              const char*, const char* message) noexcept {
  try {
    const auto level =
        severity == ORT_LOGGING_LEVEL_FATAL ? spdlog::level::err : spdlog::level::debug;
    spdlog::log(level, "onnxruntime ({}): {}", category == nullptr ? "" : category,
                message == nullptr ? "" : message);
  } catch (...) {
    // A lost log line is better than an exception inside a C callback.
  }
}

const OrtApi* load_api(const std::string& path, std::string* version) {
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    const char* reason = dlerror();
    throw Error(ErrorCode::kRuntime,
                fmt::format("ONNX Runtime cannot be opened: {}", reason == nullptr ? path : reason))
        .hint(kMissingHint);
  }
  using GetApiBase = const OrtApiBase*(ORT_API_CALL*)();
  const auto get_base = reinterpret_cast<GetApiBase>(dlsym(handle, "OrtGetApiBase"));
  if (get_base == nullptr) {
    throw Error(ErrorCode::kRuntime,
                fmt::format("{}: not ONNX Runtime: OrtGetApiBase is missing", path))
        .hint(kMissingHint);
  }
  *version = get_base()->GetVersionString();
  const OrtApi* api = get_base()->GetApi(ORT_API_VERSION);
  if (api == nullptr) {
    throw Error(ErrorCode::kRuntime,
                fmt::format("{}: ONNX Runtime {} is too old: 1.{} or newer is needed", path,
                            *version, ORT_API_VERSION))
        .hint(kMissingHint);
  }
  return api;
}

std::shared_ptr<const Library> load(const std::string& path) {
  // The npm build of the library reports usage to its makers from its first moment on; nothing
  // about a run leaves the machine. Who set the variable already is left in charge.
  ::setenv("ORT_DISABLE_TELEMETRY", "1", 0);
  std::string version;
  Ort::InitApi(load_api(path, &version));
  // Not earlier: even an empty Ort object is released through the API.
  auto library = std::make_shared<Library>();
  library->path = path;
  library->version = version;
  library->env = Ort::Env(ORT_LOGGING_LEVEL_ERROR, "mcompress", log_message, nullptr);
  library->env.DisableTelemetryEvents();
  return library;
}

}  // namespace

std::shared_ptr<const Library> open_library(const std::string& path) {
  static std::mutex mutex;
  static std::shared_ptr<const Library> opened;
  const std::lock_guard lock(mutex);
  if (opened) {
    if (!path.empty() && path != opened->path) {
      throw Error(ErrorCode::kRuntime,
                  fmt::format("{}: ONNX Runtime is open already from {}", path, opened->path));
    }
    return opened;
  }
  const auto paths = search_paths(path);
  for (size_t i = 0; i < paths.size(); ++i) {
    try {
      opened = load(paths[i]);
      return opened;
    } catch (const Error& error) {
      if (i + 1 == paths.size()) throw;
      spdlog::debug("{}", error.message());
    } catch (const Ort::Exception& error) {
      throw translate(ErrorCode::kRuntime, error);
    }
  }
  throw Error(ErrorCode::kBug, "no place to look for ONNX Runtime");
}

std::string clean_message(const std::string& message) {
  // "[ONNXRuntimeError] : 1 : FAIL : Load model failed: /onnxruntime_src/.../model.cc:180 f(...)
  // text"
  std::string text = message;
  const std::string_view prefix = "[ONNXRuntimeError] : ";
  if (text.rfind(prefix, 0) == 0) {
    const size_t code = text.find(" : ", prefix.size());
    const size_t kind = code == std::string::npos ? code : text.find(" : ", code + 3);
    if (kind != std::string::npos) text = text.substr(kind + 3);
  }
  const size_t source = text.find("/onnxruntime_src/");
  if (source != std::string::npos) {
    const size_t end = text.find(") ", source);
    if (end != std::string::npos) text.erase(source, end + 2 - source);
  }
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ' || text.back() == '.')) {
    text.pop_back();
  }
  return text;
}

Error translate(ErrorCode code, const Ort::Exception& error) {
  if (interrupt_requested()) return {ErrorCode::kInterrupted, "interrupted"};
  return {code, clean_message(error.what())};
}

}  // namespace mcompress::runtime
