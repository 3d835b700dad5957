// SPDX-License-Identifier: Apache-2.0
#include "recipe/names.h"

#include "mcompress/metric.h"
#include "support/limit.h"

namespace mcompress::recipe {

const std::vector<KeyInfo>& top_keys() {
  static const std::vector<KeyInfo> kKeys{
      {"version", "Version of the recipe format"},
      {"name", "Name of the recipe; the file's without one"},
      {"summary", "What the recipe is for, in one line"},
      {"seed", "Seed of everything random"},
      {"target", "Hardware that the model is made for"},
      {"data", "Where data comes from, by role"},
      {"metric", "What the model is judged by; decided from the data without one"},
      {"steps", "Passes in the order in which they run"},
      {"constraints", "Limits for the whole run; a failed one is exit code 1"},
      {"encode", "Store each weight in its smallest lossless form at the end"},
      {"effort", "Budget for recovery after quantization; steps may set their own"},
      {"costs", "Cost table that decisions about time read; that of this machine without one"},
      {"plan", "File with one line a layer, as mcompress sensitivity writes it"},
  };
  return kKeys;
}

const std::vector<KeyInfo>& step_keys() {
  static const std::vector<KeyInfo> kKeys{
      {"only", "Layers to act on: globs over names, op:TYPE, first, last, depthwise"},
      {"skip", "Layers to leave alone: globs over names, op:TYPE, first, last, depthwise"},
      {"gate", "Limits that the step must keep"},
  };
  return kKeys;
}

const std::vector<KeyInfo>& repeat_keys() {
  static const std::vector<KeyInfo> kKeys{
      {"repeat", "Number of rounds"},
      {"steps", "Steps of each round"},
      {"until", "Limits; the first round that breaks one ends the loop"},
      {"max", "Largest number of rounds, with `until`"},
      {"gate", "Limits that the loop must keep"},
  };
  return kKeys;
}

const std::vector<KeyInfo>& gate_keys() {
  static const std::vector<KeyInfo> kKeys{
      {"on-fail", "What happens when a limit fails"},
      {"strict", "Judge by the unfavourable end of the 95 % interval, not by the estimate"},
  };
  return kKeys;
}

const std::vector<KeyInfo>& data_roles() {
  static const std::vector<KeyInfo> kRoles{
      {"calibration", "Statistics of inner values"},
      {"validation", "Decides gates; held out of training or calibration without one"},
      {"evaluation", "Read twice: the input model and the output"},
      {"training", "Trains"},
  };
  return kRoles;
}

std::vector<std::string> names_of(const std::vector<KeyInfo>& keys) {
  std::vector<std::string> names;
  for (const KeyInfo& key : keys) names.emplace_back(key.name);
  return names;
}

std::vector<std::string> limit_quantities() {
  return {kLimitQuantities.begin(), kLimitQuantities.end()};
}

std::vector<std::string> metric_names() {
  std::vector<std::string> names;
  for (const MetricInfo& metric : metrics()) names.emplace_back(metric.name);
  return names;
}

std::vector<std::string> curve_names() { return {"linear", "cubic", "exponential"}; }

const std::vector<std::pair<std::string, OnFail>>& on_fail_words() {
  static const std::vector<std::pair<std::string, OnFail>> kWords{
      {"stop", OnFail::kStop}, {"roll-back", OnFail::kRollBack}, {"warn", OnFail::kWarn}};
  return kWords;
}

std::string_view on_fail_word(OnFail on_fail) {
  for (const auto& [word, value] : on_fail_words()) {
    if (value == on_fail) return word;
  }
  return "stop";
}

std::vector<std::string> data_files(std::string_view kind) {
  if (kind == "idx") return {"images", "labels"};
  return {"path", "labels"};
}

void describe_scalars(Recipe& recipe, int64_t& seed, OptionSet& options) {
  const auto describe = [](std::string_view key) {
    for (const KeyInfo& info : top_keys()) {
      if (info.name == key) return std::string(info.description);
    }
    return std::string();
  };
  options.add("version", recipe.version, describe("version")).range(1, 1);
  options.add("name", recipe.name, describe("name"));
  options.add("summary", recipe.summary, describe("summary"));
  options.add("seed", seed, describe("seed")).at_least(0);
  std::vector<std::pair<std::string, TargetKind>> targets;
  for (const TargetKind kind : {TargetKind::kCpu, TargetKind::kCpuVnni, TargetKind::kCpuAvx2,
                                TargetKind::kCpuArm, TargetKind::kGpu}) {
    targets.emplace_back(target_name(kind), kind);
  }
  options.add("target", recipe.target, targets, describe("target"));
  std::vector<std::pair<std::string, std::string>> metrics;
  for (const std::string& name : metric_names()) metrics.emplace_back(name, name);
  options.add("metric", recipe.metric, metrics, describe("metric"));
  options.add("encode", recipe.encode, describe("encode"));
  options.add("effort", recipe.effort,
              {{"quick", "quick"}, {"normal", "normal"}, {"thorough", "thorough"}},
              describe("effort"));
}

}  // namespace mcompress::recipe
