// SPDX-License-Identifier: Apache-2.0
#include <spdlog/fmt/fmt.h>

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mcompress/runtime_service.h"
#include "runtime/look_inside.h"
#include "runtime/private_folder.h"
#include "runtime/session.h"
#include "runtime/skeleton.h"
#include "runtime/types.h"

namespace mcompress {
namespace runtime {
namespace {

// The profile names nodes; those without a name get the one that people see.
void label_nodes(onnx::GraphProto& graph) {
  for (auto& node : *graph.mutable_node()) {
    if (!node.name().empty() || node.output().empty()) continue;
    node.set_name(node.op_type() + ":" + node.output(0));
  }
}

std::string value_of(const NodeProfile& profile, const OptimizedNode* node, Graph& graph) {
  if (node != nullptr) {
    for (const auto& output : node->outputs) {
      if (graph.find(output)) return output;
    }
  }
  // Blocked nodes compute a reordered value and carry the name of the original one.
  constexpr std::string_view kBlocked = "_nchwc";
  const std::string& name = profile.name;
  if (name.size() <= kBlocked.size() || !name.ends_with(kBlocked)) return "";
  const std::string value = name.substr(0, name.size() - kBlocked.size());
  return graph.find(value) ? value : "";
}

void name_values(std::vector<NodeProfile>& profiles, const std::vector<OptimizedNode>& nodes,
                 Graph& graph) {
  std::map<std::string, const OptimizedNode*> by_name;
  for (const auto& node : nodes) by_name.try_emplace(node.name, &node);
  for (auto& profile : profiles) {
    const auto at = by_name.find(profile.name);
    profile.value = value_of(profile, at == by_name.end() ? nullptr : at->second, graph);
  }
}

// Found out here, a bad library is not taken for a bad model later.
void require_ops_library(const std::string& path) {
  try {
    Ort::SessionOptions().RegisterCustomOpsLibrary(path.c_str());
  } catch (const Ort::Exception& error) {
    throw translate(ErrorCode::kRuntime, error)
        .hint("give --ops-library a shared library that exports RegisterCustomOps");
  }
}

class OnnxRuntime final : public RuntimeService {
 public:
  OnnxRuntime(std::shared_ptr<const Library> library, std::string ops_library)
      : library_(std::move(library)), ops_library_(std::move(ops_library)) {}

  std::string version() const override { return library_->version; }

  std::unique_ptr<Session> open(const Model& model, const SessionOptions& options) override {
    if (options.extra_outputs.empty()) return open_skeleton(model.proto(), with(options));
    onnx::ModelProto tapped = model.proto();
    if (options.only_extra) {
      keep_only_outputs(tapped, options.extra_outputs);
    } else {
      add_outputs(tapped, options.extra_outputs);
    }
    auto session = open_skeleton(tapped, with(options));
    if (options.only_extra) session->select_outputs(options.extra_outputs);
    return session;
  }

  std::optional<std::string> load_error(const Model& model) override {
    try {
      open_skeleton(model.proto(), with(quick()));
      return std::nullopt;
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kModel) throw;
      return error.message();
    }
  }

  ValueTypes infer_types(const Model& model, const Feeds* sample) override {
    return runtime::infer_types(model, sample, [this](const onnx::ModelProto& skeleton) {
      return open_skeleton(skeleton, with(quick()));
    });
  }

  std::vector<OptimizedNode> optimized_nodes(const Model& model) override {
    const PrivateFolder folder;
    OpenOptions options = with({.prepack = false});
    options.optimized_path = (folder.path() / "optimized.onnx").string();
    open_skeleton(model.proto(), options);
    return read_optimized(options.optimized_path);
  }

  std::vector<NodeProfile> profile(const Model& model, const Feeds& feeds, int runs,
                                   int threads) override {
    const PrivateFolder folder;
    OpenOptions options = with({.threads = threads, .profile = true});
    options.profile_prefix = (folder.path() / "profile").string();
    options.optimized_path = (folder.path() / "optimized.onnx").string();
    onnx::ModelProto labelled = model.proto();
    label_nodes(*labelled.mutable_graph());
    const auto session = open_skeleton(labelled, options);
    for (int run = 0; run <= runs; ++run) session->time(feeds);
    auto nodes = read_profile(session->end_profiling());
    name_values(nodes, read_optimized(options.optimized_path), model.graph());
    return nodes;
  }

 private:
  static SessionOptions quick() { return {.optimize = false, .prepack = false}; }

  OpenOptions with(const SessionOptions& options) const {
    return {.session = options, .ops_library = ops_library_};
  }

  std::unique_ptr<OrtSession> open_skeleton(const onnx::ModelProto& skeleton,
                                            const OpenOptions& options) const {
    return std::make_unique<OrtSession>(library_, skeleton, options);
  }

  std::shared_ptr<const Library> library_;
  std::string ops_library_;
};

}  // namespace
}  // namespace runtime

std::shared_ptr<RuntimeService> make_onnx_runtime(const std::string& library,
                                                  const std::string& ops_library) {
  auto opened = runtime::open_library(library);
  if (!ops_library.empty()) runtime::require_ops_library(ops_library);
  return std::make_shared<runtime::OnnxRuntime>(std::move(opened), ops_library);
}

}  // namespace mcompress
