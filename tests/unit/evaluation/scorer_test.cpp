// SPDX-License-Identifier: Apache-2.0
#include "evaluation/scorer.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "evaluation/ctc.h"
#include "evaluation/interval.h"
#include "mcompress/error.h"

namespace mcompress::evaluation {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

constexpr double kZ = 1.959963984540054;

OutputProfile output(Shape row, Ending ending = Ending::kOther, bool probabilities = false) {
  OutputProfile profile;
  profile.name = "y";
  profile.type = DataType::kFloat;
  profile.row = std::move(row);
  profile.ending = ending;
  profile.probabilities = probabilities;
  return profile;
}

LabelProfile ids(Shape row, int64_t least, int64_t largest) {
  return {true, true, std::move(row), least, largest};
}

struct Sample {
  std::vector<float> output;
  std::vector<int64_t> ids;
  std::vector<float> reference;
};

EvaluationResult score(const std::string& metric, const OutputProfile& profile,
                       const LabelProfile& labels, const std::vector<Sample>& samples) {
  const auto scorer = make_scorer(find_metric(metric), profile, labels, "eval.npz");
  const Decider decider(scorer->decision(), profile);
  std::vector<double> statistics;
  for (const Sample& sample : samples) {
    const std::vector<int32_t> decision = decider.decide(sample.output);
    const std::vector<int32_t> reference_decision =
        decider.decide(sample.reference.empty() ? sample.output : sample.reference);
    const std::vector<float> targets(sample.ids.begin(), sample.ids.end());
    std::vector<double> row(scorer->columns());
    scorer->score(
        {sample.output, decision, sample.ids, targets, sample.reference, reference_decision}, row);
    statistics.insert(statistics.end(), row.begin(), row.end());
  }
  return scorer->summarize(statistics);
}

TEST(CtcTest, MergesRepeatsAndDropsBlanks) {
  EXPECT_THAT(decode_ctc(std::vector<int32_t>{0, 1, 1, 0, 1, 2, 2, 0}), ElementsAre(1, 1, 2));
  EXPECT_TRUE(decode_ctc(std::vector<int32_t>{0, 0}).empty());
  EXPECT_EQ(edit_distance(std::vector<int32_t>{1, 2, 3}, std::vector<int32_t>{1, 3, 4, 5}), 3U);
  EXPECT_EQ(edit_distance({}, std::vector<int32_t>{1, 2}), 2U);
}

TEST(IntervalTest, FollowsAgrestiAndMin) {
  const auto none = paired_proportions(0, 0, 98);
  EXPECT_NEAR(none.high, kZ * 1.0 / 100, 1e-12);
  EXPECT_NEAR(none.low, -none.high, 1e-12);
  const auto some = paired_proportions(5, 1, 98);
  const double n = 100, b = 5.5, c = 1.5;
  EXPECT_NEAR(some.high, (b - c) / n + kZ * std::sqrt(b + c - (b - c) * (b - c) / n) / n, 1e-12);
  EXPECT_DOUBLE_EQ(some.value, 4.0 / 98);
}

TEST(ScorerTest, Top1HasWilsonsInterval) {
  const auto result = score(
      "top1", output({3}), ids({}, 0, 2),
      {{{1, 5, 2}, {1}, {}}, {{1, 5, 5}, {2}, {}}, {{9, 5, 5}, {0}, {}}, {{0, NAN, 1}, {2}, {}}});
  EXPECT_DOUBLE_EQ(result.value.value, 0.5);
  EXPECT_THAT(result.per_sample, ElementsAre(1, 0, 1, 0));
  const double n = 4, p = 0.5, z2 = kZ * kZ;
  const double center = (p + z2 / (2 * n)) / (1 + z2 / n);
  const double half = kZ / (1 + z2 / n) * std::sqrt(p * (1 - p) / n + z2 / (4 * n * n));
  EXPECT_NEAR(result.value.low, center - half, 1e-6);
  EXPECT_NEAR(result.value.high, center + half, 1e-6);
}

TEST(ScorerTest, Top5CountsTiesInOrder) {
  const std::vector<float> row = {1, 1, 1, 1, 1, 1, 0};
  const auto result =
      score("top5", output({7}), ids({}, 0, 6), {{row, {4}, {}}, {row, {5}, {}}, {row, {6}, {}}});
  EXPECT_THAT(result.per_sample, ElementsAre(1, 0, 0));
}

TEST(ScorerTest, AccuracyAndF1DecideByThreshold) {
  const auto logits = score("accuracy", output({1}), ids({}, 0, 1),
                            {{{0.2F}, {1}, {}}, {{-3}, {0}, {}}, {{-0.1F}, {1}, {}}});
  EXPECT_NEAR(logits.value.value, 2.0 / 3, 1e-12);
  const auto f1 = score("f1", output({2}, Ending::kSigmoid, true), ids({2}, 0, 1),
                        {{{0.6F, 0.4F}, {1, 1}, {}}, {{0.9F, 0.5F}, {1, 0}, {}}});
  EXPECT_NEAR(f1.value.value, 2.0 * 2 / (3 + 3), 1e-12);
  const auto macro = score("f1", output({2}), ids({}, 0, 1),
                           {{{1, 0}, {0}, {}}, {{1, 0}, {1}, {}}, {{0, 1}, {1}, {}}});
  EXPECT_NEAR(macro.value.value, (2.0 / 3 + 2.0 / 3) / 2, 1e-12);
}

TEST(ScorerTest, AucIsTheShareOfOrderedPairs) {
  const auto result = score("auc", output({1}), ids({}, 0, 1),
                            {{{0.1F}, {0}, {}},
                             {{0.4F}, {0}, {}},
                             {{0.35F}, {1}, {}},
                             {{0.8F}, {1}, {}},
                             {{0.4F}, {1}, {}}});
  EXPECT_NEAR(result.value.value, (1 + 0 + 1 + 1 + 1 + 0.5) / 6, 1e-12);
  double mean = 0;
  for (const double influence : result.influence) mean += influence / 5;
  EXPECT_NEAR(mean, result.value.value, 1e-12);
  EXPECT_THROW(score("auc", output({1}), ids({}, 0, 1), {{{0.1F}, {0}, {}}}), Error);
}

TEST(ScorerTest, CtcComparesSequences) {
  const auto one_hot = [](const std::vector<int>& best) {
    std::vector<float> values(best.size() * 4, 0);
    for (size_t i = 0; i < best.size(); ++i) values[4 * i + static_cast<size_t>(best[i])] = 1;
    return values;
  };
  const std::vector<Sample> samples = {{one_hot({1, 1, 0, 2}), {1, 2, -1}, {}},
                                       {one_hot({3, 0, 3, 0}), {3, 2, 1}, {}}};
  EXPECT_DOUBLE_EQ(score("ctc-exact", output({4, 4}), ids({3}, -1, 3), samples).value.value, 0.5);
  EXPECT_DOUBLE_EQ(score("ctc-cer", output({4, 4}), ids({3}, -1, 3), samples).value.value, 2.0 / 5);
  EXPECT_DOUBLE_EQ(score("ctc-exact", output({4, 1, 4}), ids({3}, -1, 3), samples).value.value,
                   0.5);
}

TEST(ScorerTest, NumbersAgainstReference) {
  const std::vector<Sample> samples = {{{1, 2}, {}, {1, 1}}, {{0, 3}, {}, {0, 4}}};
  EXPECT_DOUBLE_EQ(score("mse", output({2}), {}, samples).value.value, 0.5);
  EXPECT_DOUBLE_EQ(score("mae", output({2}), {}, samples).value.value, 0.5);
  EXPECT_NEAR(score("sqnr", output({2}), {}, samples).value.value, 10 * std::log10(18.0 / 2),
              1e-12);
  EXPECT_NEAR(score("cosine", output({2}), {}, samples).value.value, (3 / std::sqrt(10) + 1) / 2,
              1e-12);
  EXPECT_DOUBLE_EQ(score("sqnr", output({2}), {}, {{{1, 2}, {}, {1, 2}}}).value.value, 200);
}

TEST(ScorerTest, MseIntervalIsStudentsOverSamples) {
  std::vector<Sample> samples;
  for (int i = 0; i < 4; ++i) samples.push_back({{static_cast<float>(i)}, {}, {0}});
  const auto result = score("mse", output({1}), {}, samples);
  EXPECT_THAT(result.influence,
              ElementsAre(testing::DoubleNear(0, 1e-9), testing::DoubleNear(1, 1e-9),
                          testing::DoubleNear(4, 1e-9), testing::DoubleNear(9, 1e-9)));
  const double deviation = std::sqrt((3.5 * 3.5 + 2.5 * 2.5 + 0.5 * 0.5 + 5.5 * 5.5) / 3);
  constexpr double kStudent3 = 3.182446305284263;
  // The quantile is approximated for few degrees of freedom.
  EXPECT_NEAR(result.value.high, 3.5 + kStudent3 * deviation / 2, 0.02);
}

TEST(ScorerTest, IouAndPerplexity) {
  const OutputProfile segments = [] {
    OutputProfile profile = output({2, 2, 2});
    place_classes(profile, ids({2, 2}, 0, 1));
    return profile;
  }();
  // Classes of both layouts are 2 here, so the profile keeps what Softmax said: last.
  const auto iou =
      score("iou", segments, ids({2, 2}, 0, 1), {{{1, 0, 0, 1, 1, 0, 1, 0}, {0, 1, 1, 0}, {}}});
  EXPECT_NEAR(iou.value.value, (2.0 / 3 + 1.0 / 2) / 2, 1e-12);
  const auto perplexity = score("perplexity", output({2}), ids({}, 0, 1),
                                {{{0.25F, 0.75F}, {0}, {}}, {{0, 0}, {1}, {}}});
  EXPECT_NEAR(perplexity.value.value, std::sqrt(4.0 * 2.0), 1e-6);
  OutputProfile first = output({3, 5, 4});
  place_classes(first, ids({5, 4}, 0, 2));
  EXPECT_TRUE(first.classes_first);
}

TEST(ScorerTest, RefusesLabelsThatDoNotFit) {
  const auto error = [](const std::string& metric, const OutputProfile& profile,
                        const LabelProfile& labels) {
    try {
      make_scorer(find_metric(metric), profile, labels, "eval.npz");
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::kData);
      return e.message() + "; " + e.hint();
    }
    return std::string("no error");
  };
  EXPECT_THAT(error("top1", output({3}), ids({}, 0, 3)),
              HasSubstr("eval.npz: 0 to 3, the output has classes 0 to 2"));
  EXPECT_THAT(error("top1", output({3}), ids({}, 0, 3)), Not(HasSubstr("subtract")));
  EXPECT_THAT(error("top1", output({3}), ids({}, 1, 3)), HasSubstr("subtract 1 from each"));
  EXPECT_THAT(error("top1", output({3}), ids({}, -1, 2)), HasSubstr("-1 to 2"));
  EXPECT_THAT(error("top1", output({3}), {true, false, {}, 0, 0}),
              HasSubstr("eval.npz: numbers with fractions"));
  EXPECT_THAT(error("top1", output({3}), {}), HasSubstr("eval.npz has no labels"));
  EXPECT_THAT(error("top1", output({3}), ids({2}, 0, 1)), HasSubstr("labels of shape [2]"));
  EXPECT_THAT(error("ctc-exact", output({5, 4}), ids({3}, -1, 4)), HasSubstr("-1 to 4"));
  EXPECT_THROW(find_metric("top2"), Error);
}

