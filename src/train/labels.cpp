// SPDX-License-Identifier: Apache-2.0
#include "train/labels.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "mcompress/error.h"

namespace mcompress::train {
namespace {

constexpr size_t kSamplesAtATime = 256;
constexpr double kSumSlack = 1e-3;

Error label_error(const Dataset& data, const std::string& why) {
  return Error(ErrorCode::kData, fmt::format("labels of {}: {}", data.description(), why));
}

void for_each_part(const Dataset& data, const std::function<void(size_t, const Tensor&)>& fn) {
  for (size_t first = 0; first < data.size(); first += kSamplesAtATime) {
    const size_t count = std::min(kSamplesAtATime, data.size() - first);
    const std::optional<Tensor> labels = data.labels(first, count);
    if (!labels)
      throw label_error(data, fmt::format("sample {} has none", data.index_in_file(first)));
    fn(first, *labels);
  }
}

/// Sample of row `row` of the part that begins with sample `first`, as the file counts them.
size_t sample_of(const Dataset& data, size_t first, size_t row) {
  return data.index_in_file(first + row / data.rows_per_sample());
}

/// fn(sample in the file, numbers of one row).
void for_each_row(const Dataset& data,
                  const std::function<void(size_t, std::span<const int64_t>)>& fn) {
  for_each_part(data, [&](size_t first, const Tensor& labels) {
    const std::vector<int64_t> values = labels.to_int64();
    const auto rows = static_cast<size_t>(labels.shape().front());
    const size_t size = rows == 0 ? 0 : values.size() / rows;
    for (size_t row = 0; row < rows; ++row)
      fn(sample_of(data, first, row), std::span(values).subspan(row * size, size));
  });
}

bool is_integer(DataType type) {
  return data_type_bits(type) >= 8 && !is_floating(type) && type != DataType::kComplex64 &&
         type != DataType::kComplex128;
}

template <class T>
void scan_row(std::span<const T> row, LabelScan& scan) {
  double sum = 0;
  for (const T value : row) {
    const auto number = static_cast<double>(value);
    scan.least = std::min(scan.least, number);
    scan.largest = std::max(scan.largest, number);
    if (number != 0 && number != 1) scan.only_zero_and_one = false;
    if (number == 0) scan.has_zero = true;
    if (number < 0) scan.distributions = false;
    sum += number;
  }
  if (std::abs(sum - 1) > kSumSlack) scan.distributions = false;
  if (row.size() > 1 && row.back() < T{0}) scan.padded = true;
}

template <class T>
void scan_rows(std::span<const T> values, size_t rows, LabelScan& scan) {
  const size_t size = rows == 0 ? 0 : values.size() / rows;
  for (size_t row = 0; row < rows; ++row) scan_row(values.subspan(row * size, size), scan);
}

void check_finite(const Dataset& data, size_t first, const std::vector<float>& values,
                  size_t rows) {
  const auto bad = std::ranges::find_if(values, [](float v) { return !std::isfinite(v); });
  if (bad == values.end()) return;
  const size_t row = static_cast<size_t>(bad - values.begin()) / (values.size() / rows);
  throw label_error(data, fmt::format("sample {} has the value {}, a finite one is needed",
                                      sample_of(data, first, row), *bad));
}

}  // namespace

Shape LabelScan::squeezed() const {
  Shape result;
  std::ranges::copy_if(row, std::back_inserter(result), [](int64_t d) { return d != 1; });
  return result;
}

LabelScan scan_labels(const Dataset& data) {
  LabelScan scan;
  bool started = false;
  scan.least = std::numeric_limits<double>::infinity();
  scan.largest = -scan.least;
  for_each_part(data, [&](size_t first, const Tensor& labels) {
    if (labels.shape().empty() || !(is_integer(labels.type()) || is_floating(labels.type()))) {
      throw label_error(data,
                        fmt::format("{} of shape {}, numbers with samples first are needed",
                                    data_type_name(labels.type()), to_string(labels.shape())));
    }
    Shape row = labels.shape();
    const auto rows = static_cast<size_t>(row.front());
    row.erase(row.begin());
    if (started && row != scan.row) {
      throw label_error(data, fmt::format("shape {} for sample {}, {} before", to_string(row),
                                          data.index_in_file(first), to_string(scan.row)));
    }
    scan.row = row;
    scan.integer = is_integer(labels.type());
    started = true;
    if (scan.integer) {
      scan_rows<int64_t>(labels.to_int64(), rows, scan);
    } else {
      const std::vector<float> values = labels.to_float();
      check_finite(data, first, values, rows);
      scan_rows<float>(values, rows, scan);
    }
  });
  return scan;
}

void check_classes(const Dataset& data, const ClassRange& range) {
  for_each_row(data, [&](size_t sample, std::span<const int64_t> row) {
    for (const int64_t label : row) {
      if (label >= range.least && label <= range.most) continue;
      if ((range.padding && label < 0) || (range.void_255 && label == 255)) continue;
      throw label_error(data, fmt::format("sample {} has class {}, output '{}' has {} to {}",
                                          sample, label, range.output, range.least, range.most))
          .hint(range.counted_from_one ? "labels count from 0: subtract 1 from each of them" : "");
    }
  });
}

void check_sequences(const Dataset& data, int64_t steps, const std::string& output) {
  for_each_row(data, [&](size_t sample, std::span<const int64_t> row) {
    int64_t length = 0, last = -1;
    for (const int64_t label : row) {
      if (label < 0) continue;
      length += label == last ? 2 : 1;
      last = label;
    }
    if (length <= steps) return;
    throw label_error(data,
                      fmt::format("sample {} needs {} steps (one for each symbol and between equal "
                                  "ones), output '{}' has {}",
                                  sample, length, output, steps));
  });
}

}  // namespace mcompress::train
