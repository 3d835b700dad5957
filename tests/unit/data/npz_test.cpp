// SPDX-License-Identifier: Apache-2.0
#include <bit>
#include <limits>
#include <numeric>
#include <random>
#include <thread>

#include "tests/unit/data/data_files.h"

namespace mcompress::data_test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

class NpzTest : public DataTest {
 protected:
  std::shared_ptr<const Dataset> open(
      const std::vector<std::pair<std::string, std::string>>& arrays,
      const std::vector<ValueInfo>& inputs, std::map<std::string, std::string> options = {},
      bool deflate = true) {
    return open_dataset(source(write("d.npz", zip(arrays, deflate)), std::move(options)), inputs);
  }
};

std::string rows_of_two() { return npy("<f4", "3, 2", bytes_of<float>({1, 2, 3, 4, 5, 6})); }

TEST_F(NpzTest, ReadsStoredDeflatedAndZip64) {
  for (const bool deflate : {false, true}) {
    for (const bool zip64 : {false, true}) {
      const auto path =
          write("d.npz", zip({{"x.npy", rows_of_two()},
                              {"labels.npy", npy("<i4", "3,", bytes_of<int32_t>({2, 0, 1}))}},
                             deflate, zip64));
      const auto data = open_dataset(source(path), {input("x", DataType::kFloat, {-1, 2})});
      ASSERT_EQ(data->size(), 3U);
      EXPECT_TRUE(data->batchable());
      EXPECT_THAT(floats(data->feeds(1, 2)[0].tensor), ElementsAre(3, 4, 5, 6));
      EXPECT_EQ(data->feeds(2, 1)[0].tensor.shape(), (Shape{1, 2}));
      EXPECT_EQ(data->labels(0, 3)->type(), DataType::kInt64);
      EXPECT_THAT(data->labels(1, 2)->to_int64(), ElementsAre(0, 1));
      EXPECT_EQ(data->description(), "d.npz (3 samples)");
    }
  }
}

TEST_F(NpzTest, ReadsBytesBeforeTheArchive) {
  const auto path = write("d.npz", "PK#!" + zip({{"x.npy", rows_of_two()}}, true));
  EXPECT_EQ(open_dataset(source(path), {input("x", DataType::kFloat, {-1, 2})})->size(), 3U);
}

TEST_F(NpzTest, CastsEveryStoredTypeInBothByteOrders) {
  const auto data = [](const std::string& descr, const std::string& bytes) {
    return npy(descr, "2, 2", bytes);
  };
  const std::vector<std::string> arrays = {
      data("|b1", bytes_of<uint8_t>({1, 0, 255, 2})),
      data("|u1", bytes_of<uint8_t>({1, 0, 1, 1})),
      data("|i1", bytes_of<int8_t>({1, 0, 1, 1})),
      data("<u2", bytes_of<uint16_t>({1, 0, 1, 1})),
      data(">i2", bytes_of<uint16_t>({256, 0, 256, 256})),
      data("<u4", bytes_of<uint32_t>({1, 0, 1, 1})),
      data("<i4", bytes_of<int32_t>({1, 0, 1, 1})),
      data("<u8", bytes_of<uint64_t>({1, 0, 1, 1})),
      data(">i8", bytes_of<uint64_t>({uint64_t{1} << 56, 0, uint64_t{1} << 56, uint64_t{1} << 56})),
      data("<f2", bytes_of<uint16_t>({0x3c00, 0, 0x3c00, 0x3c00})),
      data("<f8", bytes_of<double>({1, 0, 1, 1})),
      data(">f4", big(0x3f800000, 4) + big(0, 4) + big(0x3f800000, 4) + big(0x3f800000, 4))};
  for (const std::string& array : arrays) {
    for (const DataType type :
         {DataType::kFloat, DataType::kInt64, DataType::kUint8, DataType::kFloat16}) {
      const auto set = open({{"x.npy", array}}, {input("x", type, {-1, 2})});
      const Tensor fed = set->feeds(0, 2)[0].tensor;
      EXPECT_EQ(fed.type(), type);
      EXPECT_THAT(floats(fed), ElementsAre(1, 0, 1, 1)) << array.substr(0, 60);
    }
  }
}

TEST_F(NpzTest, ReadsVersionsTwoAndThreeAndColumnMajor) {
  for (const int version : {2, 3}) {
    const auto set = open({{"x.npy", npy("<f4", "1, 2", bytes_of<float>({7, 8}), false, version)}},
                          {input("x", DataType::kFloat, {-1, 2})});
    EXPECT_THAT(floats(set->feeds(0, 1)[0].tensor), ElementsAre(7, 8));
  }
  const auto set = open({{"x.npy", npy("<f4", "2, 3", bytes_of<float>({1, 4, 2, 5, 3, 6}), true)}},
                        {input("x", DataType::kFloat, {-1, 3})});
  EXPECT_THAT(floats(set->feeds(0, 2)[0].tensor), ElementsAre(1, 2, 3, 4, 5, 6));
}

