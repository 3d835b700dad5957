// SPDX-License-Identifier: Apache-2.0
// Values of losses against closed forms, gradients against finite differences.
#include "tests/support/model_text.h"
#include "tests/unit/train/loss_fixture.h"

namespace mcompress::train {
namespace {

using Ending = LossHead::Ending;

double value(const Loss& loss, const at::Tensor& output, const Batch& batch) {
  return loss(output, {}, batch, {}).item<double>();
}
Batch labelled(const at::Tensor& labels) {
  Batch batch;
  batch.labels = labels;
  return batch;
}
double log_softmax(const std::vector<double>& row, size_t at) {
  double sum = 0;
  for (const double z : row) sum += std::exp(z);
  return row[at] - std::log(sum);
}

TEST(Loss, CrossEntropyOfOneClassPerSample) {
  const at::Tensor z = wavy({2, 3});
  const auto loss = LossCase{.labels = classes({4}, {0, 2, 1, 0}), .output = z}.make();
  EXPECT_EQ(loss->kind(), LossKind::kCrossEntropy);
  const Batch batch = labelled(long_tensor({2, 0}, {2}));
  double expected = 0;
  for (int64_t i = 0; i < 2; ++i) {
    std::vector<double> row;
    for (int64_t c = 0; c < 3; ++c) row.push_back(z[i][c].item<double>());
    expected -= log_softmax(row, i == 0 ? 2 : 0);
  }
  EXPECT_NEAR(value(*loss, z, batch), expected, 1e-12);
  expect_gradient(z, [&](const at::Tensor& x) { return (*loss)(x, {}, batch, {}); });
}

TEST(Loss, ShardsAddUp) {
  const at::Tensor z = wavy({5, 3});
  const auto loss = LossCase{.labels = classes({4}, {0, 2, 1, 0}), .output = z}.make();
  Batch batch = labelled(long_tensor({2, 0, 1, 1, 2}, {5}));
  batch.soft = loss->self_target(z * 0.5);
  const double parts = value(*loss, z.narrow(0, 0, 2), shard(batch, 0, 2)) +
                       value(*loss, z.narrow(0, 2, 3), shard(batch, 2, 3));
  EXPECT_NEAR(value(*loss, z, batch), parts, 1e-12);
}

TEST(Loss, LabelSmoothingGivesAllClassesTheirShare) {
  const at::Tensor z = wavy({1, 3});
  const auto loss =
      LossCase{.options = {.label_smoothing = 0.3}, .labels = classes({1}, {0}), .output = z}
          .make();
  const std::vector<double> row = {z[0][0].item<double>(), z[0][1].item<double>(),
                                   z[0][2].item<double>()};
  const double expected =
      -(0.8 * log_softmax(row, 0) + 0.1 * log_softmax(row, 1) + 0.1 * log_softmax(row, 2));
  EXPECT_NEAR(value(*loss, z, labelled(long_tensor({0}, {1}))), expected, 1e-12);
}

TEST(Loss, MixedLabelsCountWithTheirShare) {
  const at::Tensor z = wavy({2, 3});
  const auto loss = LossCase{.labels = classes({1}, {0}), .output = z}.make();
  const at::Tensor a = long_tensor({0, 1}, {2}), b = long_tensor({2, 2}, {2});
  Batch batch = labelled(a);
  batch.mixed_labels = b;
  batch.mixed_share = 0.7;
  const double expected = 0.7 * value(*loss, z, labelled(a)) + 0.3 * value(*loss, z, labelled(b));
  EXPECT_NEAR(value(*loss, z, batch), expected, 1e-12);
}

TEST(Loss, ClassesOfImagesAreFirstAndThoseOfSequencesLast) {
  const Tensor mask = classes({1, 2, 3}, {0, 1, 3, 2, -1, 255});
  const at::Tensor first = wavy({1, 4, 2, 3}), last = first.permute({0, 2, 3, 1}).contiguous();
  const Batch batch = labelled(long_tensor({0, 1, 3, 2, -1, 255}, {1, 2, 3}));
  const auto images = LossCase{.labels = mask, .output = first}.make();
  const auto channels_last = LossCase{.labels = mask, .output = last}.make();
  double expected = 0;
  const std::vector<size_t> labels = {0, 1, 3, 2};  // two places count for nothing
  for (size_t i = 0; i < labels.size(); ++i) {
    std::vector<double> row;
    for (int64_t c = 0; c < 4; ++c)
      row.push_back(first[0][c].reshape(-1)[static_cast<int64_t>(i)].item<double>());
    expected -= log_softmax(row, labels[i]) / 4;
  }
  EXPECT_NEAR(value(*images, first, batch), expected, 1e-12);
  EXPECT_NEAR(value(*channels_last, last, batch), expected, 1e-12);

  const at::Tensor tokens = wavy({2, 5, 4});
  const auto steps = LossCase{.labels = classes({1, 5}, {0, 1, 2, 3, 0}), .output = tokens}.make();
  EXPECT_EQ(steps->kind(), LossKind::kCrossEntropy);
  const Batch words = labelled(long_tensor({0, 1, 2, 3, 0, 3, 2, 1, 0, -1}, {2, 5}));
  expect_gradient(tokens, [&](const at::Tensor& x) { return (*steps)(x, {}, words, {}); });
}

TEST(Loss, ProbabilitiesOfASoftmaxBehindAReshape) {
  const at::Tensor z = wavy({2, 3});
  LossHead head = head_of(Ending::kSoftmax);
  head.applied = true;
  const auto scores = LossCase{.labels = classes({1}, {0}), .output = z}.make();
  const auto probabilities =
      LossCase{.head = head, .labels = classes({1}, {0}), .output = z.softmax(-1)}.make();
  // Softmax made of Exp, ReduceSum and Div: seen by its values.
  const auto composed = LossCase{.labels = classes({1}, {0}), .output = z.softmax(-1)}.make();
  const Batch batch = labelled(long_tensor({2, 1}, {2}));
  EXPECT_NEAR(value(*probabilities, z.softmax(-1), batch), value(*scores, z, batch), 1e-9);
  EXPECT_NEAR(value(*composed, z.softmax(-1), batch), value(*scores, z, batch), 1e-9);
}

TEST(Loss, BinaryOfScoresAndOfSmoothedLabels) {
  const at::Tensor z = wavy({2, 3});
  const LossCase by_default{.labels = classes({1, 3}, {0, 1, 1}), .output = z};
  EXPECT_EQ(by_default.make()->kind(), LossKind::kBinary);
  const auto loss = LossCase{.options = {.label_smoothing = 0.2},
                             .head = head_of(Ending::kSigmoid),
                             .labels = numbers({1, 3}, {0, 1, 1}),
                             .output = z}
                        .make();
  EXPECT_EQ(loss->kind(), LossKind::kBinary);
  const std::vector<int64_t> labels = {0, 1, 1, 1, 0, 1};
  double expected = 0;
  for (int64_t i = 0; i < 6; ++i) {
    const double p = 1 / (1 + std::exp(-z.reshape(-1)[i].item<double>()));
    const double y = labels[static_cast<size_t>(i)] == 1 ? 0.9 : 0.1;
    expected -= (y * std::log(p) + (1 - y) * std::log(1 - p)) / 3;
  }
  const Batch batch = labelled(long_tensor(labels, {2, 3}));
  EXPECT_NEAR(value(*loss, z, batch), expected, 1e-12);
  expect_gradient(z, [&](const at::Tensor& x) { return (*loss)(x, {}, batch, {}); });
}

TEST(Loss, MeanSquareIsOfTheModelsOutput) {
  const at::Tensor z = wavy({2, 2});
  const Tensor labels = numbers({1, 2}, {0.25F, 0.5F});
  const auto plain = LossCase{.labels = labels, .output = z}.make();
  EXPECT_EQ(plain->kind(), LossKind::kMeanSquare);
  Batch batch = labelled(of(z, {0.25, 0.5, -1, 2}));
  EXPECT_NEAR(value(*plain, z, batch), ((z - batch.labels).pow(2).sum() / 2).item<double>(), 1e-12);
  const auto behind_sigmoid =
      LossCase{.head = head_of(Ending::kSigmoid), .labels = labels, .output = z}.make();
  const double expected = ((z.sigmoid() - batch.labels).pow(2).sum() / 2).item<double>();
  EXPECT_NEAR(value(*behind_sigmoid, z, batch), expected, 1e-12);
}

TEST(Loss, DistributionsAsLabels) {
  const at::Tensor z = wavy({1, 3});
  const auto loss = LossCase{.head = head_of(Ending::kSoftmax),
                             .labels = numbers({1, 3}, {0.5F, 0.25F, 0.25F}),
                             .output = z}
                        .make();
  EXPECT_EQ(loss->kind(), LossKind::kCrossEntropy);
  const at::Tensor q = of(z, {0.5, 0.25, 0.25});
  const double expected = -(q * z.log_softmax(-1)).sum().item<double>();
  EXPECT_NEAR(value(*loss, z, labelled(q)), expected, 1e-12);
}

// All paths of length 3 over {blank, 1, 2} that spell a sequence, added up.
double probability_by_paths(const at::Tensor& p, const std::vector<int64_t>& sequence) {
  double sum = 0;
  for (int64_t path = 0; path < 27; ++path) {
    const std::vector<int64_t> steps = {path / 9, path / 3 % 3, path % 3};
    std::vector<int64_t> spelled;
    double product = 1;
    for (size_t t = 0; t < 3; ++t) {
      product *= p[static_cast<int64_t>(t)][steps[t]].item<double>();
      if (steps[t] != 0 && (t == 0 || steps[t] != steps[t - 1])) spelled.push_back(steps[t]);
    }
    if (spelled == sequence) sum += product;
  }
  return sum;
}

TEST(Loss, CtcAddsUpAllPaths) {
  const at::Tensor z = wavy({4, 3, 3});
  const auto loss = LossCase{.labels = classes({1, 2}, {1, -1}), .output = z}.make();
  EXPECT_EQ(loss->kind(), LossKind::kCtc);
  const std::vector<std::vector<int64_t>> sequences = {{1, 2}, {2}, {1, 1}, {}};
  const Batch batch = labelled(long_tensor({1, 2, -1, 2, 1, 1, -1, -1}, {4, 2}));
  double expected = 0;
  for (int64_t i = 0; i < 4; ++i)
    expected -= std::log(probability_by_paths(z[i].softmax(-1), sequences[static_cast<size_t>(i)]));
  EXPECT_NEAR(value(*loss, z, batch), expected, 1e-9);
  expect_gradient(z, [&](const at::Tensor& x) { return (*loss)(x, {}, batch, {}); });

  const at::Tensor time_first = z.transpose(0, 1).contiguous();
  const auto turned =
      LossCase{.labels = classes({1, 2}, {1, -1}), .output = time_first, .samples = 4}.make();
  EXPECT_NEAR(value(*turned, time_first, batch), expected, 1e-9);
}

TEST(Loss, GradientOfTheTeachersPart) {
  // alpha T (p_s - p_t), 1503.02531 section 2.1.
  constexpr double kAlpha = 0.6, kTemperature = 3;
  const at::Tensor z = wavy({2, 4}), t = wavy({2, 4}, 1.1);
  const auto loss = LossCase{
      .distill = {.teachers = {}, .temperature = kTemperature, .weight = kAlpha},
      .labels = classes({1}, {0}),
      .output = z,
      .teachers = {{t}}}.make();
  Batch batch = labelled(long_tensor({3, 1}, {2}));
  batch.soft = loss->soft_target({t});
  const at::Tensor leaf = z.clone().requires_grad_(true);
  const at::Tensor gradient = torch::autograd::grad({(*loss)(leaf, {}, batch, {})}, {leaf})[0];
  const at::Tensor one_hot = at::one_hot(batch.labels, 4);
  const at::Tensor expected =
      (1 - kAlpha) * (z.softmax(-1) - one_hot) +
      kAlpha * kTemperature * ((z / kTemperature).softmax(-1) - (t / kTemperature).softmax(-1));
  EXPECT_TRUE(at::allclose(gradient, expected, 1e-9, 1e-9));
  expect_gradient(z, [&](const at::Tensor& x) { return (*loss)(x, {}, batch, {}); });
}

TEST(Loss, TeachersAreWeightedAndMayEndInSoftmax) {
  const at::Tensor z = wavy({2, 4}), a = wavy({2, 4}, 1.1), b = wavy({2, 4}, 2.9);
  DistillOptions distill{
      .teachers = {Teacher{.run = {}, .weight = 3}, Teacher{.run = {}, .weight = 1}}, .weight = 1};
  const LossCase test{.distill = distill, .output = z, .teachers = {{a}, {b}}};
  const auto loss = test.make();
  EXPECT_FALSE(loss->uses_labels());
  EXPECT_EQ(loss->kind(), LossKind::kCrossEntropy);
  Batch logits, probabilities;
  logits.soft = loss->soft_target({a, b});
  EXPECT_TRUE(at::allclose(logits.soft.reshape({2, 4}), (3 * a + b) / 4));
  probabilities.soft = loss->soft_target({a.softmax(-1), b.log_softmax(-1).reshape({2, 4, 1, 1})});
  EXPECT_NEAR(value(*loss, z, logits), value(*loss, z, probabilities), 1e-9);
}

TEST(Loss, WithoutLabelsTheTeacherAloneCounts) {
  const at::Tensor z = wavy({2, 4}), t = wavy({2, 4}, 1.1);
  const auto alone =
      LossCase{.distill = {.teachers = {}, .weight = 0.25}, .output = z, .teachers = {{t}}}.make();
  const auto all = LossCase{
      .distill = {.teachers = {}, .weight = 1},
      .labels = classes({1}, {0}),
      .output = z,
      .teachers = {
          {t}}}.make();
  Batch batch;
  batch.soft = alone->soft_target({t});
  EXPECT_NEAR(value(*alone, z, batch), value(*all, z, batch), 1e-12);
  EXPECT_GT(value(*alone, z, batch), 0);
  batch.soft = alone->self_target(z);
  EXPECT_NEAR(value(*alone, z, batch), 0, 1e-12);
}

TEST(Loss, TeacherOfYesAndNo) {
  const at::Tensor z = wavy({2, 3}), t = wavy({2, 3}, 1.1);
  const auto loss = LossCase{.distill = {.teachers = {}, .temperature = 1, .weight = 1},
                             .head = head_of(Ending::kSigmoid),
                             .output = z,
                             .teachers = {{t.sigmoid()}}}
                        .make();
  EXPECT_EQ(loss->kind(), LossKind::kBinary);
  Batch batch;
  batch.soft = loss->soft_target({t.sigmoid()});
  const at::Tensor p = z.sigmoid(), q = t.sigmoid();
  const at::Tensor divergence = q * (q / p).log() + (1 - q) * ((1 - q) / (1 - p)).log();
  EXPECT_NEAR(value(*loss, z, batch), divergence.sum().item<double>() / 3, 1e-8);
}

TEST(Loss, TeacherOfNumbersIsMetByMeanSquare) {
  const at::Tensor z = wavy({2, 3, 5}), t = wavy({2, 3, 5}, 1.1);
  const auto loss = LossCase{.output = z, .teachers = {{t}}}.make();
  EXPECT_EQ(loss->kind(), LossKind::kMeanSquare);
  Batch batch;
  batch.soft = loss->soft_target({t});
  EXPECT_NEAR(value(*loss, z, batch), (z - t).pow(2).sum().item<double>() / 15, 1e-9);
}

TEST(Loss, FeaturesAreRegressedAndAveraged) {
  const at::Tensor z = wavy({2, 3}), own = wavy({2, 2, 4, 4}), other = wavy({2, 3, 2, 2}, 0.7);
  const auto loss = LossCase{
      .distill = {.teachers = {}, .weight = 0, .features = {{"s", "t"}}, .feature_weight = 0.5},
      .labels = classes({1}, {0}),
      .output = z,
      .features = {own},
      .teachers = {
          {z, other}}}.make();
  ASSERT_EQ(loss->leaves().size(), 2U);
  EXPECT_EQ(loss->leaves()[0].sizes(), at::IntArrayRef({3, 2}));
  const std::vector<at::Tensor> leaves = {wavy({3, 2}), wavy({3})};
  Batch batch = labelled(long_tensor({0, 1}, {2}));
  batch.features = {other};
  const double hard = value(*loss, z, batch);
  const at::Tensor pooled = own.reshape({2, 2, 2, 2, 2, 2}).mean({3, 5});
  const at::Tensor mapped =
      at::einsum("nchw,oc->nohw", {pooled, leaves[0]}) + leaves[1].reshape({1, 3, 1, 1});
  const double expected = hard + 0.5 * (mapped - other).pow(2).sum().item<double>() / 12;
  EXPECT_NEAR((*loss)(z, {own}, batch, leaves).item<double>(), expected, 1e-9);
  expect_gradient(leaves[0], [&](const at::Tensor& weight) {
    return (*loss)(z, {own}, batch, std::vector<at::Tensor>{weight, leaves[1]});
  });
}

TEST(LossHead, IsBeforeTheEndingOfTheModel) {
  const auto head = [](const std::string& nodes, int64_t opset = 17) {
    const Model model =
        test::parse_model("g (float[2, 3] x) => (float[2, 3] y) {\n" + nodes + "\n}", opset);
    return find_head(model, "");
  };
  const LossHead plain = head("y = Relu(x)");
  EXPECT_EQ(plain.value, "y");
  EXPECT_EQ(plain.ending, Ending::kNone);
  const LossHead softmax = head("z = Relu(x)\n s = Softmax <axis = 1> (z)\n y = Identity(s)");
  EXPECT_EQ(softmax.value, "z");
  EXPECT_EQ(softmax.ending, Ending::kSoftmax);
  EXPECT_EQ(softmax.axis, 1);
  EXPECT_FALSE(softmax.flat);
  EXPECT_TRUE(head("y = Softmax <axis = 1> (x)", 11).flat);
  const LossHead moved = head("s = Softmax(x)\n y = Flatten(s)");
  EXPECT_EQ(moved.value, "y");
  EXPECT_TRUE(moved.applied);
  EXPECT_EQ(head("z = Relu(x)\n y = Sigmoid(z)").ending, Ending::kSigmoid);
  const LossHead choice = head("z = Relu(x)\n s = Softmax(z)\n y = ArgMax <axis = -1> (s)");
  EXPECT_EQ(choice.value, "z");
  EXPECT_EQ(choice.ending, Ending::kSoftmax);
}

}  // namespace
}  // namespace mcompress::train
