// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <set>

#include "mcompress/error.h"
#include "support/parallel_for.h"
#include "train/loss.h"

namespace mcompress::train {
namespace {

Batch images(int64_t samples, int64_t height = 5, int64_t width = 6) {
  Batch batch;
  const int64_t count = samples * 2 * height * width;
  batch.inputs.emplace_back("ids", at::arange(samples));
  batch.inputs.emplace_back("x",
                            at::arange(count, at::kFloat).reshape({samples, 2, height, width}));
  batch.labels = at::arange(samples);
  return batch;
}
const at::Tensor& pixels(const Batch& batch) { return batch.inputs[1].second; }

/// Moved by (down, right), borders repeated.
at::Tensor moved(const at::Tensor& image, int64_t down, int64_t right) {
  const at::Tensor rows = (at::arange(image.size(1)) + down).clamp(0, image.size(1) - 1);
  const at::Tensor columns = (at::arange(image.size(2)) + right).clamp(0, image.size(2) - 1);
  return image.index_select(1, rows).index_select(2, columns);
}

TEST(Augment, ShiftsBySomethingWithinReach) {
  const Batch before = images(64);
  Batch after = images(64);
  augment(after, {.shift = 1}, 1, 2);
  std::set<std::pair<int64_t, int64_t>> seen;
  for (int64_t i = 0; i < 64; ++i) {
    for (int64_t down = -1; down <= 1; ++down) {
      for (int64_t right = -1; right <= 1; ++right) {
        if (at::equal(pixels(after)[i], moved(pixels(before)[i], down, right)))
          seen.emplace(down, right);
      }
    }
  }
  EXPECT_EQ(seen.size(), 9U);
  EXPECT_TRUE(at::equal(after.inputs[0].second, before.inputs[0].second));
}

std::string refusal(const Batch& batch, const AugmentOptions& options) {
  try {
    check_augmentation(batch, options);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kRecipe);
    return error.message();
  }
  return "";
}

TEST(Augment, RefusesToMoveImagesOutOfSight) {
  EXPECT_EQ(refusal(images(1), {.shift = 4, .crop = 4}), "");
  EXPECT_EQ(refusal(images(1), {.shift = 5}), "shift: 5 moves images of 5 x 6 out of sight");
  EXPECT_EQ(refusal(images(1), {.crop = 9}), "crop: 9 moves images of 5 x 6 out of sight");
}

TEST(Augment, WhatIsNoImageGetsNoiseAndMixupOnly) {
  Batch rows;
  rows.inputs.emplace_back("ids", at::arange(6).reshape({2, 3}));
  EXPECT_NE(refusal(rows, {.noise = 0.1}), "") << "no floats";
  rows.inputs.emplace_back("x", at::arange(8, at::kFloat).reshape({2, 4}));
  EXPECT_NE(refusal(rows, {.flip = true}), "");
  EXPECT_EQ(refusal(rows, {.noise = 0.1, .mixup = 1}), "");
  const at::Tensor before = rows.inputs[1].second;
  augment(rows, {.noise = 0.1}, 1, 2);
  EXPECT_EQ(rows.inputs[1].second.sizes(), before.sizes());
  EXPECT_FALSE(at::equal(rows.inputs[1].second, before));
  EXPECT_TRUE(at::allclose(rows.inputs[1].second, before, 0, 1));
}

TEST(Augment, FlipsEveryOther) {
  const Batch before = images(64);
  Batch after = images(64);
  augment(after, {.flip = true}, 1, 2);
  int flipped = 0;
  for (int64_t i = 0; i < 64; ++i) {
    const bool same = at::equal(pixels(after)[i], pixels(before)[i]);
    if (!same) {
      ++flipped;
      EXPECT_TRUE(at::equal(pixels(after)[i], pixels(before)[i].flip(2)));
    }
  }
  EXPECT_GT(flipped, 20);
  EXPECT_LT(flipped, 44);
}

TEST(Augment, ShareLeavesTheOthersAlone) {
  const Batch before = images(64);
  Batch after = images(64);
  augment(after, {.noise = 0.1, .share = 0.25}, 1, 2);
  int changed = 0;
  for (int64_t i = 0; i < 64; ++i)
    changed += at::equal(pixels(after)[i], pixels(before)[i]) ? 0 : 1;
  EXPECT_GT(changed, 8);
  EXPECT_LT(changed, 26);
}

TEST(Augment, NoiseIsAShareOfTheImagesDeviation) {
  const Batch before = images(8, 30, 30);
  Batch after = images(8, 30, 30);
  augment(after, {.noise = 0.1}, 1, 2);
  for (int64_t i = 0; i < 8; ++i) {
    const at::Tensor noise = (pixels(after)[i] - pixels(before)[i]).to(at::kDouble);
    const double scale = pixels(before)[i].to(at::kDouble).std().item<double>();
    EXPECT_NEAR(noise.std().item<double>() / scale, 0.1, 0.01);
    EXPECT_NEAR(noise.mean().item<double>() / scale, 0, 0.01);
  }
}

TEST(Augment, MixesPairsAndTheirLabels) {
  const Batch before = images(16);
  double sum = 0;
  for (uint64_t step = 0; step < 200; ++step) {
    Batch after = images(16);
    augment(after, {.mixup = 0.4}, 1, step);
    sum += after.mixed_share;
    ASSERT_TRUE(after.mixed_share >= 0 && after.mixed_share <= 1);
    std::set<int64_t> partners;
    for (int64_t i = 0; i < 16; ++i) partners.insert(after.mixed_labels[i].item<int64_t>());
    ASSERT_EQ(partners.size(), 16U);
    const at::Tensor expected =
        pixels(before) * after.mixed_share +
        pixels(before).index_select(0, after.mixed_labels) * (1 - after.mixed_share);
    ASSERT_TRUE(at::allclose(pixels(after), expected));
  }
  EXPECT_NEAR(sum / 200, 0.5, 0.08);
}

TEST(Augment, SameForAnyNumberOfThreadsAndOtherForEachStep) {
  const AugmentOptions all{
      .shift = 2, .flip = true, .crop = 1, .noise = 0.05, .share = 0.5, .mixup = 0.2};
  const auto run = [&](int threads, uint64_t step) {
    set_thread_count(threads);
    Batch batch = images(32);
    augment(batch, all, 5, step);
    set_thread_count(0);
    return pixels(batch);
  };
  EXPECT_TRUE(at::equal(run(1, 0), run(4, 0)));
  EXPECT_FALSE(at::equal(run(1, 0), run(1, 1)));
}

TEST(Augment, BytesStayBytes) {
  Batch batch;
  batch.inputs.emplace_back("x", at::full({2, 1, 4, 4}, 250, at::kByte));
  batch.inputs[0].second[0][0][0][0] = 0;
  augment(batch, {.noise = 2}, 1, 2);
  EXPECT_EQ(batch.inputs[0].second.scalar_type(), at::kByte);
  EXPECT_GE(batch.inputs[0].second[0].max().item<int>(), 250);
}

}  // namespace
}  // namespace mcompress::train
