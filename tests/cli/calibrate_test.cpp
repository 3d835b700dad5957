// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "models.h"
#include "tests/support/cli_test.h"

namespace mcompress {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

/// A .npy file of floats [rows, 8].
std::string npy(const std::vector<float>& values) {
  std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (" +
                       std::to_string(values.size() / 8) + ", 8), }";
  while ((10 + header.size() + 1) % 64 != 0) header += ' ';
  header += '\n';
  std::string bytes("\x93NUMPY\x01\x00", 8);
  bytes += static_cast<char>(header.size() % 256);
  bytes += static_cast<char>(header.size() / 256);
  bytes += header;
  bytes.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
  return bytes;
}

std::vector<float> random_rows(size_t rows, unsigned seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(rows * 8);
  for (float& v : values) v = normal(engine);
  return values;
}

class Calibrate : public testing::CliTest {
 protected:
  Calibrate() {
    testing::write_model(path("m.onnx"));
    testing::write_bytes(path("a.npy"), npy(random_rows(40, 1)));
    testing::write_bytes(path("b.npy"), npy(random_rows(24, 2)));
    testing::write_bytes(
        path("r.yaml"),
        "steps:\n  - eliminate-identity\n"
        "  - quantize-static: {where: everywhere, effort: quick}\nencode: false\n");
  }

  void expect_done(const std::vector<std::string>& arguments) {
    const auto result = run(arguments);
    ASSERT_EQ(result.code, 0) << result.err;
    last_ = result;
  }
  void expect_error(const std::vector<std::string>& arguments, int code, const std::string& text) {
    const auto result = run(arguments);
    EXPECT_EQ(result.code, code) << result.err;
    EXPECT_THAT(result.err, HasSubstr(text));
  }
  /// Replaces the first range of a value.
  void edit(const std::string& file, const std::string& value, const std::string& range) {
    std::string text = testing::read_bytes(path(file));
    const size_t at = text.find("\"range\": ", text.find("\"" + value + "\": {"));
    ASSERT_NE(at, std::string::npos);
    text.replace(at, text.find('\n', at) - at, "\"range\": " + range + ",");
    testing::write_bytes(path(file), text);
  }

  testing::CliResult last_;
};

TEST_F(Calibrate, ATableStandsForData) {
  expect_done({"calibrate", "m.onnx", "-r", "r.yaml", "--data", "a.npy", "-o", "t.json"});
  EXPECT_THAT(last_.out, HasSubstr("40 samples"));
  EXPECT_THAT(last_.out, HasSubstr("steps before: eliminate-identity"));
  expect_error({"run", "m.onnx", "-r", "r.yaml", "-o", "o.onnx"}, 5, "calibration data");
  const std::vector<std::string> with_table{"run",     "m.onnx", "-r",
                                            "r.yaml",  "-o",     "o.onnx",
                                            "--force", "--set",  "quantize-static.table=t.json"};
  expect_done(with_table);
  const std::string as_chosen = testing::read_bytes(path("o.onnx"));
  EXPECT_THAT(as_chosen, HasSubstr("QuantizeLinear"));
  expect_done(with_table);
  EXPECT_EQ(testing::read_bytes(path("o.onnx")), as_chosen);
  edit("t.json", "r", "[0, 0.5]");
  expect_done(with_table);
  EXPECT_NE(testing::read_bytes(path("o.onnx")), as_chosen);
}

TEST_F(Calibrate, ATableInARecipeIsRelativeToIt) {
  expect_done({"calibrate", "m.onnx", "-r", "r.yaml", "--data", "a.npy", "-o", "t.json"});
  std::filesystem::create_directory(path("sub"));
  std::filesystem::rename(path("t.json"), path("sub/t.json"));
  testing::write_bytes(path("sub/r.yaml"),
                       "steps:\n  - eliminate-identity\n"
                       "  - quantize-static: {where: everywhere, effort: quick, table: t.json}\n");
  expect_done({"run", "m.onnx", "-r", "sub/r.yaml", "-o", "o.onnx"});
}

TEST_F(Calibrate, IsForOneStateOfOneModel) {
  expect_done({"calibrate", "m.onnx", "--data", "a.npy", "-o", "raw.json"});
  expect_error(
      {"run", "m.onnx", "-r", "r.yaml", "-o", "o.onnx", "--set", "quantize-static.table=raw.json"},
      5, "made for another model");
  expect_done({"calibrate", "m.onnx", "-r", "r.yaml", "--data", "a.npy", "-o", "t.json"});
  expect_error({"calibrate", "m.onnx", "-r", "r.yaml", "--merge", "t.json", "--merge", "raw.json",
                "-o", "both.json"},
               5, "raw.json: made for another model");
  testing::write_bytes(path("none.json"), "{}");
  expect_error({"calibrate", "m.onnx", "--merge", "none.json", "-o", "both.json"}, 5,
               "none.json: not a calibration table");
}

TEST_F(Calibrate, TablesMergeAndKeepWhatWasEdited) {
  expect_done({"calibrate", "m.onnx", "-r", "r.yaml", "--data", "a.npy", "-o", "a.json"});
  edit("a.json", "r", "[0, 7]");
  expect_done({"calibrate", "m.onnx", "-r", "r.yaml", "--data", "b.npy", "-o", "b.json"});
  expect_done({"calibrate", "m.onnx", "-r", "r.yaml", "--merge", "a.json", "--merge", "b.json",
               "--method", "min-max", "-o", "both.json"});
  EXPECT_THAT(last_.out, HasSubstr("64 samples"));
  expect_error({"calibrate", "m.onnx", "-r", "r.yaml", "--merge", "a.json", "--merge", "./a.json",
                "-o", "twice.json"},
               2, "a.json: is to be merged twice");
  const std::string both = testing::read_bytes(path("both.json"));
  EXPECT_THAT(both, HasSubstr("\"samples\": 64"));
  EXPECT_THAT(both, HasSubstr("\"range\": [0, 7],\n      \"method\": \"edited\""));
  expect_done({"calibrate", "m.onnx", "-r", "r.yaml", "--data", "b.npy", "--merge", "a.json",
               "--method", "min-max", "-o", "one.json"});
  EXPECT_THAT(testing::read_bytes(path("one.json")), HasSubstr("\"samples\": 64"));
  expect_done({"calibrate", "m.onnx", "-r", "r.yaml", "--merge", "both.json", "--json", "-o",
               "again.json"});
  EXPECT_EQ(last_.out, testing::read_bytes(path("again.json")));
}

TEST_F(Calibrate, EveryMethodAndAnyNumberOfThreadsAndMegabytes) {
  for (const char* method : {"mse", "min-max", "moving-average", "percentile", "entropy", "auto"}) {
    expect_done({"calibrate", "m.onnx", "--data", "a.npy", "--method", method, "-o", "t.json",
                 "--force", "--threads", "1"});
    expect_done({"calibrate", "m.onnx", "--data", "a.npy", "--method", method, "-o", "u.json",
                 "--force", "--threads", "4", "--memory", "1"});
    EXPECT_EQ(testing::read_bytes(path("t.json")), testing::read_bytes(path("u.json"))) << method;
  }
}

TEST_F(Calibrate, Usage) {
  expect_error({"calibrate", "m.onnx", "-o", "t.json"}, 2, "no calibration data");
  expect_error({"calibrate", "m.onnx", "--data", "a.npy"}, 2, "-o");
  expect_error({"calibrate", "m.onnx", "--data", "a.npy", "-o", "t.json", "--percentile", "9"}, 2,
               "--percentile");
  testing::write_bytes(path("free.yaml"), "steps: [eliminate-identity]\n");
  expect_error({"calibrate", "m.onnx", "-r", "free.yaml", "--data", "a.npy", "-o", "t.json"}, 3,
               "no step takes calibration data");
  expect_done({"calibrate", "m.onnx", "--data", "a.npy", "-o", "t.json"});
  expect_error({"calibrate", "m.onnx", "--data", "a.npy", "-o", "t.json"}, 2, "--force");
}

TEST_F(Calibrate, BadDataIsRefusedAndOddDataTold) {
  auto rows = random_rows(24, 3);
  rows[13] = std::numeric_limits<float>::quiet_NaN();
  testing::write_bytes(path("nan.npy"), npy(rows));
  expect_error({"calibrate", "m.onnx", "--data", "nan.npy", "-o", "t.json"}, 5, "nan.npy");
  // Finite, but not what the model makes of it.
  rows = random_rows(24, 3);
  rows[9] = 3e38F;
  testing::write_bytes(path("huge.npy"), npy(rows));
  expect_error({"calibrate", "m.onnx", "--data", "huge.npy", "-o", "t.json"}, 5,
               "NaN or infinite elements on sample 1 of huge.npy");
  EXPECT_FALSE(std::filesystem::exists(path("t.json")));
  testing::write_bytes(path("flat.npy"), npy(std::vector<float>(24 * 8, 0.5F)));
  expect_done({"calibrate", "m.onnx", "--data", "flat.npy", "-o", "t.json"});
  EXPECT_THAT(last_.err, HasSubstr("constant"));
  testing::write_bytes(path("few.npy"), npy(random_rows(3, 4)));
  expect_done({"calibrate", "m.onnx", "--data", "few.npy", "-o", "t.json", "--force"});
  EXPECT_THAT(last_.err, HasSubstr("3 samples only"));
}

}  // namespace
}  // namespace mcompress
