// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/data/data_files.h"

namespace mcompress::data_test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

class IdxTest : public DataTest {};

std::string images() {
  return std::string("\0\0\x08\x03", 4) + big(2, 4) + big(2, 4) + big(2, 4) +
         bytes_of<uint8_t>({0, 51, 102, 153, 204, 255, 0, 51});
}
std::string labels() {
  return std::string("\0\0\x08\x01", 4) + big(2, 4) + bytes_of<uint8_t>({7, 3});
}

TEST_F(IdxTest, ReadsPlainAndGzippedWithLabelsBeside) {
  constexpr int kGzip = 31;
  write("a-images-idx3-ubyte", images());
  write("a-labels-idx1-ubyte", labels());
  write("b-images-idx3-ubyte.gz", deflated(images(), kGzip));
  write("b-labels-idx1-ubyte.gz", deflated(labels(), kGzip));
  for (const char* name : {"a-images-idx3-ubyte", "b-images-idx3-ubyte.gz"}) {
    for (const Shape& shape :
         {Shape{-1, 1, 2, 2}, Shape{-1, 4}, Shape{-1, 2, 2}, Shape{1, 2, 2, 1}}) {
      const auto set = open_dataset(source(folder_ / name, {{"scale", "1/255"}}),
                                    {input("x", DataType::kFloat, shape)});
      ASSERT_EQ(set->size(), 2U);
      Shape fed = shape;
      fed[0] = 1;
      EXPECT_EQ(set->feeds(1, 1)[0].tensor.shape(), fed);
      EXPECT_FLOAT_EQ(floats(set->feeds(1, 1)[0].tensor)[0], 0.8F);
      EXPECT_THAT(set->labels(0, 2)->to_int64(), ElementsAre(7, 3));
    }
  }
}

TEST_F(IdxTest, TakesNamedFiles) {
  DataSource named = source("");
  named.kind = "idx";
  named.files = {{"images", write("pictures", images())}, {"labels", write("classes", labels())}};
  EXPECT_TRUE(open_dataset(named, {input("x", DataType::kFloat, {-1, 4})})->has_labels());
}

TEST_F(IdxTest, SurvivesTruncationAtEveryLength) {
  const std::string zipped = deflated(images(), 31);
  for (const std::string& whole : {images(), zipped}) {
    for (size_t length = 0; length < whole.size(); ++length) {
      DataSource cut = source(write("cut.gz", whole.substr(0, length)));
      cut.kind = "idx";
      // A gzip file without its end mark and checksum still holds all values.
      const std::string error = error_of([&] {
        open_dataset(cut, {input("x", DataType::kFloat, {-1, 4})});
      });
      const bool values_are_whole = whole == zipped && length + 12 >= whole.size();
      EXPECT_TRUE(error.starts_with("5:") || values_are_whole) << length << " " << error;
    }
  }
}

TEST_F(IdxTest, NamesWhatIsWrong) {
  DataSource odd = source(write("x", std::string("\0\0\x07\x01", 4) + big(1, 4) + "a"));
  odd.kind = "idx";
  EXPECT_THAT(error_of([&] {
                open_dataset(odd, {input("x", DataType::kFloat, {-1, 1})});
              }),
              HasSubstr("not an IDX file"));
  EXPECT_THAT(error_of([&] {
                open_dataset(source(write("i", images())), {input("x", DataType::kFloat, {-1, 5})});
              }),
              StartsWith("5:"));
}

}  // namespace
}  // namespace mcompress::data_test
