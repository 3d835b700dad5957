// SPDX-License-Identifier: Apache-2.0
#include "data/array_dataset.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "data/array_scan.h"
#include "data/names.h"
#include "mcompress/error.h"
#include "support/did_you_mean.h"
#include "support/hash.h"

namespace mcompress::data {
namespace {

/// Least and largest value of an integer type; nullopt for floating point.
std::optional<std::pair<double, double>> integer_range(DataType type) {
  const auto range = [](auto example) {
    using T = decltype(example);
    return std::pair(static_cast<double>(std::numeric_limits<T>::min()),
                     static_cast<double>(std::numeric_limits<T>::max()));
  };
  switch (type) {
    case DataType::kBool:
      return std::pair(0.0, 1.0);
    case DataType::kUint8:
      return range(uint8_t{});
    case DataType::kInt8:
      return range(int8_t{});
    case DataType::kUint16:
      return range(uint16_t{});
    case DataType::kInt16:
      return range(int16_t{});
    case DataType::kUint32:
      return range(uint32_t{});
    case DataType::kInt32:
      return range(int32_t{});
    case DataType::kUint64:
      return range(uint64_t{});
    case DataType::kInt64:
      return range(int64_t{});
    default:
      return std::nullopt;
  }
}

struct BoundInput {
  ArrayInput source;
  Feeding feeding = Feeding::kBatch;
  Shape sample;     ///< one row
  int64_t row = 1;  ///< elements of it
  Tensor constant;  ///< for kConstant
};

class ArrayDataset final : public Dataset {
 public:
  ArrayDataset(ArraySource arrays, DataSource source)
      : source_(std::move(source)), layout_(arrays.layout), files_(std::move(arrays.files)) {
    for (ArrayInput& input : arrays.inputs) bind(std::move(input));
    count_rows(arrays.limit);
    for (BoundInput& input : inputs_) inspect(input);
    if (!arrays.labels) return;
    const Tensor labels = read_labels(*arrays.labels, stored_rows_, file_name());
    labels_ = slice_rows(labels, 0, rows_);
  }

  size_t size() const override { return static_cast<size_t>((rows_ + group_ - 1) / group_); }

  size_t rows_per_sample() const override { return static_cast<size_t>(group_); }
  size_t rows(size_t sample) const override {
    const int64_t first = static_cast<int64_t>(sample) * group_;
    return static_cast<size_t>(std::clamp<int64_t>(rows_ - first, 0, group_));
  }

  bool batchable() const override { return batchable_; }
  bool has_labels() const override { return labels_.has_value(); }
  std::vector<std::string> warnings() const override { return warnings_; }

  std::optional<Tensor> labels(size_t first, size_t count) const override {
    if (!labels_) return std::nullopt;
    require_range(first, count);
    const int64_t begin = static_cast<int64_t>(first) * group_;
    const int64_t end = std::min<int64_t>(rows_, static_cast<int64_t>(first + count) * group_);
    return slice_rows(*labels_, begin, end - begin);
  }

  Feeds feeds(size_t first, size_t count) const override {
    require_range(first, count);
    if (count != 1 && !batchable_) {
      throw Error(ErrorCode::kBug, fmt::format("{}: {} samples at once, and they cannot be stacked",
                                               file_name(), count));
    }
    Feeds feeds;
    for (const BoundInput& input : inputs_) {
      feeds.push_back({input.source.info.name,
                       feed(input, static_cast<int64_t>(first), static_cast<int64_t>(count))});
    }
    return feeds;
  }

  std::string description() const override {
    const std::string name = files_.empty() ? source_.kind : files_.front().filename().string();
    if (rows_ == stored_rows_) return fmt::format("{} ({} samples)", name, rows_);
    return fmt::format("{} ({} of {} samples)", name, rows_, stored_rows_);
  }

  std::string fingerprint() const override { return fingerprint_of(files_, source_); }

 private:
  std::string file_name() const { return files_.empty() ? source_.kind : files_.front().string(); }

  void require_range(size_t first, size_t count) const {
    if (count != 0 && first < size() && count <= size() - first) return;
    throw Error(ErrorCode::kBug, fmt::format("{}: samples {} to {} of {}", file_name(), first,
                                             first + count, size()));
  }

