// SPDX-License-Identifier: Apache-2.0
#include "ir/short_names.h"

#include <onnx/onnx_pb.h>

#include <algorithm>
#include <deque>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "ir/model_impl.h"
#include "mcompress/error.h"

namespace mcompress::ir {
namespace {

/// A value and every place of the proto where its name is written.
struct Named {
  std::string name;
  bool keeps_name = false;
  std::vector<std::string*> places = {};
};

/// The names that one graph defines, seen before those of the graphs around it.
struct Scope {
  const Scope* around = nullptr;
  std::unordered_map<std::string, Named*> values = {};

  Named* find(const std::string& name) const {
    for (const Scope* scope = this; scope != nullptr; scope = scope->around) {
      const auto it = scope->values.find(name);
      if (it != scope->values.end()) return it->second;
    }
    return nullptr;
  }
};

/// Identifiers of C (onnx/docs/IR.md asks for them), short ones first.
std::string identifier(size_t index) {
  static constexpr std::string_view kFirst =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
  static constexpr std::string_view kLater =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";
  size_t length = 1, count = kFirst.size();
  for (; index >= count; ++length) {
    index -= count;
    count *= kLater.size();
  }
  std::string name(length, ' ');
  for (size_t i = length; i-- > 1; index /= kLater.size()) name[i] = kLater[index % kLater.size()];
  name[0] = kFirst[index];
  return name;
}

/// All names that must differ: those of a model's graphs, or of one function.
class NameSpace {
 public:
  void read(onnx::GraphProto& graph) { read(graph, nullptr, true); }
  void read(onnx::FunctionProto& function) {
    Scope scope;
    for (auto& input : *function.mutable_input()) define(scope, input);
    define_outputs(scope, *function.mutable_node());
    for (auto& output : *function.mutable_output()) refer(scope, output);
    read_nodes(scope, *function.mutable_node());
  }
  /// `name` is not given to anything.
  void reserve(const std::string& name) { reserved_.insert(name); }

  /// Returns the new names by the old ones, which several bodies may have used.
  std::vector<std::pair<std::string, std::string>> rename(ShortNames& count) {
    std::vector<Named*> order;
    for (Named& value : values_) {
      if (!value.keeps_name) order.push_back(&value);
    }
    std::stable_sort(order.begin(), order.end(), [](const Named* a, const Named* b) {
      return a->places.size() > b->places.size();
    });
    std::vector<std::pair<std::string, std::string>> renamed;
    size_t next = 0;
    for (const Named* value : order) {
      while (reserved_.contains(identifier(next))) ++next;
      const std::string name = identifier(next);
      if (name.size() >= value->name.size()) continue;
      ++next;
      for (std::string* place : value->places) *place = name;
      ++count.values;
      count.bytes +=
          static_cast<int64_t>((value->name.size() - name.size()) * value->places.size());
      renamed.emplace_back(value->name, name);
    }
    return renamed;
  }

 private:
  void read(onnx::GraphProto& graph, const Scope* around, bool keeps_interface) {
    Scope scope{around};
    for (auto& input : *graph.mutable_input()) {
      define(scope, *input.mutable_name()).keeps_name = keeps_interface;
    }
    for (auto& tensor : *graph.mutable_initializer()) define(scope, *tensor.mutable_name());
    for (auto& sparse : *graph.mutable_sparse_initializer()) {
      if (!sparse.values().name().empty()) define(scope, *sparse.mutable_values()->mutable_name());
    }
    define_outputs(scope, *graph.mutable_node());
    for (auto& output : *graph.mutable_output()) {
      Named* value = refer(scope, *output.mutable_name());
      if (value != nullptr && keeps_interface) value->keeps_name = true;
    }
    read_nodes(scope, *graph.mutable_node());
    for (auto& info : *graph.mutable_value_info()) refer(scope, *info.mutable_name());
    for (auto& annotation : *graph.mutable_quantization_annotation()) {
      refer(scope, *annotation.mutable_tensor_name());
      for (auto& entry : *annotation.mutable_quant_parameter_tensor_names()) {
        refer(scope, *entry.mutable_value());
      }
    }
  }

