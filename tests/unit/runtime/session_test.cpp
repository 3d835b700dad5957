// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "small_models.h"
#include "support/half.h"
#include "support/interrupt.h"

namespace mcompress {
namespace {

using test::floats;
using test::runtime;
using test::text_model;
using testing::ElementsAre;
using testing::HasSubstr;

const char* const kChain = R"(g (float[N, 2] x) => (float[N, 2] y) {
    a = Relu(x) b = Neg(a) c = Exp(b) y = Add(c, a) })";

ErrorCode code_of(const std::function<void()>& action, std::string* message = nullptr) {
  try {
    action();
  } catch (const Error& error) {
    if (message != nullptr) *message = error.message();
    return error.code();
  }
  return ErrorCode::kBug;
}

TEST(Runtime, TellsItsVersion) { EXPECT_THAT(runtime()->version(), HasSubstr("1.")); }

// In a process of its own, because this one has a library open. It crashed once.
TEST(RuntimeDeathTest, ReportsAMissingLibrary) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto open_missing = [] {
    const ErrorCode code = code_of([] { make_onnx_runtime("/nowhere/libonnxruntime.so.1"); });
    std::exit(static_cast<int>(code));
  };
  EXPECT_EXIT(open_missing(), testing::ExitedWithCode(static_cast<int>(ErrorCode::kRuntime)), "");
}

TEST(Runtime, RefusesASecondLibrary) {
  runtime();
  std::string message;
  EXPECT_EQ(code_of([] { make_onnx_runtime("/nowhere/libonnxruntime.so.1"); }, &message),
            ErrorCode::kRuntime);
  EXPECT_THAT(message, HasSubstr("open already"));
}

TEST(Runtime, RefusesAnAbsentOpsLibrary) {
  std::string message;
  EXPECT_EQ(code_of([] { make_onnx_runtime("", "/nowhere/libops.so"); }, &message),
            ErrorCode::kRuntime);
  EXPECT_THAT(message, HasSubstr("/nowhere/libops.so"));
}

TEST(Session, RunsAndKeepsTheOrderOfOutputs) {
  const Model model =
      text_model("g (float[2] x) => (float[2] b, float[2] a) { a = Relu(x) b = Neg(x) }");
  const auto session = runtime()->open(model);
  ASSERT_EQ(session->inputs().size(), 1U);
  EXPECT_EQ(session->inputs()[0].type, DataType::kFloat);
  EXPECT_EQ(session->inputs()[0].shape, (Shape{2}));
  EXPECT_THAT(session->output_names(), ElementsAre("b", "a"));
  const auto outputs = session->run({{"x", floats({2}, {-1, 2})}});
  EXPECT_THAT(outputs[0].to_float(), ElementsAre(1, -2));
  EXPECT_THAT(outputs[1].to_float(), ElementsAre(0, 2));
  EXPECT_GT(session->time({{"x", floats({2}, {-1, 2})}}), 0);
}

TEST(Session, NamesSymbolicDimensions) {
  const auto session = runtime()->open(text_model(kChain));
  EXPECT_EQ(session->inputs()[0].shape, (Shape{-1, 2}));
  EXPECT_THAT(session->inputs()[0].dim_params, ElementsAre("N", ""));
}

TEST(Session, TakesFeedsOfAllTypes) {
  const Model model = text_model(R"(g (bool[2] p, int64[2] i, float16[2] h, uint8[2] u) =>
      (bool[2] q, int64[2] j, float16[2] k, uint8[2] v) {
        q = Not(p) j = Identity(i) k = Identity(h) v = Identity(u) })");
  const Feeds feeds = {{"p", floats({2}, {1, 0}).cast(DataType::kBool)},
                       {"i", Tensor::from(Shape{2}, std::vector<int64_t>{1, -(int64_t{1} << 40)})},
                       {"h", floats({2}, {0.5F, -2}).cast(DataType::kFloat16)},
                       {"u", Tensor::from(Shape{2}, std::vector<uint8_t>{3, 255})}};
  const auto outputs = runtime()->open(model)->run(feeds);
  EXPECT_THAT(outputs[0].to_int64(), ElementsAre(0, 1));
  EXPECT_TRUE(outputs[1] == feeds[1].tensor);
  EXPECT_TRUE(outputs[2] == feeds[2].tensor);
  EXPECT_TRUE(outputs[3] == feeds[3].tensor);
}

TEST(Session, TakesScalarsAndEmptyTensors) {
  const Model model =
      text_model("g (float x, float[N] e) => (float y, float[M] f) { y = Neg(x) f = Neg(e) }");
  const auto outputs = runtime()->open(model)->run(
      {{"x", Tensor::scalar(2.0F)}, {"e", Tensor(DataType::kFloat, {0})}});
  EXPECT_EQ(outputs[0].shape(), Shape{});
  EXPECT_EQ(outputs[1].shape(), Shape{0});
}