TEST_F(NpzTest, TellsRowsBatchesAndConstantsApartByRank) {
  const auto set =
      open({{"x.npy", rows_of_two()},
            {"state.npy", npy("<f4", "3, 2, 1", bytes_of<float>({1, 2, 3, 4, 5, 6}))},
            {"rate.npy", npy("<i8", "", bytes_of<int64_t>({16000}))}},
           {input("x", DataType::kFloat, {1, 2}), input("state", DataType::kFloat, {2, 1}),
            input("rate", DataType::kInt64, {})});
  EXPECT_FALSE(set->batchable());
  const Feeds feeds = set->feeds(1, 1);
  EXPECT_EQ(feeds[0].tensor.shape(), (Shape{1, 2}));
  EXPECT_EQ(feeds[1].tensor.shape(), (Shape{2, 1}));
  EXPECT_THAT(floats(feeds[1].tensor), ElementsAre(3, 4));
  EXPECT_EQ(feeds[2].tensor.shape(), Shape{});
  EXPECT_THAT(feeds[2].tensor.to_int64(), ElementsAre(16000));
}

TEST_F(NpzTest, FillsTheLastFixedBatch) {
  const auto set = open(
      {{"x.npy", rows_of_two()}, {"labels.npy", npy("<i8", "3,", bytes_of<int64_t>({5, 6, 7}))}},
      {input("x", DataType::kFloat, {2, 2})});
  ASSERT_EQ(set->size(), 2U);
  EXPECT_EQ(set->rows_per_sample(), 2U);
  EXPECT_EQ(set->rows(0), 2U);
  EXPECT_EQ(set->rows(1), 1U);
  EXPECT_FALSE(set->batchable());
  EXPECT_THAT(floats(set->feeds(1, 1)[0].tensor), ElementsAre(5, 6, 5, 6));
  EXPECT_THAT(set->labels(1, 1)->to_int64(), ElementsAre(7));
}

TEST_F(NpzTest, AppliesScaleMeanAndStd) {
  const auto set = open({{"x.npy", npy("|u1", "1, 2, 1, 2", bytes_of<uint8_t>({0, 255, 51, 102}))}},
                        {input("x", DataType::kFloat, {-1, 2, 1, 2})},
                        {{"scale", "1/255"}, {"mean", "[0.5, 0]"}, {"std", "[0.25, 0.1]"}});
  const std::vector<float> values = floats(set->feeds(0, 1)[0].tensor);
  EXPECT_FLOAT_EQ(values[0], -2);
  EXPECT_FLOAT_EQ(values[1], 2);
  EXPECT_FLOAT_EQ(values[2], 2);
  EXPECT_FLOAT_EQ(values[3], 4);
}

TEST_F(NpzTest, LimitsSamples) {
  const auto set =
      open({{"x.npy", rows_of_two()}}, {input("x", DataType::kFloat, {-1, 2})}, {{"limit", "2"}});
  EXPECT_EQ(set->size(), 2U);
  EXPECT_EQ(set->description(), "d.npz (2 of 3 samples)");
}

TEST_F(NpzTest, NamesWhatIsWrong) {
  const std::vector<ValueInfo> two = {input("x", DataType::kFloat, {-1, 2})};
  const auto error = [&](const std::vector<std::pair<std::string, std::string>>& arrays,
                         const std::vector<ValueInfo>& inputs,
                         std::map<std::string, std::string> options = {}) {
    return error_of([&] { open(arrays, inputs, options); });
  };
  EXPECT_THAT(error({{"xs.npy", rows_of_two()}}, {input("x2", DataType::kFloat, {-1, 2})}),
              HasSubstr("no array for input 'x2'; there are 'xs'"));
  EXPECT_THAT(error({{"x.npy", rows_of_two()}}, {input("x", DataType::kFloat, {-1, 3})}),
              HasSubstr("x: dimension 1 is 2"));
  EXPECT_THAT(error({{"x.npy", rows_of_two()}}, {input("x", DataType::kFloat, {-1, 3, 8, 8})}),
              HasSubstr("rank 2"));
  EXPECT_THAT(error({{"x.npy", npy("<f4", "0, 2", "")}}, two), HasSubstr("no samples"));
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(error({{"x.npy", npy("<f4", "3, 2", bytes_of<float>({1, 2, 3, 4, 5, nan}))}}, two),
              HasSubstr("NaN in sample 2"));
  EXPECT_THAT(error({{"x.npy", npy("<f2", "2, 2", bytes_of<uint16_t>({0, 0, 0, 0xfc00}))}}, two),
              HasSubstr("infinity in sample 1"));
  EXPECT_THAT(
      error({{"x.npy", rows_of_two()}, {"labels.npy", npy("<i8", "2,", bytes_of<int64_t>({1, 2}))}},
            two),
      HasSubstr("labels"));
  EXPECT_THAT(error({{"x.npy", npy("<U3", "3, 2", std::string(72, 'a'))}}, two),
              HasSubstr("'<U3', not numbers"));
  EXPECT_THAT(
      error({{"x.npy", rows_of_two()}}, two, {{"limt", "2"}}),
      StartsWith("3: --data calibration: 'limt' is no option of npz data (did you mean 'limit'?"));
  EXPECT_THAT(error({{"x.npy", rows_of_two()}}, two, {{"scale", "1/0"}}), StartsWith("3:"));
  EXPECT_THAT(error({{"x.npy", npy("<f4", "1, 2", bytes_of<float>({1, 2.5F}))}},
                    {input("x", DataType::kInt64, {-1, 2})}),
              HasSubstr("with fractions"));
  EXPECT_THAT(error({{"x.npy", npy("<i4", "1, 2", bytes_of<int32_t>({1, 300}))}},
                    {input("x", DataType::kUint8, {-1, 2})}),
              HasSubstr("uint8"));
  EXPECT_THAT(error({{"x.npy", rows_of_two()},
                     {"y.npy", npy("<f4", "2, 2", bytes_of<float>({1, 2, 3, 4}))}},
                    {two[0], input("y", DataType::kFloat, {-1, 2})}),
              HasSubstr("y: 2 samples"));
  EXPECT_THAT(error_of([&] { open_dataset(source(folder_ / "none.npz"), two); }), StartsWith("5:"));
  EXPECT_THAT(error_of([&] { open_dataset(source(write("e.npz", "")), two); }), HasSubstr("empty"));
}