  template <class Nodes>
  void define_outputs(Scope& scope, Nodes& nodes) {
    for (auto& node : nodes) {
      for (auto& output : *node.mutable_output()) {
        if (!output.empty()) define(scope, output);
      }
    }
  }

  template <class Nodes>
  void read_nodes(Scope& scope, Nodes& nodes) {
    for (auto& node : nodes) {
      for (auto& input : *node.mutable_input()) refer(scope, input);
      const bool by_position = node.domain().empty() || node.domain() == "ai.onnx";
      for (auto& attribute : *node.mutable_attribute()) {
        if (attribute.has_g()) read(*attribute.mutable_g(), &scope, !by_position);
        for (auto& graph : *attribute.mutable_graphs()) read(graph, &scope, !by_position);
      }
    }
  }

  Named& define(Scope& scope, std::string& place) {
    Named*& value = scope.values[place];
    if (value == nullptr) value = &values_.emplace_back(Named{place});
    value->places.push_back(&place);
    reserve(place);
    return *value;
  }

  /// What nobody defines keeps its name.
  Named* refer(const Scope& scope, std::string& place) {
    if (place.empty()) return nullptr;
    Named* value = scope.find(place);
    if (value != nullptr) value->places.push_back(&place);
    reserve(place);
    return value;
  }

  std::deque<Named> values_;  ///< in the order of the file
  std::unordered_set<std::string> reserved_;
};

/// Nodes are found by what they compute, tensors of attributes by the attribute.
template <class Nodes>
void drop_names(Nodes& nodes, ShortNames& count) {
  const auto drop = [&count](auto& named) {
    if (named.name().empty()) return;
    ++count.nodes;
    count.bytes += static_cast<int64_t>(named.name().size());
    named.clear_name();
  };
  for (auto& node : nodes) {
    drop(node);
    for (auto& attribute : *node.mutable_attribute()) {
      if (attribute.has_t()) drop(*attribute.mutable_t());
      if (attribute.has_g()) drop_names(*attribute.mutable_g()->mutable_node(), count);
      for (auto& graph : *attribute.mutable_graphs()) drop_names(*graph.mutable_node(), count);
    }
  }
}

/// What was known of values by their old names. The old names stay in `origin`: steps have reported
/// by them.
void rename_state(ModelState& state,
                  const std::vector<std::pair<std::string, std::string>>& renamed) {
  const ModelState before = state;
  for (const auto& [old_name, name] : renamed) {
    const auto origin = before.origin.find(old_name);
    state.origin[name] = origin == before.origin.end() ? old_name : origin->second;
    const auto [first, last] = before.constraints.equal_range(old_name);
    for (auto it = first; it != last; ++it) state.constraints.emplace(name, it->second);
    state.constraints.erase(old_name);
    const auto divided = before.divided.find(old_name);
    if (divided == before.divided.end()) continue;
    state.divided[name] = divided->second;
    state.divided.erase(old_name);
  }
}

}  // namespace

ShortNames shorten_names(Model& model) {
  if (model.proto().training_info_size() > 0) {
    throw Unsupported("the model carries training information, which names its values");
  }
  ShortNames count;
  Model renamed = model.clone();
  auto& impl = renamed.impl();
  NameSpace names;
  for (const std::string& name : *impl.original_names) names.reserve(name);
  names.read(*impl.proto->mutable_graph());
  rename_state(impl.state, names.rename(count));
  drop_names(*impl.proto->mutable_graph()->mutable_node(), count);
  for (auto& function : *impl.proto->mutable_functions()) {
    // Later versions of ONNX know more fields that name values.
    if (!function.unknown_fields().empty()) continue;
    NameSpace own;
    own.read(function);
    own.rename(count);
    drop_names(*function.mutable_node(), count);
  }
  if (count.values + count.nodes == 0) return count;
  ++impl.edits;
  model = renamed.clone();
  return count;
}

}  // namespace mcompress::ir
