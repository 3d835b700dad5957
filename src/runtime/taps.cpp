// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "mcompress/runtime_service.h"

namespace mcompress {
namespace {

using Groups = std::vector<std::span<const std::string>>;

// Bytes of each value on one sample. Shape nodes tell without keeping any value alive, so that the
// measurement itself needs no more memory than a plain Run.
std::vector<size_t> measure_bytes(RuntimeService& runtime, const Model& model, const Feeds& feeds,
                                  std::span<const std::string> names, int threads) {
  Model probe = model.clone();
  const ValueTypes known = runtime.infer_types(probe);
  std::vector<std::string> shapes(names.size());
  std::vector<DataType> types(names.size());
  // Unoptimized, the runtime starts from the last node that nobody reads and runs what it depends
  // on: with the probes in reverse each comes right after its value, which is then freed (measured
  // on 403 values of ocr-recognition: 16 MB, 210 MB otherwise).
  for (size_t i = names.size(); i-- > 0;) {
    const ValueRef value = probe.graph().find(names[i]);
    if (!value) throw Error(ErrorCode::kBug, names[i] + ": no such value to tap");
    types[i] = known.find(value).type;
    shapes[i] = probe.graph().insert({.op = "Shape", .inputs = {value}}).output_name();
  }
  SessionOptions options;
  options.optimize = false;
  options.prepack = false;
  options.threads = threads;
  options.extra_outputs = shapes;
  options.only_extra = true;
  const auto dims = runtime.open(probe, options)->run(feeds);
  std::vector<size_t> bytes;
  for (size_t i = 0; i < names.size(); ++i) {
    const auto shape = dims[i].to_int64();
    const DataType type = types[i] == DataType::kUndefined ? DataType::kDouble : types[i];
    bytes.push_back(packed_bytes(type, element_count(shape)));
  }
  return bytes;
}

// In the order in which the graph computes them: a group then needs the nodes up to its last value
// only, and the probes above come right after what they probe.
std::vector<std::string> in_graph_order(const Model& model, std::span<const std::string> names) {
  std::map<std::string, size_t> place;  // inputs come first
  size_t next = 0;
  for (const NodeRef node : model.graph().nodes()) {
    ++next;
    for (int i = 0; i < node.output_count(); ++i) place[node.output_name(i)] = next;
  }
  std::vector<std::string> ordered(names.begin(), names.end());
  std::stable_sort(ordered.begin(), ordered.end(), [&](const auto& a, const auto& b) {
    const auto at = place.find(a), bt = place.find(b);
    return (at == place.end() ? 0 : at->second) < (bt == place.end() ? 0 : bt->second);
  });
  return ordered;
}

Groups make_groups(std::span<const std::string> names, const std::vector<size_t>& bytes,
                   size_t budget) {
  Groups groups;
  size_t first = 0;
  size_t sum = 0;
  for (size_t i = 0; i < names.size(); ++i) {
    if (i > first && sum + bytes[i] > budget) {
      groups.push_back(names.subspan(first, i - first));
      first = i;
      sum = 0;
    }
    sum += bytes[i];
  }
  groups.push_back(names.subspan(first));
  return groups;
}

}  // namespace

void for_each_tap(
    RuntimeService& runtime, const Model& model, const Dataset& data,
    std::span<const std::string> names, size_t budget_bytes, int threads,
    const std::function<void(size_t sample, std::span<const std::string> names_of_group,
                             std::span<const Tensor> values)>& visit) {
  if (names.empty() || data.size() == 0) return;
  const std::vector<std::string> ordered = in_graph_order(model, names);
  names = ordered;
  Groups groups = {names};
  if (names.size() > 1) {
    const auto bytes = measure_bytes(runtime, model, data.feeds(0, 1), names, threads);
    groups = make_groups(names, bytes, budget_bytes);
  }
  for (const auto& group : groups) {
    SessionOptions options;
    options.threads = threads;
    options.extra_outputs.assign(group.begin(), group.end());
    options.only_extra = true;
    const auto session = runtime.open(model, options);
    for (size_t sample = 0; sample < data.size(); ++sample) {
      const auto values = session->run(data.feeds(sample, 1));
      visit(sample, group, values);
    }
  }
}

}  // namespace mcompress
