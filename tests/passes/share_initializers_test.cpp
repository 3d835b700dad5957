// SPDX-License-Identifier: Apache-2.0
#include "tests/support/pass_test.h"

namespace mcompress::test {
namespace {

size_t constants_of(Model& model) {
  size_t count = 0;
  for (Graph* graph : model.graphs()) {
    count += graph->initializers().size();
    for (const NodeRef node : graph->nodes()) count += node.is("Constant") ? 1 : 0;
  }
  return count;
}

/// The normal form writes constants where they are read, so it must stay and only their number
/// shrink.
void expect_constants(const char* text, size_t before, size_t after, const Options& options = {}) {
  Model model = parse_model(text);
  const Model original = model.clone();
  const std::string form = normal_form(model);
  EXPECT_EQ(constants_of(model), before);
  EXPECT_EQ(run_pass("share-initializers", model, options).changed, before != after);
  EXPECT_EQ(constants_of(model), after);
  EXPECT_EQ(normal_form(model), form);
  expect_close(original, model, kExact);
  EXPECT_FALSE(run_pass("share-initializers", model, options).changed);
}

TEST(ShareInitializers, StoresEqualInitializersAndConstantNodesOnce) {
  expect_constants(R"(
    g (float[2] x) => (float[2] y) <float[2] a = {1.0, 2.0}, float[2] b = {1.0, 2.0}, float[2] d = {1.0, 3.0}> {
      c = Constant <value = float[2] {1.0, 2.0}> ()
      p = Mul(x, a)
      q = Add(p, b)
      r = Add(q, c)
      y = Add(r, d)
    })",
                   4, 2);
}

TEST(ShareInitializers, TellsTypesShapesAndSignsOfZeroApart) {
  expect_constants(R"(
    g (float[2] x) => (float[1,2] y) <float[2] a = {0.0, 0.0}, float[2] b = {-0.0, 0.0}, float[1,2] c = {0.0, 0.0}> {
      p = Add(x, a)
      q = Add(p, b)
      y = Add(q, c)
    })",
                   3, 3);
}

TEST(ShareInitializers, KeepsTheShortestName) {
  Model model = parse_model(R"(
    g (float[2] x) => (float[2] y) <float long_name = {1.0}, float short = {1.0}, float longer_name = {1.0}> {
      p = Add(x, long_name)
      q = Add(p, short)
      y = Add(q, longer_name)
    })");
  run_pass("share-initializers", model);
  EXPECT_EQ(model.graph().initializers(), std::vector<std::string>{"short"});
}

TEST(ShareInitializers, LeavesSmallOnesAloneWhereToldTo) {
  expect_constants(R"(
    g (float[2] x) => (float[2] y) <float a = {1.0}, float b = {1.0}> { p = Add(x, a)  y = Add(p, b) })",
                   2, 2, {{"min-bytes", "5"}});
}

TEST(ShareInitializers, MovesConstantsOfBodiesToTheGraphAroundThem) {
  expect_constants(R"(
    g (bool choose, float[2] x) => (float[2] y) {
      y = If(choose) <
        then_branch = t () => (float[2] ty) <float[2] a = {1.0, 2.0}> { ty = Add(x, a) },
        else_branch = e () => (float[2] ey) {
          b = Constant <value = float[2] {1.0, 2.0}> ()
          ey = Mul(x, b)
        }
      >
    })",
                   2, 1);
}

TEST(ShareInitializers, KeepsGraphInputsAndOutputsApart) {
  expect_unchanged("share-initializers", R"(
    g (float[2] x, float[2] w = {1.0, 2.0}) => (float[2] y) <float[2] a = {1.0, 2.0}> {
      p = Add(x, a)
      y = Add(p, w)
    })",
                   "");
}

}  // namespace
}  // namespace mcompress::test
