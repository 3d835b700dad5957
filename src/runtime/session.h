// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <onnx/onnx_pb.h>

#include <memory>
#include <string>
#include <vector>

#include "mcompress/runtime_service.h"
#include "runtime/ort.h"

namespace mcompress::runtime {

/// How to open a model, with what only src/runtime asks for.
struct OpenOptions {
  SessionOptions session;
  std::string ops_library = {};     ///< shared library with custom operators
  std::string profile_prefix = {};  ///< with session.profile: where the profile is written
  std::string optimized_path = {};  ///< where the optimized graph is written, "" for nowhere
};

class OrtSession final : public Session {
 public:
  /// `model` already has the outputs that are wanted. Throws kModel in the runtime's words.
  OrtSession(std::shared_ptr<const Library> library, const onnx::ModelProto& model,
             const OpenOptions& options);
  ~OrtSession() override;
  OrtSession(const OrtSession&) = delete;
  OrtSession& operator=(const OrtSession&) = delete;

  const std::vector<ValueInfo>& inputs() const override { return inputs_; }
  const std::vector<std::string>& output_names() const override { return output_names_; }
  std::vector<Tensor> run(const Feeds& feeds) override;
  double time(const Feeds& feeds) override;

  /// Outputs that the session returns, a subset of the graph's; all without a call.
  void select_outputs(std::vector<std::string> names) { output_names_ = std::move(names); }
  /// Type of each output of the graph, in the graph's order; kUndefined for what is no tensor.
  /// The runtime does not tell rank 0 from unknown rank: `has_shape` is false for both.
  std::vector<ValueInfo> output_types() const;
  /// Ends profiling and returns the path of the file.
  std::string end_profiling();

 private:
  struct Bound;
  Bound bind(const Feeds& feeds) const;
  std::vector<Ort::Value> execute(const Bound& bound);

  std::shared_ptr<const Library> library_;
  std::shared_ptr<Ort::Session> session_;  ///< outputs that live on keep it open
  std::vector<ValueInfo> inputs_;
  std::vector<std::string> optional_inputs_;
  std::vector<std::string> output_names_;
};

}  // namespace mcompress::runtime
