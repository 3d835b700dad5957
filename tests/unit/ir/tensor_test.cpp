// SPDX-License-Identifier: Apache-2.0
#include "mcompress/tensor.h"

#include <gtest/gtest.h>

#include <limits>

namespace mcompress {
namespace {

TEST(Tensor, CopiesShareThePayloadUntilOneIsWritten) {
  Tensor a = Tensor::from<float>({2}, std::vector<float>{1, 2});
  const Tensor b = a;
  EXPECT_EQ(a.bytes().data(), b.bytes().data());
  a.mutate_as<float>()[0] = 5;
  EXPECT_EQ(b.as<float>()[0], 1);
  EXPECT_EQ(a.as<float>()[0], 5);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(a.bytes().data()) % 64, 0u);
}

TEST(Tensor, WrongSizeAndWrongTypeAreBugs) {
  const std::vector<float> two = {1, 2};
  EXPECT_THROW(Tensor::from<float>({3}, two), Error);
  EXPECT_THROW(Tensor::from<float>({2}, two).as<double>(), Error);
  EXPECT_THROW(Tensor::from<float>({2}, two).reshaped({3}), Error);
}

TEST(Tensor, ElementCountRefusesUnknownAndOverflow) {
  EXPECT_EQ(element_count({}), 1);
  EXPECT_EQ(element_count({3, 0, 2}), 0);
  EXPECT_THROW(element_count({-1, 2}), Error);
  EXPECT_THROW(element_count({int64_t{1} << 40, int64_t{1} << 40}), Error);
}

TEST(Tensor, PackedTypesReadLowBitsFirst) {
  const std::byte bytes[] = {std::byte{0xA7}};
  const Tensor u4(DataType::kUint4, {2}, bytes);
  EXPECT_EQ(u4.to_int64(), (std::vector<int64_t>{7, 10}));
  const Tensor i4(DataType::kInt4, {2}, bytes);
  EXPECT_EQ(i4.to_int64(), (std::vector<int64_t>{7, -6}));
  const Tensor u2(DataType::kUint2, {4}, bytes);
  EXPECT_EQ(u2.to_int64(), (std::vector<int64_t>{3, 1, 2, 2}));
  EXPECT_EQ(packed_bytes(DataType::kUint4, 3), 2u);
}

TEST(Tensor, CastRoundsHalfToEvenAndSaturates) {
  const Tensor t = Tensor::from<float>({5}, std::vector<float>{0.5f, 1.5f, -300.f, 300.f, 2.6f});
  EXPECT_EQ(t.cast(DataType::kInt8).to_int64(), (std::vector<int64_t>{0, 2, -128, 127, 3}));
  EXPECT_EQ(t.cast(DataType::kUint4).to_int64(), (std::vector<int64_t>{0, 2, 0, 15, 3}));
  const Tensor nan = Tensor::scalar(std::numeric_limits<float>::quiet_NaN());
  EXPECT_EQ(nan.cast(DataType::kInt32).to_int64()[0], 0);
  const int64_t large = (int64_t{1} << 60) + 1;
  EXPECT_EQ(Tensor::scalar(large).cast(DataType::kUint64).to_int64()[0], large);
}

TEST(Tensor, HalfRoundTrips) {
  const Tensor t = Tensor::from<float>({3}, std::vector<float>{1.5f, -2.25f, 65504.f});
  EXPECT_EQ(t.cast(DataType::kFloat16).to_float(), t.to_float());
  EXPECT_EQ(t.cast(DataType::kBfloat16).to_float()[0], 1.5f);
}

TEST(Tensor, FloatsAreNotIntegers) { EXPECT_THROW(Tensor::scalar(1.0f).to_int64(), Error); }

}  // namespace
}  // namespace mcompress
