// SPDX-License-Identifier: Apache-2.0
#include <onnx/onnx_pb.h>

#include "tests/unit/data/data_files.h"

namespace mcompress::data_test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

class SourcesTest : public DataTest {};

std::string tensor_file(const std::string& name, std::vector<int64_t> dims,
                        const std::vector<float>& values) {
  onnx::TensorProto proto;
  proto.set_name(name);
  proto.set_data_type(onnx::TensorProto::FLOAT);
  for (const int64_t dimension : dims) proto.add_dims(dimension);
  for (const float value : values) proto.add_float_data(value);
  return proto.SerializeAsString();
}

TEST_F(SourcesTest, ReadsOnnxTestDataSetsByNameThenPlace) {
  write("model/test_data_set_0/input_0.pb", tensor_file("b", {2}, {1, 2}));
  write("model/test_data_set_0/input_1.pb", tensor_file("a", {1}, {3}));
  write("model/test_data_set_0/output_0.pb", tensor_file("y", {2}, {4, 5}));
  const auto set = open_dataset(source(folder_ / "model"), {input("a", DataType::kFloat, {1}),
                                                            input("b", DataType::kFloat, {2})});
  ASSERT_EQ(set->size(), 1U);
  EXPECT_FALSE(set->batchable());
  EXPECT_THAT(floats(set->feeds(0, 1)[0].tensor), ElementsAre(3));
  EXPECT_THAT(floats(set->feeds(0, 1)[1].tensor), ElementsAre(1, 2));
  EXPECT_EQ(set->labels(0, 1)->shape(), (Shape{1, 2}));
  const auto by_place =
      open_dataset(source(folder_ / "model" / "test_data_set_0"),
                   {input("p", DataType::kFloat, {2}), input("q", DataType::kDouble, {1})});
  EXPECT_THAT(floats(by_place->feeds(0, 1)[1].tensor), ElementsAre(3));
}

TEST_F(SourcesTest, NamesWhatIsWrongInTestDataSets) {
  const std::vector<ValueInfo> inputs = {input("a", DataType::kFloat, {2})};
  const std::string whole = tensor_file("a", {2}, {1, 2});
  // The name comes last; a tensor without one is whole.
  const size_t nameless = whole.size() - 3;
  for (size_t length = 1; length < nameless; ++length) {
    write("m/test_data_set_0/input_0.pb", whole.substr(0, length));
    EXPECT_THAT(error_of([&] { open_dataset(source(folder_ / "m"), inputs); }), StartsWith("5:"))
        << length;
  }
  write("m/test_data_set_0/input_0.pb", tensor_file("a", {3}, {1, 2, 3}));
  EXPECT_THAT(error_of([&] { open_dataset(source(folder_ / "m"), inputs); }), HasSubstr("a: [3]"));
}

TEST_F(SourcesTest, RandomNumbersDependOnSeedAndIndexOnly) {
  DataSource noise = source("", {{"count", "4"}, {"seed", "3"}, {"dims", "len=5"}});
  noise.kind = "random";
  ValueInfo info = input("x", DataType::kFloat, {-1, -1});
  info.dim_params = {"N", "len"};
  const auto set = open_dataset(noise, {info});
  EXPECT_EQ(set->feeds(0, 1)[0].tensor.shape(), (Shape{1, 5}));
  const std::vector<float> both = floats(set->feeds(1, 2)[0].tensor),
                           one = floats(set->feeds(2, 1)[0].tensor);
  EXPECT_TRUE(std::equal(one.begin(), one.end(), both.begin() + 5));
  EXPECT_EQ(set->warnings().size(), 1U);
  noise.options["seed"] = "4";
  EXPECT_NE(floats(open_dataset(noise, {info})->feeds(2, 1)[0].tensor), one);
  EXPECT_NE(open_dataset(noise, {info})->fingerprint(), set->fingerprint());
  noise.options.erase("dims");
  EXPECT_THAT(error_of([&] { open_dataset(noise, {info}); }), HasSubstr("dims: len=SIZE"));
}

TEST_F(SourcesTest, SubsetReordersSamplesAndLabels) {
  const auto path =
      write("d.npz", zip({{"x.npy", npy("<f4", "4, 1", bytes_of<float>({0, 1, 2, 3}))},
                          {"c.npy", npy("<f4", "", bytes_of<float>({9}))},
                          {"labels.npy", npy("<i8", "4,", bytes_of<int64_t>({10, 11, 12, 13}))}},
                         true));
  const auto base = open_dataset(
      source(path), {input("x", DataType::kFloat, {-1, 1}), input("c", DataType::kFloat, {1})});
  const auto part = subset(base, {3, 1, 2}, "part");
  EXPECT_EQ(subset(part, {2, 0}, "part of it")->index_in_file(1), 3U);
  ASSERT_EQ(part->size(), 3U);
  EXPECT_THAT(floats(part->feeds(0, 3)[0].tensor), ElementsAre(3, 1, 2));
  EXPECT_THAT(floats(part->feeds(0, 3)[1].tensor), ElementsAre(9));
  EXPECT_THAT(floats(part->feeds(1, 2)[0].tensor), ElementsAre(1, 2));
  EXPECT_THAT(part->labels(0, 2)->to_int64(), ElementsAre(13, 11));
  EXPECT_NE(part->fingerprint(), base->fingerprint());
  EXPECT_THAT(error_of([&] { subset(base, {4}, "part"); }), StartsWith("70:"));
}

TEST_F(SourcesTest, ChoosesTheReaderByContent) {
  const std::vector<ValueInfo> inputs = {input("x", DataType::kFloat, {-1, 1})};
  EXPECT_THAT(error_of([&] { open_dataset(source(write("what.bin", "hello, world")), inputs); }),
              HasSubstr("no kind of data that is known"));
  EXPECT_THAT(error_of([&] { open_dataset(source(folder_), inputs); }), StartsWith("5:"));
  DataSource odd = source(folder_);
  odd.kind = "npx";
  EXPECT_THAT(error_of([&] { open_dataset(odd, inputs); }), HasSubstr("did you mean 'npz'?"));
  for (const std::string_view kind : data_kinds()) EXPECT_FALSE(data_options(kind).empty()) << kind;
}

}  // namespace
}  // namespace mcompress::data_test
