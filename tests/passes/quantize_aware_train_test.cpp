// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "calibration/calibration.h"
#include "forms/quantized_weight.h"
#include "mcompress/pass.h"
#include "mcompress/trainer.h"
#include "numerics/pair_rule.h"
#include "opset/service.h"
#include "tests/support/fake_trainer.h"
#include "tests/support/pass_test.h"
#include "tests/support/training_data.h"

namespace mcompress::test {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

std::string numbers(size_t count, double scale) {
  std::string text;
  uint64_t state = 7;
  for (size_t i = 0; i < count; ++i) {
    state = state * 6364136223846793005U + 1442695040888963407U;
    const double value = static_cast<double>(state >> 33) / 1073741824.0 - 1;
    text += (i == 0 ? "" : ",") + std::to_string(scale * value);
  }
  return "{" + text + "}";
}

/// Two layers that the runtime has integer kernels for; two classes of points of the plane.
Model small_model(bool batch_norm = false) {
  const std::string norm = R"(
      n = BatchNormalization(c, gamma, beta, mean, variance)
      r = Relu(n))";
  return parse_model(R"(
    g (float[N,2] x) => (float[N,2] y)
    <int64[4] image = {-1, 2, 1, 1}, float[8,2,1,1] a = )" +
                     numbers(16, 1) + R"(, float[8] b = )" + numbers(8, 0.2) +
                     R"(, float[8] gamma = {1.5, 1, 0.5, 1, 1, 2, 1, 1}, float[8] beta = )" +
                     numbers(8, 0.3) + R"(, float[8] mean = )" + numbers(8, 0.1) +
                     R"(, float[8] variance = {1, 2, 0.5, 1, 1, 1, 3, 1}, float[8,2] w = )" +
                     numbers(16, 0.7) + R"(> {
      i = Reshape(x, image)
      c = Conv(i, a, b))" +
                     (batch_norm ? norm : std::string("\n      r = Relu(c)")) + R"(
      f = Flatten(r)
      y = MatMul(f, w)
    })");
}

class QuantizeAwareTrain : public testing::Test {
 protected:
  QuantizeAwareTrain() { services_.training_data = two_classes(64, true); }
  PassContext context() {
    services_.runtime = runtime();
    services_.opset = make_opset_service();
    services_.input_model = &input_;
    services_.calibration = make_calibration(runtime(), services_.training_data, 1);
    if (!services_.open_trainer) services_.open_trainer = [this] { return trainer_; };
    return PassContext(services_);
  }
  Outcome run(Options options = {}) {
    PassContext used = context();
    options.try_emplace("where", "everywhere");
    return run_pass("quantize-aware-train", model_, options, &used);
  }
  /// The real one, or none.
  bool use_trainer() {
    try {
      const auto trainer = open_trainer();
      services_.open_trainer = [trainer] { return trainer; };
      return true;
    } catch (const Error&) {
      return false;
    }
  }
  Tensor constant(const std::string& name) { return *model_.graph().find(name).constant(); }
  std::vector<std::string> kernels() {
    std::vector<std::string> ops;
    for (const auto& node : runtime()->optimized_nodes(model_)) ops.push_back(node.op);
    return ops;
  }

  std::shared_ptr<FakeTrainer> trainer_ = std::make_shared<FakeTrainer>();
  Model input_ = small_model();
  Model model_ = small_model();
  PassContext::Services services_;
};

template <class T>
std::vector<std::string> names(const std::vector<std::pair<std::string, T>>& list) {
  std::vector<std::string> result;
  for (const auto& [name, value] : list) result.push_back(name);
  return result;
}

