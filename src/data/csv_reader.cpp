// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cctype>
#include <cmath>
#include <optional>

#include <fmt/format.h>

#include "data/array_dataset.h"
#include "data/csv_table.h"
#include "data/names.h"
#include "data/readers.h"
#include "mcompress/error.h"
#include "support/did_you_mean.h"

namespace mcompress::data {
namespace {

char parse_delimiter(const SourceOptions& options) {
  if (!options.has("delimiter")) return 0;
  const std::string name =
      options.choice("delimiter", {"comma", "semicolon", "tab", "space", ",", ";"}, "");
  if (name == "semicolon" || name == ";") return ';';
  if (name == "tab") return '\t';
  return name == "space" ? ' ' : ',';
}

std::string lowered(std::string text) {
  std::ranges::transform(text, text.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

/// A table with its header row taken off.
struct Columns {
  std::string file;
  std::vector<std::string> names;  ///< empty without a header
  CsvTable table;
  size_t count = 0;

  size_t row_count() const { return table.rows.size(); }
  std::optional<size_t> find(const std::string& name) const {
    const auto at = std::ranges::find(names, name);
    if (at == names.end()) return std::nullopt;
    return static_cast<size_t>(at - names.begin());
  }
  float number(size_t row, size_t column) const {
    double value = 0;
    const std::string& cell = table.rows[row][column];
    if (parse_cell(cell, value)) return static_cast<float>(value);
    throw Error(ErrorCode::kData,
                fmt::format("{}:{}: '{}' in column {} is no number", file, table.lines[row], cell,
                            names.empty() ? std::to_string(column) : "'" + names[column] + "'"));
  }
};

/// A first row in which some cell is no number is a header, unless that column holds none at all.
bool has_header(const CsvTable& table) {
  for (size_t column = 0; column < table.rows[0].size(); ++column) {
    double value = 0;
    if (parse_cell(table.rows[0][column], value)) continue;
    if (table.rows.size() > 1 && parse_cell(table.rows[1][column], value)) return true;
  }
  return std::ranges::none_of(table.rows[0], [](const std::string& cell) {
    double value = 0;
    return parse_cell(cell, value);
  });
}

Columns read_columns(const DataSource& source, const SourceOptions& options) {
  Columns columns{source.path.string(), {}, read_csv(source.path, parse_delimiter(options)), 0};
  if (columns.table.rows.empty()) throw Error(ErrorCode::kData, columns.file + ": no samples");
  columns.count = columns.table.rows[0].size();
  const std::string header = options.choice("header", {"auto", "yes", "no"}, "auto");
  if (header == "yes" || (header == "auto" && has_header(columns.table))) {
    columns.names = columns.table.rows.front();
    columns.table.rows.erase(columns.table.rows.begin());
    columns.table.lines.erase(columns.table.lines.begin());
  }
  if (columns.table.rows.empty())
    throw Error(ErrorCode::kData, columns.file + ": a header and no samples");
  return columns;
}

std::optional<size_t> asked_label(const Columns& columns, const SourceOptions& options) {
  const std::string wanted = options.text("label", "");
  if (const auto at = columns.find(wanted)) return at;
  double index = 0;
  if (parse_cell(wanted, index) && index >= 0 && index < static_cast<double>(columns.count) &&
      index == std::floor(index)) {
    return static_cast<size_t>(index);
  }
  throw Error(ErrorCode::kData,
              fmt::format("{}: no column '{}' for the labels; there are {}", columns.file, wanted,
                          columns.names.empty() ? std::to_string(columns.count) + " without names"
                                                : list_names(columns.names)))
      .hint(did_you_mean(wanted, columns.names));
}

std::optional<size_t> label_column(const Columns& columns, const SourceOptions& options,
                                   std::optional<size_t> features) {
  if (options.has("label")) {
    if (options.text("label", "") == "none") return std::nullopt;
    return asked_label(columns, options);
  }
  for (size_t column = 0; column < columns.names.size(); ++column) {
    const std::string name = lowered(columns.names[column]);
    const bool means_label =
        name == "label" || name == "labels" || name == "target" || name == "class";
    if (means_label && (!features || columns.count != *features)) return column;
  }
  if (features && columns.count == *features + 1) return columns.count - 1;
  return std::nullopt;
}

/// Numbers as they are; words by their place among the sorted words of the column.
Tensor label_tensor(const Columns& columns, size_t column) {
  const auto rows = static_cast<int64_t>(columns.row_count());
  std::vector<std::string> words;
  std::vector<double> values;
  bool numeric = true, integral = true;
  for (const auto& row : columns.table.rows) {
    double value = 0;
    numeric = numeric && parse_cell(row[column], value);
    integral = integral && value == std::floor(value);
    words.push_back(row[column]);
    values.push_back(value);
  }
  if (numeric && !integral) return Tensor::from({rows}, values);
  std::vector<int64_t> ids;
  if (numeric) {
    for (const double value : values) ids.push_back(static_cast<int64_t>(value));
    return Tensor::from({rows}, ids);
  }
  std::vector<std::string> sorted = words;
  std::ranges::sort(sorted);
  sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
  for (const std::string& word : words) {
    ids.push_back(std::ranges::lower_bound(sorted, word) - sorted.begin());
  }
  return Tensor::from({rows}, ids);
}

Tensor feature_tensor(const Columns& columns, const std::vector<size_t>& which) {
  Tensor features(DataType::kFloat,
                  {static_cast<int64_t>(columns.row_count()), static_cast<int64_t>(which.size())});
  const std::span<float> values = features.mutate_as<float>();
  size_t at = 0;
  for (size_t row = 0; row < columns.row_count(); ++row) {
    for (const size_t column : which) values[at++] = columns.number(row, column);
  }
  return features;
}

/// Elements of one sample of the input, when they are known.
std::optional<size_t> sample_size(const ValueInfo& input) {
  if (!input.has_shape || input.shape.empty()) return std::nullopt;
  int64_t count = 1;
  for (const int64_t dimension : std::span(input.shape).subspan(1)) {
    if (dimension < 0) return std::nullopt;
    count *= dimension;
  }
  return static_cast<size_t>(count);
}

/// One input takes all columns but the label; several take the column of their name each.
void add_inputs(const Columns& columns, const Inputs& inputs, std::optional<size_t> label,
                Layout layout, ArraySource& arrays) {
  if (inputs.size() == 1) {
    std::vector<size_t> which;
    for (size_t column = 0; column < columns.count; ++column) {
      if (column != label) which.push_back(column);
    }
    const auto wanted = sample_size(inputs[0]);
    if (wanted && *wanted != which.size()) {
      throw Error(
          ErrorCode::kData,
          fmt::format("{}: {} has {} columns of values, the model wants {} ({})", inputs[0].name,
                      columns.file, which.size(), *wanted, to_string(inputs[0].shape)));
    }
    const StoredArray array(feature_tensor(columns, which), columns.file);
    arrays.inputs.push_back({inputs[0], fit_input(inputs[0], array, layout)});
    return;
  }
  for (const ValueInfo& input : inputs) {
    const auto column = columns.find(input.name);
    if (!column) {
      throw Error(ErrorCode::kData,
                  fmt::format("{}: no column for input '{}'; there are {}", columns.file,
                              input.name, list_names(columns.names)))
          .hint(did_you_mean(input.name, columns.names));
    }
    const StoredArray array(feature_tensor(columns, {*column}),
                            columns.file + ": '" + input.name + "'");
    arrays.inputs.push_back({input, fit_input(input, array, layout)});
  }
}

}  // namespace

std::shared_ptr<const Dataset> open_csv(const DataSource& source, const Inputs& inputs) {
  const SourceOptions options(source, "csv");
  const Columns columns = read_columns(source, options);
  const auto label =
      label_column(columns, options, inputs.size() == 1 ? sample_size(inputs[0]) : std::nullopt);
  ArraySource arrays;
  arrays.layout = parse_layout(options);
  arrays.limit = options.integer("limit", 1);
  arrays.files.push_back(source.path);
  add_inputs(columns, inputs, label, arrays.layout, arrays);
  if (label) arrays.labels = StoredArray(label_tensor(columns, *label), columns.file);
  const int transformed = transformed_input(options, inputs);
  if (transformed >= 0) {
    arrays.inputs[static_cast<size_t>(transformed)].transform = Transform::parse(options);
  }
  return make_array_dataset(std::move(arrays), source);
}

}  // namespace mcompress::data
