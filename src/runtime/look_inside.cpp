// SPDX-License-Identifier: Apache-2.0
#include "runtime/look_inside.h"

#include <onnx/onnx_pb.h>
#include <spdlog/fmt/fmt.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

namespace mcompress::runtime {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kKernelSuffix = "_kernel_time";

struct Runs {
  double first_end = 0;  ///< when the warm-up ended, in microseconds
  int counted = 1;
};

Runs find_runs(const Json& events) {
  Runs runs;
  int count = 0;
  for (const auto& event : events) {
    if (event.value("name", "") != "model_run") continue;
    if (++count == 1) runs.first_end = event.value("ts", 0.0) + event.value("dur", 0.0);
  }
  if (count < 2) return {0, 1};
  runs.counted = count - 1;
  return runs;
}

}  // namespace

std::vector<OptimizedNode> read_optimized(const std::filesystem::path& path) {
  onnx::ModelProto model;
  std::ifstream file(path, std::ios::binary);
  if (!file || !model.ParseFromIstream(&file)) {
    throw Error(ErrorCode::kRuntime,
                fmt::format("{}: the runtime's optimized model cannot be read", path.string()));
  }
  std::vector<OptimizedNode> nodes;
  for (const auto& node : model.graph().node()) {
    const std::string domain = node.domain() == "ai.onnx" ? "" : node.domain();
    nodes.push_back(
        {node.op_type(), domain, node.name(), {node.output().begin(), node.output().end()}});
  }
  return nodes;
}

std::vector<NodeProfile> read_profile(const std::filesystem::path& path) {
  std::vector<NodeProfile> nodes;
  try {
    std::ifstream file(path);
    const Json events = Json::parse(file);
    const Runs runs = find_runs(events);
    std::map<std::pair<std::string, std::string>, size_t> index;
    for (const auto& event : events) {
      if (event.value("cat", "") != "Node" || event.value("ts", 0.0) < runs.first_end) continue;
      std::string name = event.value("name", "");
      if (!name.ends_with(kKernelSuffix)) continue;
      name.resize(name.size() - kKernelSuffix.size());
      const std::string op = event.contains("args") ? event["args"].value("op_name", "") : "";
      const auto [at, is_new] = index.try_emplace({name, op}, nodes.size());
      if (is_new) nodes.push_back({.name = name, .op = op});
      nodes[at->second].microseconds += event.value("dur", 0.0) / runs.counted;
    }
  } catch (const Json::exception& error) {
    throw Error(ErrorCode::kRuntime, fmt::format("{}: the runtime's profile cannot be read: {}",
                                                 path.string(), error.what()));
  }
  return nodes;
}

}  // namespace mcompress::runtime
