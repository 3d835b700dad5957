// SPDX-License-Identifier: Apache-2.0
#include "tests/support/pass_test.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "calibration/calibration.h"
#include "mcompress/pass.h"
#include "opset/service.h"
#include "pass/manager.h"
#include "tests/support/memory_dataset.h"
#include "tests/support/noise.h"

namespace mcompress::test {
namespace {

ConfigValue to_config(const Options& options) {
  ConfigValue map;
  map.kind = ConfigValue::Kind::kMap;
  for (const auto& [name, text] : options) {
    ConfigValue value;
    value.kind = ConfigValue::Kind::kScalar;
    value.scalar = text;
    map.map.push_back({name, {}, value});
  }
  return map;
}

Tensor random_tensor(const ValueInfo& input, Noise& numbers) {
  Shape shape = input.shape;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] < 0) shape[i] = i == 0 ? 2 : 3;
  }
  std::vector<float> values(static_cast<size_t>(element_count(shape)));
  const bool real = is_floating(input.type);
  for (float& v : values) {
    const double u = (numbers.uniform() + 1) / 2;
    v = static_cast<float>(input.type == DataType::kBool ? 1.0
                           : real                        ? 6.0 * u - 3.0
                                                         : std::floor(4.0 * u));
  }
  return Tensor::from(shape, values).cast(input.type);
}

PassContext::Services basic_services(int threads) {
  PassContext::Services services;
  services.runtime = runtime();
  services.opset = make_opset_service();
  services.threads = threads;
  return services;
}

}  // namespace

std::shared_ptr<RuntimeService> runtime() {
  static const std::shared_ptr<RuntimeService> instance = make_onnx_runtime();
  return instance;
}

PassContext make_context(int threads) { return PassContext(basic_services(threads)); }

PassContext make_data_context(const Model& model, int threads, size_t samples) {
  std::vector<Feeds> feeds;
  for (size_t i = 0; i < samples; ++i) feeds.push_back(random_feeds(model, i + 1));
  PassContext::Services services = basic_services(threads);
  if (!feeds.empty()) services.sample = feeds[0];
  services.calibration = make_calibration(
      services.runtime, std::make_shared<MemoryDataset>(std::move(feeds)), threads);
  return PassContext(std::move(services));
}

Outcome run_pass(std::string_view pass, Model& model, const Options& options,
                 PassContext* context) {
  PassContext own = make_context();
  PassContext& used = context != nullptr ? *context : own;
  StepSpec step;
  step.pass = std::string(pass);
  step.options = to_config(options);
  Outcome outcome;
  outcome.changed = PassManager(builtin_passes(), used).run(model, step).changed;
  outcome.counters = used.counters();
  outcome.skips = used.skips();
  outcome.warnings = used.warnings();
  return outcome;
}

void expect_rewrite(std::string_view pass, std::string_view before, std::string_view after,
                    const Options& options, int64_t opset) {
  Model model = parse_model(before, opset);
  const Model original = model.clone();
  const Outcome outcome = run_pass(pass, model, options);
  EXPECT_TRUE(outcome.changed);
  Model expected = parse_model(after, opset);
  EXPECT_EQ(normal_form(model), normal_form(expected));
  expect_close(original, model, tolerance_of(builtin_passes().create(pass)->info().fidelity));
}

void expect_unchanged(std::string_view pass, std::string_view text, std::string_view reason,
                      const Options& options, int64_t opset) {
  Model model = parse_model(text, opset);
  const std::string before = normal_form(model);
  const Outcome outcome = run_pass(pass, model, options);
  EXPECT_FALSE(outcome.changed) << before << "became\n" << normal_form(model);
  if (reason.empty()) return;
  std::string reasons;
  for (const auto& skip : outcome.skips) reasons += skip.layer + ": " + skip.reason + "\n";
  EXPECT_NE(reasons.find(reason), std::string::npos) << "expected '" << reason << "' among\n"
                                                     << reasons;
}

Tolerance tolerance_of(Fidelity fidelity) {
  switch (fidelity) {
    case Fidelity::kExact:
      return kExact;
    case Fidelity::kRounding:
      return kRounding;
    default:
      return {1e9, true};
  }
}

Feeds random_feeds(const Model& model, uint64_t seed) {
  SessionOptions options;
  options.prepack = false;
  const auto session = runtime()->open(model, options);
  Noise numbers(seed * 2654435769U + 1);
  Feeds feeds;
  for (const ValueInfo& input : session->inputs()) {
    feeds.push_back({input.name, random_tensor(input, numbers)});
  }
  return feeds;
}

std::string difference(const std::vector<Tensor>& before, const std::vector<Tensor>& after,
                       double relative) {
  if (before.size() != after.size()) {
    return fmt::format("{} outputs became {}", before.size(), after.size());
  }
  for (size_t i = 0; i < before.size(); ++i) {
    if (before[i].type() != after[i].type() || before[i].shape() != after[i].shape()) {
      return fmt::format("output {}: {}{} became {}{}", i, data_type_name(before[i].type()),
                         to_string(before[i].shape()), data_type_name(after[i].type()),
                         to_string(after[i].shape()));
    }
    if (before[i] == after[i]) continue;
    const std::vector<float> a = before[i].to_float(), b = after[i].to_float();
    double largest = 0, worst = 0;
    for (size_t k = 0; k < a.size(); ++k) {
      if (std::isfinite(a[k])) largest = std::max(largest, std::abs(static_cast<double>(a[k])));
    }
    for (size_t k = 0; k < a.size(); ++k) {
      if (a[k] == b[k] || (std::isnan(a[k]) && std::isnan(b[k]))) continue;
      const double gap = std::abs(static_cast<double>(a[k]) - static_cast<double>(b[k]));
      worst = std::max(worst, std::isfinite(gap) ? gap : INFINITY);
    }
    if (relative == 0.0 || worst > relative * largest) {
      return fmt::format("output {}: off by {:.3g}, largest value {:.3g}", i, worst, largest);
    }
  }
  return "";
}

void expect_close(const Model& before, const Model& after, Tolerance tolerance, uint64_t seed) {
  SessionOptions options;
  options.optimize = tolerance.optimize;
  const Feeds feeds = random_feeds(before, seed);
  const auto a = runtime()->open(before, options)->run(feeds);
  const auto b = runtime()->open(after, options)->run(feeds);
  EXPECT_EQ(difference(a, b, tolerance.relative), "");
}

}  // namespace mcompress::test
