// SPDX-License-Identifier: Apache-2.0
#include "numerics/moments.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "mcompress/error.h"
#include "numerics/linear_algebra.h"

namespace mcompress::numerics {
namespace {

std::vector<float> random_values(int64_t count, std::mt19937& engine) {
  std::normal_distribution<float> normal(0.5F, 1.0F);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = normal(engine);
  return values;
}

TEST(InputMoments, BatchesAddUp) {
  std::mt19937 engine(1);
  const std::vector<float> rows = random_values(100 * 7, engine);
  InputMoments whole(7);
  whole.add(rows);
  InputMoments parts(7);
  InputMoments rest(7);
  parts.add(std::span<const float>(rows).first(30 * 7));
  rest.add(std::span<const float>(rows).subspan(30 * 7));
  parts.merge(rest);
  EXPECT_EQ(parts.rows(), 100);
  const std::vector<double> gram = whole.gram();
  const std::vector<double> merged = parts.gram();
  for (size_t i = 0; i < 7; ++i) {
    double mean = 0;
    for (size_t r = 0; r < 100; ++r) mean += rows[r * 7 + i] / 100.0;
    EXPECT_NEAR(whole.mean()[i], mean, 1e-12);
    EXPECT_EQ(whole.mean_square()[i], gram[i * 7 + i]);
    for (size_t j = 0; j < 7; ++j) {
      double sum = 0;
      for (size_t r = 0; r < 100; ++r) {
        sum += static_cast<double>(rows[r * 7 + i]) * rows[r * 7 + j] / 100.0;
      }
      EXPECT_NEAR(gram[i * 7 + j], sum, 1e-6);
      EXPECT_NEAR(merged[i * 7 + j], sum, 1e-6);
    }
  }
  EXPECT_EQ(InputMoments(3).gram(), std::vector<double>(9, 0.0));
}

// Convolution by its definition, for up to three axes.
struct Case {
  int64_t batch, channels, outputs;
  std::vector<int64_t> spatial;
  ConvGeometry geometry;
};

Case random_case(std::mt19937& engine) {
  const auto pick = [&](int64_t low, int64_t high) {
    return low + static_cast<int64_t>(engine() % static_cast<uint32_t>(high - low + 1));
  };
  Case c;
  const auto axes = static_cast<size_t>(pick(1, 3));
  c.geometry.groups = pick(1, 3);
  c.batch = pick(1, 2);
  c.channels = c.geometry.groups * pick(1, 3);
  c.outputs = c.geometry.groups * pick(1, 2);
  c.geometry.pads.resize(2 * axes);
  for (int64_t& pad : c.geometry.pads) pad = pick(0, 2);
  for (size_t axis = 0; axis < axes; ++axis) {
    c.geometry.kernel.push_back(pick(1, 3));
    c.geometry.strides.push_back(pick(1, 3));
    c.geometry.dilations.push_back(pick(1, 2));
    c.spatial.push_back(pick(5, 7));
  }
  return c;
}

double direct(const Case& c, const std::vector<float>& input, const std::vector<float>& weight,
              int64_t sample, int64_t output, std::vector<int64_t> position) {
  std::vector<int64_t> spatial = c.spatial;
  ConvGeometry g = c.geometry;
  const size_t axes = spatial.size();
  std::vector<int64_t> begin_pads(g.pads.begin(), g.pads.begin() + static_cast<ptrdiff_t>(axes));
  for (size_t axis = axes; axis < 3; ++axis) {  // unused axes of size 1
    spatial.push_back(1);
    g.kernel.push_back(1);
    g.strides.push_back(1);
    g.dilations.push_back(1);
    begin_pads.push_back(0);
    position.push_back(0);
  }
  const int64_t in_group = c.channels / g.groups;
  const int64_t first = output / (c.outputs / g.groups) * in_group;
  double sum = 0;
  size_t w = static_cast<size_t>(output * in_group * g.kernel[0] * g.kernel[1] * g.kernel[2]);
  for (int64_t channel = first; channel < first + in_group; ++channel) {
    for (int64_t i = 0; i < g.kernel[0]; ++i) {
      for (int64_t j = 0; j < g.kernel[1]; ++j) {
        for (int64_t k = 0; k < g.kernel[2]; ++k, ++w) {
          const int64_t x = position[0] * g.strides[0] + i * g.dilations[0] - begin_pads[0];
          const int64_t y = position[1] * g.strides[1] + j * g.dilations[1] - begin_pads[1];
          const int64_t z = position[2] * g.strides[2] + k * g.dilations[2] - begin_pads[2];
          if (x < 0 || y < 0 || z < 0 || x >= spatial[0] || y >= spatial[1] || z >= spatial[2]) {
            continue;
          }
          const int64_t at =
              (((sample * c.channels + channel) * spatial[0] + x) * spatial[1] + y) * spatial[2] +
              z;
          sum += static_cast<double>(input[static_cast<size_t>(at)]) * weight[w];
        }
      }
    }
  }
  return sum;
}

TEST(Im2col, RowsTimesWeightsIsTheConvolution) {
  std::mt19937 engine(2);
  for (int repetition = 0; repetition < 300; ++repetition) {
    const Case c = random_case(engine);
    int64_t plane = 1;
    for (const int64_t size : c.spatial) plane *= size;
    const int64_t width = c.channels / c.geometry.groups * c.geometry.taps();
    const std::vector<float> input = random_values(c.batch * c.channels * plane, engine);
    const std::vector<float> weight = random_values(c.outputs * width, engine);
    const std::vector<int64_t> shape = c.geometry.output_shape(c.spatial);
    int64_t positions = 1;
    for (const int64_t size : shape) positions *= size;
    for (int64_t output = 0; output < c.outputs; ++output) {
      const int64_t group = output / (c.outputs / c.geometry.groups);
      const std::vector<float> rows =
          im2col(input, c.batch, c.channels, c.spatial, c.geometry, group);
      ASSERT_EQ(rows.size(), static_cast<size_t>(c.batch * positions * width));
      for (int64_t r = 0; r < c.batch * positions; r += 3) {
        double sum = 0;
        for (int64_t k = 0; k < width; ++k) {
          sum += static_cast<double>(rows[static_cast<size_t>(r * width + k)]) *
                 weight[static_cast<size_t>(output * width + k)];
        }
        std::vector<int64_t> position(shape.size());
        int64_t rest = r % positions;
        for (size_t axis = shape.size(); axis-- > 0;) {
          position[axis] = rest % shape[axis];
          rest /= shape[axis];
        }
        ASSERT_NEAR(sum, direct(c, input, weight, r / positions, output, position), 1e-9);
      }
    }
  }
}

TEST(Im2col, EveryNthRow) {
  std::mt19937 engine(3);
  const std::vector<float> input = random_values(2 * 1 * 5, engine);
  ConvGeometry geometry;
  geometry.kernel = {3};
  const std::vector<int64_t> spatial = {5};
  const std::vector<float> all = im2col(input, 2, 1, spatial, geometry, 0);
  const std::vector<float> some = im2col(input, 2, 1, spatial, geometry, 0, 4);
  ASSERT_EQ(some.size(), 6U);
  for (size_t k = 0; k < 3; ++k) {
    EXPECT_EQ(some[k], all[k]);
    EXPECT_EQ(some[3 + k], all[4 * 3 + k]);
  }
}

TEST(Im2col, KernelLargerThanTheInput) {
  ConvGeometry geometry;
  geometry.kernel = {3};
  EXPECT_THROW(geometry.output_shape(std::vector<int64_t>{2}), Error);
}

}  // namespace
}  // namespace mcompress::numerics