TEST_F(QuantizeAwareTrain, TrainsWhatQuantizeStaticWrites) {
  EXPECT_TRUE(run({{"rounding", "nearest"}}).changed);
  const QuantizerTraining& how = trainer_->task_.quantizers;
  EXPECT_TRUE(how.enabled);
  EXPECT_TRUE(how.learn_scales);
  EXPECT_THAT(names(how.start), testing::ElementsAre("a_q", "w_q"));
  EXPECT_EQ(how.start[0].second, *input_.graph().find("a").constant());
  EXPECT_THAT(how.limits,
              testing::ElementsAre(testing::Pair("a_q", 127), testing::Pair("w_q", 127)));
  EXPECT_THAT(how.pairs, testing::ElementsAre("a_q", "w_q"));
  EXPECT_THAT(trainer_->task_.parameters, IsEmpty()) << "all that can be trained";
  EXPECT_THAT(kernels(), Contains("QLinearConv"));

  Model by_static = small_model();
  PassContext used = context();
  run_pass("quantize-static", by_static,
           {{"where", "everywhere"}, {"effort", "quick"}, {"rounding", "nearest"}}, &used);
  for (const char* const name : {"a_q", "a_s", "w_q", "w_s", "x_s", "r_s"}) {
    if (!by_static.graph().find(name)) continue;
    EXPECT_EQ(constant(name), *by_static.graph().find(name).constant()) << name;
  }
}

TEST_F(QuantizeAwareTrain, MovedValuesKeepTheScaleOfWhatMoves) {
  run();
  std::set<std::string> scales;
  int quantizers = 0;
  for (const NodeRef node : model_.graph().nodes()) {
    if (!node.is("QuantizeLinear")) continue;
    ++quantizers;
    scales.insert(node.input_name(1));
  }
  // Of x and its Reshape, of the Relu and its Flatten.
  EXPECT_EQ(quantizers, 4);
  EXPECT_EQ(scales.size(), 2U);
}

TEST_F(QuantizeAwareTrain, FewBitsAreCodesWithinTheirLimit) {
  const std::map<std::string, std::pair<int64_t, int64_t>> expected = {
      {"4", {7, 7}}, {"3", {3, 3}}, {"2", {1, 1}}, {"ternary", {1, 1}}, {"binary", {0, 1}}};
  for (const auto& [weights, limits] : expected) {
    model_ = small_model();
    run({{"weights", weights}, {"scales", "fixed"}});
    const QuantizerTraining& how = trainer_->task_.quantizers;
    EXPECT_FALSE(how.learn_scales);
    EXPECT_THAT(how.limits, Contains(testing::Pair("a_q", limits.first))) << weights;
    EXPECT_THAT(how.pairs, IsEmpty()) << "small codes obey the rule by themselves";
    int64_t largest = 0, zeros = 0;
    for (const int64_t code : constant("a_q").to_int64()) {
      largest = std::max(largest, std::abs(code));
      zeros += code == 0 ? 1 : 0;
    }
    EXPECT_LE(largest, limits.second) << weights;
    if (weights == "binary") {
      EXPECT_EQ(zeros, 0);
    }
    EXPECT_THAT(kernels(), Contains("QLinearConv")) << weights;
  }
}

TEST_F(QuantizeAwareTrain, LayersMayKeep8Bits) {
  run({{"weights", "4"}, {"keep-8-bits", "first"}});
  EXPECT_THAT(trainer_->task_.quantizers.limits,
              testing::ElementsAre(testing::Pair("a_q", 127), testing::Pair("w_q", 7)));
}

TEST_F(QuantizeAwareTrain, BatchNormalizationIsFoldedFirst) {
  model_ = small_model(true);
  run();
  for (const NodeRef node : model_.graph().nodes()) EXPECT_FALSE(node.is("BatchNormalization"));
  EXPECT_THAT(kernels(), Contains("QLinearConv"));
}

