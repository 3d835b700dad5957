// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <exception>
#include <string>
#include <utility>
#include <vector>

namespace mcompress {

/// What went wrong, as a process exit code (product.md section 1).
enum class ErrorCode : int {
  kGate = 1,          ///< a gate or constraint failed
  kUsage = 2,         ///< command line
  kRecipe = 3,        ///< recipe file
  kModel = 4,         ///< model file, or a model that cannot be treated as asked
  kData = 5,          ///< data or calibration
  kRuntime = 6,       ///< ONNX Runtime, disk, memory
  kBug = 70,          ///< a broken promise of our own
  kInterrupted = 130  ///< Ctrl-C
};

/// The one exception type of the library. Thrown where the fault is noticed, given context on the
/// way up with `with_context`, printed once in main. The message is lower case, names the thing
/// first and the two values that disagree; the hint is a command or an edit that helps.
class Error : public std::exception {
 public:
  Error(ErrorCode code, std::string message) : code_(code), message_(std::move(message)) {}

  Error& hint(std::string text) & {
    hint_ = std::move(text);
    return *this;
  }
  Error&& hint(std::string text) && {
    hint_ = std::move(text);
    return std::move(*this);
  }
  /// Prepends where it happened: "step 3 (quantize-static)", "model.onnx".
  Error& with_context(std::string where) {
    context_.insert(context_.begin(), std::move(where));
    return *this;
  }

  ErrorCode code() const { return code_; }
  const std::string& message() const { return message_; }
  const std::string& hint() const { return hint_; }
  const std::vector<std::string>& context() const { return context_; }
  const char* what() const noexcept override { return message_.c_str(); }

 private:
  ErrorCode code_;
  std::string message_;
  std::string hint_;
  std::vector<std::string> context_;
};

/// Thrown by a layer's transformation, before any edit, when the layer cannot or should not be
/// changed. The framework turns it into a skip with this reason (rules.md 17).
class Unsupported : public std::exception {
 public:
  explicit Unsupported(std::string reason) : reason_(std::move(reason)) {}
  const std::string& reason() const { return reason_; }
  const char* what() const noexcept override { return reason_.c_str(); }

 private:
  std::string reason_;
};

}  // namespace mcompress
