// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "data/input_match.h"
#include "data/readers.h"
#include "data/source_options.h"
#include "mcompress/error.h"
#include "support/hash.h"
#include "support/random_bits.h"

namespace mcompress::data {
namespace {

constexpr int64_t kDefaultCount = 64;

using support::random_bits;

struct Distribution {
  bool uniform = false;
  double low = 0, high = 1, mean = 0, std = 1;
};

class RandomDataset final : public Dataset {
 public:
  RandomDataset(DataSource source, Inputs inputs, std::vector<Shape> samples,
                Distribution distribution, size_t count, uint64_t seed)
      : source_(std::move(source)),
        inputs_(std::move(inputs)),
        samples_(std::move(samples)),
        distribution_(distribution),
        count_(count),
        seed_(seed) {
    batchable_ = std::ranges::all_of(inputs_, [](const ValueInfo& input) {
      return input.has_shape && !input.shape.empty() && fixed_batch(input) == 0;
    });
  }

  size_t size() const override { return count_; }
  bool batchable() const override { return batchable_; }
  bool has_labels() const override { return false; }
  std::optional<Tensor> labels(size_t, size_t) const override { return std::nullopt; }

  Feeds feeds(size_t first, size_t count) const override {
    if (count == 0 || first >= count_ || count > count_ - first || (count != 1 && !batchable_)) {
      throw Error(ErrorCode::kBug,
                  fmt::format("random: samples {} to {} of {}", first, first + count, count_));
    }
    Feeds feeds;
    for (size_t i = 0; i < inputs_.size(); ++i) {
      Shape shape = samples_[i];
      if (batchable_) shape[0] = static_cast<int64_t>(count);
      feeds.push_back({inputs_[i].name, make(i, first, std::move(shape), count)});
    }
    return feeds;
  }

  std::string description() const override { return fmt::format("random ({} samples)", count_); }

  std::string fingerprint() const override {
    support::Hasher hasher;
    hasher.update(fmt::format("random {} {}", seed_, count_));
    for (const auto& [name, value] : source_.options) hasher.update("\n" + name + "=" + value);
    return hasher.digest().hex();
  }

  std::vector<std::string> warnings() const override {
    return {"random: noise instead of data: ranges and scores say little about real inputs"};
  }

 private:
  Tensor make(size_t input, size_t first, Shape shape, size_t count) const {
    Tensor tensor(DataType::kFloat, std::move(shape));
    const std::span<float> values = tensor.mutate_as<float>();
    const size_t row = values.size() / count;
    const bool integer = !is_floating(inputs_[input].type);
    for (size_t sample = 0; sample < count; ++sample) {
      const uint64_t key = random_bits(random_bits(seed_, input), first + sample);
      for (size_t i = 0; i < row; ++i) values[sample * row + i] = draw(key, i, integer);
    }
    return inputs_[input].type == DataType::kFloat ? tensor : tensor.cast(inputs_[input].type);
  }

  float draw(uint64_t key, uint64_t index, bool integer) const {
    const Distribution& d = distribution_;
    if (d.uniform || integer) {
      // Without bounds integers are 0 or 1: token ids and flags both take them.
      const double low = d.uniform ? d.low : 0, high = d.uniform ? d.high : 2;
      const double value = low + (high - low) * support::random_unit(key, index);
      return static_cast<float>(integer ? std::floor(value) : value);
    }
    return static_cast<float>(d.mean + d.std * support::random_normal(key, index));
  }

  DataSource source_;
  Inputs inputs_;
  std::vector<Shape> samples_;
  Distribution distribution_;
  size_t count_;
  uint64_t seed_;
  bool batchable_ = false;
};

/// "height=48, width=320".
std::map<std::string, int64_t> parse_dims(const SourceOptions& options) {
  std::map<std::string, int64_t> dims;
  std::string text = options.text("dims", "");
  std::erase_if(text,
                [](char c) { return c == ' ' || c == '[' || c == ']' || c == '{' || c == '}'; });
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find(',', at), text.size());
    const std::string item = text.substr(at, end - at);
    const size_t equals = item.find_first_of("=:");
    const bool digits = equals != std::string::npos && equals + 1 < item.size() &&
                        item.size() - equals <= 10 &&
                        item.find_first_not_of("0123456789", equals + 1) == std::string::npos;
    if (!digits) options.fail("dims", "NAME=SIZE, ...");
    dims[item.substr(0, equals)] = std::stoll(item.substr(equals + 1));
    at = end + 1;
  }
  return dims;
}

Shape sample_shape(const ValueInfo& input, const std::map<std::string, int64_t>& dims) {
  if (!is_feedable(input.type) || !input.has_shape) {
    throw Error(ErrorCode::kData,
                fmt::format("{}: random data needs a numeric input of known rank", input.name));
  }
  Shape shape = input.shape;
  for (size_t axis = 0; axis < shape.size(); ++axis) {
    if (shape[axis] >= 0) continue;
    const std::string name = axis < input.dim_params.size() ? input.dim_params[axis] : "";
    const auto given = dims.find(name);
    if (given != dims.end()) {
      shape[axis] = given->second;
    } else if (axis == 0) {
      shape[axis] = 1;
    } else {
      throw Error(ErrorCode::kData,
                  fmt::format("{}: dimension {} ('{}') has no fixed size", input.name, axis, name))
          .hint(fmt::format("set dims: {}=SIZE", name.empty() ? "NAME" : name));
    }
  }
  return shape;
}

}  // namespace

std::shared_ptr<const Dataset> open_random(const DataSource& source, const Inputs& inputs) {
  const SourceOptions options(source, "random");
  Distribution distribution;
  distribution.uniform = options.has("low") || options.has("high");
  distribution.low = options.number("low").value_or(0);
  distribution.high = options.number("high").value_or(1);
  distribution.mean = options.number("mean").value_or(0);
  distribution.std = options.number("std").value_or(1);
  if (!(distribution.low < distribution.high))
    options.fail(options.has("high") ? "high" : "low", "low below high");
  const int64_t limit = options.integer("limit", 1).value_or(kDefaultCount);
  const int64_t count = options.integer("count", 1).value_or(limit);
  const auto seed = static_cast<uint64_t>(options.integer("seed", 0).value_or(0));
  std::vector<Shape> samples;
  const std::map<std::string, int64_t> dims = parse_dims(options);
  for (const ValueInfo& input : inputs) samples.push_back(sample_shape(input, dims));
  return std::make_shared<RandomDataset>(source, inputs, std::move(samples), distribution,
                                         static_cast<size_t>(count), seed);
}

}  // namespace mcompress::data