  void bind(ArrayInput source) {
    BoundInput input;
    input.feeding = match_input(source.info, source.array);
    if (input.feeding == Feeding::kConstant) {
      Tensor value = source.array.read_all().cast(source.info.type);
      if (source.info.has_shape && !source.info.shape.empty()) {
        value = value.reshaped(Shape(source.info.shape.size(), 1));
      }
      input.constant = std::move(value);
    } else {
      const Shape& shape = source.array.shape();
      input.sample.assign(shape.begin() + 1, shape.end());
      for (const int64_t dimension : input.sample) input.row *= dimension;
      source.transform.check(input.sample, layout_, source.info.name);
    }
    input.source = std::move(source);
    inputs_.push_back(std::move(input));
  }

  /// Samples there are, and how many rows make one.
  void count_rows(std::optional<int64_t> limit) {
    const BoundInput* first = nullptr;
    batchable_ = true;
    for (const BoundInput& input : inputs_) {
      if (input.feeding == Feeding::kConstant) continue;
      const int64_t rows = input.source.array.shape()[0];
      if (first == nullptr) {
        first = &input;
        stored_rows_ = rows;
      } else if (rows != stored_rows_) {
        throw Error(ErrorCode::kData,
                    fmt::format("{}: {} samples in {}, {} has {}", input.source.info.name, rows,
                                input.source.array.name(), first->source.info.name, stored_rows_));
      }
      if (input.feeding == Feeding::kRows) batchable_ = false;
    }
    if (first == nullptr) stored_rows_ = 1;
    if (stored_rows_ == 0) throw Error(ErrorCode::kData, file_name() + ": no samples");
    rows_ = std::min(stored_rows_, limit.value_or(stored_rows_));
    if (first == nullptr) batchable_ = false;
    group_ = batch_group();
  }

  int64_t batch_group() {
    int64_t group = 0;
    for (const BoundInput& input : inputs_) {
      if (input.feeding != Feeding::kBatch) continue;
      const int64_t fixed = fixed_batch(input.source.info);
      if (fixed == 0) continue;
      batchable_ = false;
      if (group != 0 && fixed != group) {
        throw Error(ErrorCode::kData,
                    fmt::format("{}: the model fixes batches of {}, other inputs have {}",
                                input.source.info.name, fixed, group))
            .hint("store whole inputs per row: an array with one axis more");
      }
      group = fixed;
    }
    const bool mixed = std::ranges::any_of(
        inputs_, [](const BoundInput& input) { return input.feeding == Feeding::kRows; });
    if (mixed && group > 1) {
      throw Error(ErrorCode::kData,
                  fmt::format("{}: some inputs are cut into batches of {}, others are stored whole",
                              file_name(), group))
          .hint("store whole inputs per row: arrays with one axis more");
    }
    return std::max<int64_t>(group, 1);
  }

  void inspect(const BoundInput& input) {
    if (input.feeding == Feeding::kConstant) return;
    const ArrayInput& source = input.source;
    const std::string what = fmt::format("{}: {}", source.info.name, source.array.name());
    if (input.row == 0) throw Error(ErrorCode::kData, what + " holds samples of no values");
    const ScanResult scan = scan_array(source.array, rows_ * input.row);
    if (scan.not_finite >= 0) {
      throw Error(ErrorCode::kData,
                  fmt::format("{}: {} in sample {}", what, scan.is_nan ? "NaN" : "infinity",
                              scan.not_finite / input.row));
    }
    if (scan.min == scan.max && rows_ * input.row > 1) {
      warnings_.push_back(
          fmt::format("{}: every value of {} samples is {}", what, rows_, scan.min));
    }
    if (!source.transform.is_identity()) return;
    const auto range = integer_range(source.info.type);
    if (!range) return;
    if (!scan.integral) {
      throw Error(ErrorCode::kData, fmt::format("{} holds {} with fractions, the model wants {}",
                                                what, data_type_name(source.array.type()),
                                                data_type_name(source.info.type)));
    }
    if (scan.min < range->first || scan.max > range->second) {
      throw Error(
          ErrorCode::kData,
          fmt::format("{} holds values {} to {}, the model's {} ends at {} to {}", what, scan.min,
                      scan.max, data_type_name(source.info.type), range->first, range->second));
    }
  }

  Tensor feed(const BoundInput& input, int64_t first, int64_t count) const {
    if (input.feeding == Feeding::kConstant) return input.constant;
    if (input.feeding == Feeding::kRows) {
      return convert(input, input.source.array.read(first * input.row, input.sample));
    }
    const int64_t begin = first * group_;
    const int64_t wanted = group_ == 1 ? count : group_;
    const int64_t have = std::min(wanted, rows_ - begin);
    Shape shape{have};
    shape.insert(shape.end(), input.sample.begin(), input.sample.end());
    Tensor rows = convert(input, input.source.array.read(begin * input.row, std::move(shape)));
    return have == wanted ? rows : filled_up(rows, wanted);
  }