TEST(ChoiceTest, FollowsLabelsAndOutput) {
  const auto choose = [](const OutputProfile& o, const LabelProfile& l) {
    return std::string(choose_metric(o, l).metric);
  };
  EXPECT_EQ(choose(output({10}), ids({}, 0, 9)), "top1");
  EXPECT_EQ(choose(output({10, 1, 1}), ids({}, 0, 9)), "top1");
  EXPECT_EQ(choose(output({1}), ids({}, 0, 1)), "accuracy");
  EXPECT_EQ(choose(output({40, 100}), ids({24}, -1, 99)), "ctc-exact");
  EXPECT_EQ(choose(output({5}, Ending::kSigmoid, true), ids({5}, 0, 1)), "f1");
  EXPECT_EQ(choose(output({4}), {true, false, {4}, 0, 0}), "mse");
  EXPECT_EQ(choose(output({10}), {}), "agreement");
  EXPECT_EQ(choose(output({1}, Ending::kSigmoid), {}), "agreement");
  EXPECT_EQ(choose(output({16, 16, 3}), {}), "sqnr");
  EXPECT_THAT(choose_metric(output({10}), {}).reason, HasSubstr("no labels"));
}

TEST(CompareTest, PairsSamplesAndKnowsTheDirection) {
  const auto results = [](const std::vector<int>& hits) {
    std::vector<Sample> samples;
    for (const int hit : hits) samples.push_back({{hit ? 1.0F : 0.0F, 0.5F}, {0}, {}});
    return score("top1", output({2}), ids({}, 0, 1), samples);
  };
  const auto base = results({1, 1, 1, 0, 1, 0}), worse = results({1, 0, 1, 0, 0, 1});
  const auto c = compare_results(find_metric("top1"), base, worse);
  EXPECT_NEAR(c.drop, 1.0 / 6, 1e-12);
  EXPECT_NEAR(c.high, paired_proportions(2, 1, 6).high, 1e-12);
  EXPECT_NEAR(c.low, paired_proportions(2, 1, 6).low, 1e-12);
  EXPECT_TRUE(c.not_below());
  EXPECT_FALSE((Comparison{0.01, 0.009, 0.011}.not_below()));
  EXPECT_TRUE((Comparison{0.002, 0.002, 0.002}.not_below()));
  const auto exact = score("sqnr", output({1}), {}, {{{1}, {}, {1}}, {{1}, {}, {1}}});
  const auto noisy = score("sqnr", output({1}), {}, {{{1.01F}, {}, {1}}, {{0.99F}, {}, {1}}});
  EXPECT_NEAR(compare_results(find_metric("sqnr"), exact, noisy).drop, 0.01, 1e-5);
  const auto zero = score("mse", output({1}), {}, {{{2}, {}, {2}}}),
             off = score("mse", output({1}), {}, {{{2.2F}, {}, {2}}});
  EXPECT_NEAR(compare_results(find_metric("mse"), zero, off).drop, 0.01, 1e-6);
}

}  // namespace
}  // namespace mcompress::evaluation