TEST(Session, RefusesWrongFeedsByName) {
  const auto session = runtime()->open(text_model(kChain));
  std::string message;
  EXPECT_EQ(code_of([&] { session->run({}); }, &message), ErrorCode::kData);
  EXPECT_THAT(message, HasSubstr("x: the input is not fed"));
  EXPECT_EQ(code_of(
                [&] {
                  session->run({{"z", floats({1, 2}, {1, 2})}});
                },
                &message),
            ErrorCode::kData);
  EXPECT_THAT(message, HasSubstr("z: the model has no input"));
  EXPECT_EQ(code_of(
                [&] {
                  session->run({{"x", floats({1, 3}, {1, 2, 3})}});
                },
                &message),
            ErrorCode::kRuntime);
  EXPECT_THAT(message, HasSubstr("x"));
}

TEST(Session, RefusesStringInputs) {
  const auto session =
      runtime()->open(text_model("g (string[2] x) => (string[2] y) { y = Identity(x) }"));
  std::string message;
  EXPECT_EQ(code_of([&] { session->run({{"x", Tensor()}}); }, &message), ErrorCode::kData);
  EXPECT_THAT(message, HasSubstr("cannot feed"));
}

TEST(Session, ReturnsExtraOutputs) {
  const Model model = text_model(kChain);
  const Feeds feeds = {{"x", floats({1, 2}, {-1, 2})}};
  const auto all = runtime()->open(model, {.extra_outputs = {"a", "y", "b"}});
  EXPECT_THAT(all->output_names(), ElementsAre("y", "a", "b"));
  EXPECT_THAT(all->run(feeds)[2].to_float(), ElementsAre(0, -2));
  const auto only = runtime()->open(model, {.extra_outputs = {"b", "a"}, .only_extra = true});
  EXPECT_THAT(only->output_names(), ElementsAre("b", "a"));
  const auto outputs = only->run(feeds);
  EXPECT_THAT(outputs[0].to_float(), ElementsAre(0, -2));
  EXPECT_THAT(outputs[1].to_float(), ElementsAre(0, 2));
}

TEST(Session, OutputsOutliveTheSessionAndAreWritable) {
  const Model model = text_model("g (float[N] x) => (float[N] y) { y = Neg(x) }");
  const Feeds feeds = {{"x", floats({5000}, std::vector<float>(5000, 1.5F))}};
  auto session = runtime()->open(model);
  Tensor first = session->run(feeds)[0];
  const Tensor kept = first;
  first.mutate_as<float>()[0] = 7;
  const Tensor second = session->run(feeds)[0];
  session.reset();
  EXPECT_EQ(first.to_float()[0], 7);
  EXPECT_EQ(kept.to_float(), std::vector<float>(5000, -1.5F));
  EXPECT_TRUE(kept == second);
}

TEST(Session, AnInputThatIsAnOutputDoesNotBorrowTheFeed) {
  const Model model = text_model(R"(g (float[N, 4096] x) => (float[N, 4096] y) { y = Neg(x) })");
  SessionOptions options;
  options.extra_outputs = {"x"};
  const auto session = runtime()->open(model, options);
  std::vector<Tensor> outputs;
  {
    Feeds feeds = {{"x", Tensor::from<float>({1, 4096}, std::vector<float>(4096, 3.0f))}};
    outputs = session->run(feeds);
    for (float& v : feeds[0].tensor.mutate_as<float>()) v = 9;
  }
  EXPECT_EQ(outputs[1].as<float>()[4095], 3.0f);
}

TEST(Session, SaysWhyAModelDoesNotLoad) {
  const Model good = text_model(kChain);
  EXPECT_FALSE(runtime()->load_error(good));
  const Model bad = text_model("g (float[2] x) => (float[2] y) { y = NoSuchOperator(x) }");
  const auto why = runtime()->load_error(bad);
  ASSERT_TRUE(why);
  EXPECT_THAT(*why, HasSubstr("NoSuchOperator"));
  EXPECT_THAT(*why, testing::Not(HasSubstr("onnxruntime_src")));
  EXPECT_EQ(code_of([&] { runtime()->open(bad); }), ErrorCode::kModel);
}

TEST(Session, StopsWithinASecondOfAnInterrupt) {
  // Two million rounds of a Loop, which take far longer than the test waits.
  const Model model = text_model(R"(g (float[1] x) => (float[1] y) {
      n = Constant<value = int64 {2000000}>()
      c = Constant<value = bool {1}>()
      y = Loop (n, c, x) <body = b (int64 i, bool p, float[1] s) => (bool q, float[1] t) {
        q = Identity(p) t = Neg(s) }> })");
  const auto session = runtime()->open(model, {.optimize = false});
  std::thread signal([] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    request_interrupt();
  });
  const auto start = std::chrono::steady_clock::now();
  const ErrorCode code = code_of([&] { session->run({{"x", floats({1}, {1})}}); });
  signal.join();
  EXPECT_EQ(code, ErrorCode::kInterrupted);
  EXPECT_EQ(code_of([&] { session->run({{"x", floats({1}, {1})}}); }), ErrorCode::kInterrupted);
  support::clear_interrupt();
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(2));
}

}  // namespace
}  // namespace mcompress
