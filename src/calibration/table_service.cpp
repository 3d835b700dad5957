// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "calibration/table.h"
#include "mcompress/error.h"
#include "support/file.h"

namespace mcompress {
namespace {

using calibration::Table;
using calibration::TableValue;

class TableCalibration final : public CalibrationService {
 public:
  TableCalibration(std::string file, Table table, std::shared_ptr<CalibrationService> data)
      : file_(std::move(file)), table_(std::move(table)), data_(std::move(data)) {}

  const Dataset& data() const override { return need_data().data(); }
  bool has_data() const override { return data_ && data_->has_data(); }

  void observe(const Model& model, std::span<const ObservedValue> values) override {
    if (!state_) state_ = model.fingerprint();
    if (!data_) return;
    std::vector<ObservedValue> unknown;
    for (const auto& value : values) {
      const TableValue* known = find(model, value.name);
      const bool has_channels =
          known != nullptr &&
          (value.channel_axis < 0 || (known->statistics.channel_axis == value.channel_axis &&
                                      !known->statistics.channels.empty()));
      if (!has_channels) unknown.push_back(value);
    }
    if (!unknown.empty()) data_->observe(model, unknown);
  }

  std::optional<ValueRange> range(const Model& model, const std::string& value,
                                  const RangeOptions& options) override {
    const TableValue* known = find(model, value);
    if (known == nullptr) return data_ ? data_->range(model, value, options) : std::nullopt;
    const calibration::ChosenRange chosen = range_of(*known, options);
    ValueRange range{.low = chosen.low, .high = chosen.high, .min = chosen.low, .max = chosen.high};
    const auto& histogram = known->statistics.histogram;
    if (!histogram.empty()) {
      range.min = histogram.extent().min;
      range.max = histogram.extent().max;
      range.count = static_cast<uint64_t>(histogram.count());
    }
    return range;
  }

  std::optional<ChannelStatistics> channels(const Model& model, const std::string& value) override {
    const TableValue* known = find(model, value);
    if (known != nullptr && !known->statistics.channels.empty()) {
      return known->statistics.channels.statistics();
    }
    return data_ ? data_->channels(model, value) : std::nullopt;
  }

  std::vector<std::string> moments(
      const Model& model, std::span<const Layer> layers,
      const std::function<void(size_t, std::span<const LayerMoments>)>& visit) override {
    return need_data().moments(model, layers, visit);
  }

  void for_each(const Model& model, std::span<const std::string> values, size_t samples,
                const std::function<void(size_t, std::span<const std::string>,
                                         std::span<const Tensor>)>& visit) override {
    need_data().for_each(model, values, samples, visit);
  }

 private:
  CalibrationService& need_data() const {
    if (has_data()) return *data_;
    throw Error(ErrorCode::kData,
                file_ + ": a table has ranges only, and there is no calibration data")
        .hint("give some with --data calibration=FILE, or under data: in the recipe");
  }

  /// The table is of the state of the model that is observed first: a pass may have raised the
  /// opset by then, which renames nothing.
  const TableValue* find(const Model& model, const std::string& value) {
    if (!state_) state_ = model.fingerprint();
    if (!(model.fingerprint() == *state_)) return nullptr;
    const auto it = table_.values.find(value);
    return it == table_.values.end() ? nullptr : &it->second;
  }

  /// The range in the table, unless it was chosen for another grid than the one asked for.
  calibration::ChosenRange range_of(const TableValue& value, const RangeOptions& options) const {
    const bool same =
        options.bits == table_.options.bits && options.symmetric == table_.options.symmetric;
    if (same) return value.range;
    if (!value.edited && !value.statistics.histogram.empty()) {
      RangeOptions own = table_.options;
      own.method = value.range.method;
      own.bits = options.bits;
      own.symmetric = options.symmetric;
      return calibration::choose_range(value.statistics, own, {});
    }
    calibration::ChosenRange range = value.range;
    if (options.symmetric) {
      range.high = std::max(-range.low, range.high);
      range.low = -range.high;
    }
    return range;
  }

  std::string file_;
  Table table_;
  std::shared_ptr<CalibrationService> data_;
  std::optional<Fingerprint> state_;
};

}  // namespace

std::shared_ptr<CalibrationService> open_calibration_table(
    const std::filesystem::path& file, const Model& model,
    std::shared_ptr<CalibrationService> data) {
  Table table = calibration::read_table(support::read_file(file, ErrorCode::kData), file.string());
  const std::string own = model.fingerprint().hex();
  if (table.fingerprint != own) {
    throw Error(ErrorCode::kData,
                fmt::format("{}: made for another model: its fingerprint is {}, that of the model "
                            "before this step is {}",
                            file.string(), table.fingerprint, own))
        .hint(
            "make it with the same recipe: mcompress calibrate MODEL -r RECIPE --data "
            "calibration=FILE -o TABLE; if steps before this one use data, give this run the same, or "
            "make the table for runs without data: --table-alone");
  }
  return std::make_shared<TableCalibration>(file.string(), std::move(table), std::move(data));
}

}  // namespace mcompress