TEST_F(QuantizeAwareTrain, AQuantizedModelIsTrainedAsItIs) {
  PassContext used = context();
  run_pass("quantize-static", model_, {{"where", "everywhere"}, {"effort", "quick"}}, &used);
  const Tensor codes = constant("a_q");
  trainer_->on_train_ = [](Model& model, const TrainingTask&) {
    Tensor moved = *model.graph().find("a_q").constant();
    moved.mutate_as<int8_t>()[0] = 1;
    model.graph().set_constant(model.graph().find("a_q"), moved);
    return TrainingResult{};
  };
  run_pass("quantize-aware-train", model_, {}, &used);
  // The floats that were quantized are known from the step before.
  EXPECT_THAT(names(trainer_->task_.quantizers.start), Contains("a_q"));
  EXPECT_EQ(*trainer_->given_->graph().find("a_q").constant(), codes);
  EXPECT_NE(constant("a_q"), codes);
}

TEST_F(QuantizeAwareTrain, SkipLeavesALayerInFloatAndAsItIs) {
  PassContext used = context();
  used.set_selection(LayerSelection({}, {"op:MatMul"}));
  trainer_->check_.parameters = {"w"};
  const auto pass = builtin_passes().create("quantize-aware-train");
  OptionSet options;
  pass->describe(options);
  std::vector<Diagnostic> problems;
  ConfigValue everywhere;
  everywhere.kind = ConfigValue::Kind::kScalar;
  everywhere.scalar = "everywhere";
  ConfigValue values;
  values.kind = ConfigValue::Kind::kMap;
  values.map.push_back({"where", {}, everywhere});
  options.bind(values, "quantize-aware-train", problems);
  pass->run(model_, used);
  EXPECT_FALSE(trainer_->task_.parameters.empty());
  EXPECT_THAT(trainer_->task_.parameters, testing::ElementsAre("a_q", "b_q"));
}

TEST_F(QuantizeAwareTrain, FrozenIntegersKeepTheirValues) {
  run({{"freeze", "a_q"}});
  EXPECT_THAT(trainer_->task_.parameters, Not(Contains("a_q")));
  EXPECT_THAT(trainer_->task_.parameters, Contains("w_q"));
}

TEST_F(QuantizeAwareTrain, MissingDataIsAnErrorOrALeftOutStep) {
  services_.training_data = nullptr;
  services_.calibration = nullptr;
  services_.runtime = runtime();
  services_.input_model = &input_;
  PassContext used(services_);
  EXPECT_THROW(run_pass("quantize-aware-train", model_, {}, &used), Error);
  const Outcome outcome =
      run_pass("quantize-aware-train", model_, {{"missing-data", "skip"}}, &used);
  EXPECT_FALSE(outcome.changed);
  EXPECT_THAT(outcome.warnings, Contains(HasSubstr("training data")));
}

/// Mean of right answers over the training data, in ONNX Runtime.
double accuracy(const Model& model, const Dataset& data) {
  const auto outputs = runtime()->open(model)->run(data.feeds(0, data.size()))[0].to_float();
  const auto labels = data.labels(0, data.size())->to_int64();
  double right = 0;
  for (size_t i = 0; i < labels.size(); ++i) {
    right += (outputs[2 * i + 1] > outputs[2 * i]) == (labels[i] == 1) ? 1 : 0;
  }
  return right / static_cast<double>(labels.size());
}

TEST_F(QuantizeAwareTrain, TrainedCodesClassifyInTheRuntime) {
  if (!use_trainer()) GTEST_SKIP() << "built without libtorch";
  for (const char* const weights : {"8", "4", "ternary", "binary"}) {
    model_ = small_model();
    run({{"weights", weights},
         {"teacher", "none"},
         {"epochs", "30"},
         {"batch", "16"},
         {"learning-rate", "0.02"}});
    EXPECT_GT(accuracy(model_, *services_.training_data), 0.9) << weights;
    EXPECT_THAT(kernels(), Contains("QLinearConv")) << weights;
    if (std::string(weights) != "8") continue;
    const Tensor codes = constant("w_q");
    EXPECT_EQ(numerics::count_pair_violations(codes.as<int8_t>(),
                                              numerics::ReductionLayout::matrix(8, 2)),
              0);
  }
}

}  // namespace
}  // namespace mcompress::test