  /// The last batch of a fixed size: its last row is repeated; `rows` tells the reader so.
  static Tensor filled_up(const Tensor& rows, int64_t wanted) {
    Shape shape = rows.shape();
    const auto have = static_cast<size_t>(shape[0]);
    shape[0] = wanted;
    Tensor result(rows.type(), shape);
    const std::span<const std::byte> from = rows.bytes();
    const std::span<std::byte> to = result.mutate();
    const size_t row = from.size() / have;
    std::ranges::copy(from, to.begin());
    for (size_t at = from.size(); at < to.size(); at += row) {
      std::ranges::copy(from.last(row), to.begin() + static_cast<std::ptrdiff_t>(at));
    }
    return result;
  }

  Tensor convert(const BoundInput& input, Tensor stored) const {
    const ArrayInput& source = input.source;
    if (source.transform.is_identity()) {
      return stored.type() == source.info.type ? stored : stored.cast(source.info.type);
    }
    Tensor values = stored.type() == DataType::kFloat ? stored : stored.cast(DataType::kFloat);
    source.transform.apply(values.mutate_as<float>(), input.sample, layout_);
    return source.info.type == DataType::kFloat ? values : values.cast(source.info.type);
  }

  DataSource source_;
  Layout layout_;
  std::vector<std::filesystem::path> files_;
  std::vector<BoundInput> inputs_;
  std::optional<Tensor> labels_;
  std::vector<std::string> warnings_;
  int64_t stored_rows_ = 0, rows_ = 0;
  int64_t group_ = 1;  ///< rows per sample
  bool batchable_ = true;
};

}  // namespace

std::shared_ptr<const Dataset> make_array_dataset(ArraySource arrays, const DataSource& source) {
  return std::make_shared<ArrayDataset>(std::move(arrays), source);
}

int transformed_input(const SourceOptions& options, const std::vector<ValueInfo>& inputs) {
  const bool asked =
      options.has("scale") || options.has("shift") || options.has("mean") || options.has("std");
  if (!asked) {
    if (options.has("input")) options.fail("input", "to go with scale, shift, mean or std");
    return -1;
  }
  if (options.has("input")) {
    const std::string wanted = options.text("input", "");
    std::vector<std::string> names;
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (inputs[i].name == wanted) return static_cast<int>(i);
      names.push_back(inputs[i].name);
    }
    options.fail("input", "an input of the model: " + list_names(names));
  }
  int found = -1;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!is_floating(inputs[i].type) && inputs.size() > 1) continue;
    if (found >= 0) {
      options.fail(options.has("scale")  ? "scale"
                   : options.has("mean") ? "mean"
                   : options.has("std")  ? "std"
                                         : "shift",
                   "to go with 'input', because the model has several inputs");
    }
    found = static_cast<int>(i);
  }
  return found;
}

Tensor read_labels(const StoredArray& labels, int64_t samples, const std::string& of) {
  if (labels.rank() == 0 || labels.shape()[0] != samples) {
    throw Error(ErrorCode::kData,
                fmt::format("labels: {} has shape {}, {} has {} samples", labels.name(),
                            to_string(labels.shape()), of, samples));
  }
  const ScanResult scan = scan_array(labels, labels.count());
  if (scan.not_finite >= 0) {
    const int64_t row = std::max<int64_t>(1, labels.count() / samples);
    throw Error(ErrorCode::kData,
                fmt::format("labels: {}: {} at sample {}", labels.name(),
                            scan.is_nan ? "NaN" : "infinity", scan.not_finite / row));
  }
  return labels.read_all().cast(is_floating(labels.type()) ? DataType::kFloat : DataType::kInt64);
}

Tensor slice_rows(const Tensor& tensor, int64_t first, int64_t count) {
  Shape shape = tensor.shape();
  const size_t row = shape[0] == 0 ? 0 : tensor.byte_size() / static_cast<size_t>(shape[0]);
  shape[0] = count;
  return Tensor(
      tensor.type(), std::move(shape),
      tensor.bytes().subspan(static_cast<size_t>(first) * row, static_cast<size_t>(count) * row));
}

std::string fingerprint_of(const std::vector<std::filesystem::path>& files,
                           const DataSource& source) {
  support::Hasher hasher;
  hasher.update(source.kind);
  for (const std::filesystem::path& file : files) {
    hasher.update("\n" + support::hash_file(file).hex());
  }
  for (const auto& [name, value] : source.options) hasher.update("\n" + name + "=" + value);
  return hasher.digest().hex();
}

}  // namespace mcompress::data
