// SPDX-License-Identifier: Apache-2.0
// Bad labels, teachers and features are named before training.
#include <gmock/gmock.h>

#include "tests/unit/train/loss_fixture.h"

namespace mcompress::train {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(Labels, Missing) {
  EXPECT_EQ(LossCase{.output = wavy({2, 3})}.error(), "5 train.npz has no labels");
}

TEST(Labels, OutOfRange) {
  EXPECT_EQ((LossCase{.labels = classes({3}, {0, 3, 1}), .output = wavy({2, 3})}.error()),
            "5 labels of train.npz: sample 1 has class 3, output 'y' has 0 to 2");
  EXPECT_EQ((LossCase{.labels = classes({3}, {0, 1, -1}), .output = wavy({2, 3})}.error()),
            "5 labels of train.npz: sample 2 has class -1, output 'y' has 0 to 2");
}

TEST(Labels, AreNamedAsTheFileCountsThem) {
  const auto file = std::make_shared<LabelledData>(classes({4}, {0, 3, 0, 2}));
  const auto part = subset(subset(file, {2, 1, 0}, "half"), {0, 1}, "a part");
  LossProbe probe;
  probe.samples = 2;
  probe.output = wavy({2, 3});
  try {
    make_loss({}, {}, head_of(), *part, probe, 7);
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.message(), HasSubstr("labels of a part: sample 1 has class 3"));
    EXPECT_EQ(error.hint(), "");
  }
}

TEST(Labels, ThatCountFromOneGetAHint) {
  try {
    LossCase{.labels = classes({4}, {1, 2, 3, 2}), .output = wavy({2, 3})}.make();
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.message(), HasSubstr("sample 2 has class 3"));
    EXPECT_THAT(error.hint(), HasSubstr("subtract 1"));
  }
}

TEST(Labels, OfOtherDataFitTheLossOrNot) {
  const auto loss = LossCase{.labels = classes({2}, {0, 2}), .output = wavy({2, 3})}.make();
  EXPECT_TRUE(loss->accepts(LabelledData(classes({3}, {1, 1, 0}))));
  EXPECT_FALSE(loss->accepts(LabelledData(classes({1}, {3})))) << "out of range";
  EXPECT_FALSE(loss->accepts(LabelledData(numbers({1, 3}, {0.5F, 0.25F, 0.25F}))));
  EXPECT_FALSE(loss->accepts(LabelledData(std::nullopt, 4)));
}

TEST(Labels, OfTheWrongType) {
  EXPECT_THAT((LossCase{.labels = numbers({3}, {0, 1, 2}), .output = wavy({2, 3})}.error()),
              HasSubstr("numbers with fractions (float), class numbers (integers) are needed"));
  EXPECT_THAT((LossCase{.labels = numbers({1, 2}, {0, NAN}), .output = wavy({2, 2})}.error()),
              HasSubstr("sample 0 has the value nan"));
}

TEST(Labels, OfTheWrongShape) {
  EXPECT_THAT((LossCase{.labels = classes({1, 4}, {0, 1, 2, 1}), .output = wavy({2, 3})}.error()),
              AllOf(HasSubstr("shape [4] a sample"), HasSubstr("output 'y' of shape [3]")));
  EXPECT_THAT((LossCase{.options = {.kind = LossKind::kMeanSquare},
                        .labels = classes({1}, {0}),
                        .output = wavy({2, 3})}
                   .error()),
              HasSubstr("mse: shape [] a sample"));
  EXPECT_THAT((LossCase{.options = {.kind = LossKind::kBinary},
                        .labels = classes({1, 3}, {0, 2, 1}),
                        .output = wavy({2, 3})}
                   .error()),
              HasSubstr("sample 0 has class 2, output 'y' has 0 to 1"));
}

TEST(Labels, SequencesLongerThanTheSteps) {
  // 1 1 2 needs a blank between the equal ones.
  EXPECT_THAT(
      (LossCase{.labels = classes({2, 4}, {1, 2, -1, -1, 1, 1, 2, -1}), .output = wavy({2, 3, 3})}
           .error()),
      HasSubstr("sample 1 needs 4 steps"));
  EXPECT_THAT((LossCase{.options = {.kind = LossKind::kCtc},
                        .labels = classes({1, 2}, {1, 0}),
                        .output = wavy({2, 3, 3})}
                   .error()),
              HasSubstr("sample 0 has class 0, output 'y' has 1 to 2"));
}

TEST(Labels, PaddedSequencesAsLongAsTheStepsAreCtc) {
  const LossCase padded{.labels = classes({1, 3}, {1, 2, -1}), .output = wavy({2, 3, 3})};
  EXPECT_EQ(padded.make()->kind(), LossKind::kCtc);
}

TEST(Labels, SmoothingOfALossWithoutClasses) {
  EXPECT_THAT((LossCase{.options = {.label_smoothing = 0.1},
                        .labels = numbers({1, 3}, {0.5F, 2, 3}),
                        .output = wavy({2, 3})}
                   .error()),
              HasSubstr("3 label smoothing 0.1: the loss is mse"));
}

TEST(Teachers, OfAnotherShape) {
  EXPECT_EQ(
      (LossCase{.labels = classes({1}, {0}), .output = wavy({2, 3}), .teachers = {{wavy({2, 5})}}}
           .error()),
      "4 teacher 1: output of shape [2, 5], 'y' of the student has [3] a sample");
  EXPECT_THAT((LossCase{.labels = classes({1}, {0}),
                        .output = wavy({2, 3}),
                        .teachers = {{wavy({2, 3})}, {long_tensor({1, 2}, {2})}}}
                   .error()),
              HasSubstr("teacher 2: output of integers"));
}

TEST(Teachers, FeaturesThatCannotBeCompared) {
  EXPECT_THAT((LossCase{.distill = {.teachers = {}, .features = {{"s", "t"}}},
                        .labels = classes({1}, {0}),
                        .output = wavy({2, 3}),
                        .features = {wavy({2, 4})},
                        .teachers = {{wavy({2, 3}), wavy({2, 4, 2})}}}
                   .error()),
              AllOf(HasSubstr("4 features 's' of shape [2, 4]"),
                    HasSubstr("'t' of the teacher of shape [2, 4, 2]")));
}

}  // namespace
}  // namespace mcompress::train
