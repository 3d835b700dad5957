// SPDX-License-Identifier: Apache-2.0
#include "opset/raise.h"

#include <onnx/onnx_pb.h>
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <string>
#include <utility>

#include "opset/adapters.h"
#include "opset/rules.h"

namespace mcompress {
namespace {

bool is_default(const std::string& domain) { return domain.empty() || domain == "ai.onnx"; }

// A function's body is written for the versions that the function imports.
void require_functions_at(const Model& model, int64_t target) {
  for (const auto& function : model.proto().functions()) {
    const auto& nodes = function.node();
    if (std::none_of(nodes.begin(), nodes.end(),
                     [](const auto& node) { return is_default(node.domain()); })) {
      continue;
    }
    for (const auto& import : function.opset_import()) {
      if (!is_default(import.domain()) || import.version() == target) continue;
      throw Unsupported(fmt::format(
          "opset {} cannot be raised to {}: the local function {} is written for opset {}",
          model.opset(), target, function.name(), import.version()));
    }
  }
}

void check_request(const Model& model, int64_t from, int64_t target) {
  if (target > kNewestOpset) {
    throw Unsupported(fmt::format("opset {} is asked for, {} is the newest that can be written",
                                  target, kNewestOpset));
  }
  if (from < kOldestOpset) {
    throw Unsupported(
        fmt::format("opset {} cannot be raised: {} is the oldest known", from, kOldestOpset));
  }
  require_functions_at(model, target);
}

void raise_node(opset::Context& context, NodeRef node, int64_t version, RaiseResult& result) {
  if (!node.domain().empty()) return;
  const opset::Rule* rule = opset::find_rule(node.op(), version);
  if (rule == nullptr || rule->action == opset::Action::kUnchanged) return;
  if (rule->action == opset::Action::kRefuse) opset::refuse(node, rule->note);
  ++result.adapted[node.op()];
  rule->adapt(context, node);
}

void raise_nodes(Model& model, opset::Context context, int64_t target, RaiseResult& result) {
  // The file's initializers could not be overridden below IR version 4; the new version must not
  // make them overridable, nor inputs that nobody feeds.
  if (model.ir_version() < 4) model.freeze_inputs();
  for (int64_t version = result.from + 1; version <= target; ++version) {
    for (Graph* graph : model.graphs()) {
      for (const NodeRef node : graph->nodes()) raise_node(context, node, version, result);
    }
  }
  model.set_opset("", target);
  result.to = target;
}

}  // namespace

RaiseResult raise_opset(Model& model, int64_t target, const ValueTypes& types) {
  const int64_t from = model.opset();
  RaiseResult result{.from = from, .to = from};
  if (from >= target) return result;
  if (from == 0) {
    model.import_domain("", target);
    result.to = target;
    return result;
  }
  check_request(model, from, target);
  // A rehearsal on a clone finds every refusal, so that the model is touched only when all goes
  // well.
  Model rehearsal = model.clone();
  const auto graphs = model.graphs();
  const auto copies = rehearsal.graphs();
  std::map<const Graph*, Graph*> original;
  for (size_t i = 0; i < copies.size(); ++i) original[copies[i]] = graphs.at(i);
  RaiseResult rehearsed = result;
  raise_nodes(rehearsal, opset::Context(types, std::move(original)), target, rehearsed);
  raise_nodes(model, opset::Context(types, {}), target, result);
  return result;
}

}  // namespace mcompress