TEST_F(NpzTest, WarnsAboutConstantData) {
  const auto set = open({{"x.npy", npy("<f4", "2, 2", bytes_of<float>({3, 3, 3, 3}))}},
                        {input("x", DataType::kFloat, {-1, 2})});
  ASSERT_EQ(set->warnings().size(), 1U);
  EXPECT_THAT(set->warnings()[0], HasSubstr("every value of 2 samples is 3"));
}

TEST_F(NpzTest, FindsChangedBytes) {
  std::string file = zip({{"x.npy", rows_of_two()}}, false);
  file[file.find("\x93NUMPY") + rows_of_two().size() - 1] ^= 1;
  const auto path = write("d.npz", file);
  EXPECT_THAT(error_of([&] {
                open_dataset(source(path), {input("x", DataType::kFloat, {-1, 2})});
              }),
              HasSubstr("CRC"));
}

/// 6 MB, so that the inflater takes several snapshots.
TEST_F(NpzTest, ReadsLargeDeflatedArraysInAnyOrderFromThreads) {
  constexpr int64_t kRows = 1500, kWidth = 1000;
  std::vector<float> values(kRows * kWidth);
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<float>((i * 2654435761U) % 1000003);
  const auto set = open({{"x.npy", npy("<f4", "1500, 1000", bytes_of(values))}},
                        {input("x", DataType::kFloat, {-1, kWidth})});
  const auto check = [&](uint32_t seed) {
    std::mt19937 random(seed);
    for (int i = 0; i < 40; ++i) {
      const size_t row = random() % kRows;
      const std::vector<float> got = floats(set->feeds(row, 1)[0].tensor);
      if (!std::equal(got.begin(), got.end(),
                      values.begin() + static_cast<std::ptrdiff_t>(row * kWidth)))
        return false;
    }
    return true;
  };
  bool other = false;
  std::thread thread([&] { other = check(1); });
  EXPECT_TRUE(check(2));
  thread.join();
  EXPECT_TRUE(other);
}

TEST_F(NpzTest, SurvivesTruncationAtEveryLength) {
  for (const bool deflate : {false, true}) {
    const std::string whole = zip(
        {{"x.npy", rows_of_two()}, {"labels.npy", npy("<i4", "3,", bytes_of<int32_t>({2, 0, 1}))}},
        deflate, deflate);
    for (size_t length = 0; length < whole.size(); ++length) {
      const auto path = write("cut.npz", whole.substr(0, length));
      EXPECT_THAT(error_of([&] {
                    open_dataset(source(path), {input("x", DataType::kFloat, {-1, 2})});
                  }),
                  StartsWith("5:"))
          << length;
    }
  }
}

TEST_F(NpzTest, SurvivesRandomChanges) {
  const std::string whole = zip({{"x.npy", rows_of_two()}}, true);
  std::mt19937 random(7);
  for (int round = 0; round < 400; ++round) {
    std::string bytes = whole;
    for (int change = 0; change < 3; ++change)
      bytes[random() % bytes.size()] = static_cast<char>(random());
    const auto path = write("bad.npz", bytes);
    const std::string error = error_of([&] {
      open_dataset(source(path), {input("x", DataType::kFloat, {-1, 2})});
    });
    EXPECT_TRUE(error == "no error" || error.starts_with("5:")) << error;
  }
}

TEST_F(NpzTest, ReadsASingleNpy) {
  const auto path = write("x.npy", rows_of_two());
  EXPECT_EQ(open_dataset(source(path), {input("any", DataType::kFloat, {-1, 2})})->size(), 3U);
  for (size_t length = 0; length < rows_of_two().size(); ++length) {
    const auto cut = write("cut.npy", rows_of_two().substr(0, length));
    EXPECT_THAT(error_of([&] {
                  open_dataset(source(cut), {input("any", DataType::kFloat, {-1, 2})});
                }),
                StartsWith("5:"));
  }
}

}  // namespace
}  // namespace mcompress::data_test
