// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/data/data_files.h"

namespace mcompress::data_test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class CsvTest : public DataTest {
 protected:
  std::shared_ptr<const Dataset> open(const std::string& text, const std::vector<ValueInfo>& inputs,
                                      std::map<std::string, std::string> options = {}) {
    return open_dataset(source(write("t.csv", text), std::move(options)), inputs);
  }
  std::vector<ValueInfo> two_ = {input("x", DataType::kFloat, {-1, 2})};
};

TEST_F(CsvTest, TakesTheLeftOverOrNamedColumnAsLabel) {
  const auto last = open("1,2,0\n3,4,1\n", two_);
  EXPECT_THAT(floats(last->feeds(0, 2)[0].tensor), ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(last->labels(0, 2)->to_int64(), ElementsAre(0, 1));
  const auto named = open("a;label;b\r\n1;5;2\r\n3;6;4\r\n\r\n", two_);
  EXPECT_THAT(floats(named->feeds(0, 2)[0].tensor), ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(named->labels(0, 2)->to_int64(), ElementsAre(5, 6));
  EXPECT_FALSE(open("1\t2\n3\t4\n", two_)->has_labels());
  const auto words = open("a,b,kind\n1,2,\"pear, red\"\n3,4,apple\n", two_);
  EXPECT_THAT(words->labels(0, 2)->to_int64(), ElementsAre(1, 0));
  const auto numbers = open("a,b,y\n1,2,0.5\n3,4,1\n", two_);
  EXPECT_EQ(numbers->labels(0, 1)->type(), DataType::kFloat);
  EXPECT_THAT(open("y,a,b\n9,1,2\n8,3,4\n", two_, {{"label", "y"}})->labels(0, 2)->to_int64(),
              ElementsAre(9, 8));
}

TEST_F(CsvTest, FeedsSeveralInputsByColumnName) {
  const auto set =
      open("age,label,size\n1,0,2\n3,1,4\n",
           {input("size", DataType::kInt64, {-1, 1}), input("age", DataType::kFloat, {-1, 1})});
  EXPECT_THAT(floats(set->feeds(0, 2)[0].tensor), ElementsAre(2, 4));
  EXPECT_THAT(floats(set->feeds(0, 2)[1].tensor), ElementsAre(1, 3));
}

TEST_F(CsvTest, NamesLineAndColumn) {
  const auto error = [&](const std::string& text, std::map<std::string, std::string> options = {}) {
    return error_of([&] { open(text, two_, options); });
  };
  EXPECT_THAT(error("1,2\n3\n"), HasSubstr("t.csv:2: 1 columns"));
  EXPECT_THAT(error("a,b\n1,2\n3,x\n"), HasSubstr("t.csv:3: 'x' in column 'b' is no number"));
  EXPECT_THAT(error("1,2,3,4\n"), HasSubstr("4 columns of values, the model wants 2"));
  EXPECT_THAT(error("1,nan\n2,3\n"), HasSubstr("NaN in sample 0"));
  EXPECT_THAT(error("a,b\n"), HasSubstr("5:"));
  EXPECT_THAT(error("1,\"2\n"), HasSubstr("left open"));
  EXPECT_THAT(error(std::string("1,2\n\0\0", 6)), HasSubstr("not text"));
  EXPECT_THAT(error("a,b,c\n1,2,3\n", {{"label", "d"}}), HasSubstr("no column 'd'"));
}

}  // namespace
}  // namespace mcompress::data_test
