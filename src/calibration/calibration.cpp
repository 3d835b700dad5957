// SPDX-License-Identifier: Apache-2.0
#include "calibration/calibration.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <tuple>

#include "calibration/channel_sums.h"
#include "calibration/layer_moments.h"
#include "numerics/observer.h"
#include "numerics/range_choice.h"
#include "support/parallel_for.h"

namespace mcompress {
namespace {

constexpr size_t kTapBudget = size_t{192} << 20;

numerics::RangeMethod method_of(RangeMethod method) {
  switch (method) {
    case RangeMethod::kPercentile:
      return numerics::RangeMethod::kPercentile;
    case RangeMethod::kEntropy:
      return numerics::RangeMethod::kEntropy;
    case RangeMethod::kMse:
    case RangeMethod::kAuto:
      return numerics::RangeMethod::kMse;
    case RangeMethod::kMinMax:
    case RangeMethod::kMovingAverage:
      break;
  }
  return numerics::RangeMethod::kMinMax;
}

/// All that is kept of one value.
struct Watched {
  numerics::Histogram histogram;
  numerics::MovingRange moving;
  int channel_axis = -1;
  calibration::ChannelSums channels;
};

/// Counts the samples of each group of taps.
class GroupProgress {
 public:
  GroupProgress(Progress* progress, size_t samples) : progress_(progress), samples_(samples) {}
  GroupProgress(const GroupProgress&) = delete;
  GroupProgress& operator=(const GroupProgress&) = delete;
  ~GroupProgress() { close(); }

  void seen(size_t sample) {
    if (progress_ == nullptr) return;
    if (sample == 0) {
      close();
      progress_->begin("calibration", samples_);
      open_ = true;
    }
    progress_->advance();
  }

 private:
  void close() {
    if (open_) progress_->end();
    open_ = false;
  }

  Progress* progress_;
  size_t samples_;
  bool open_ = false;
};

class Calibration final : public CalibrationService {
 public:
  Calibration(std::shared_ptr<RuntimeService> runtime, std::shared_ptr<const Dataset> data,
              int threads, std::shared_ptr<Progress> progress)
      : runtime_(std::move(runtime)),
        data_(std::move(data)),
        threads_(threads),
        progress_(std::move(progress)) {}

  const Dataset& data() const override { return *data_; }

  void observe(const Model& model, std::span<const ObservedValue> values) override {
    auto& known = of(model);
    std::vector<std::string> names;
    for (const auto& value : values) {
      const auto it = known.find(value.name);
      if (it != known.end() &&
          (value.channel_axis < 0 || it->second.channel_axis == value.channel_axis)) {
        continue;
      }
      known.erase(value.name);
      known[value.name].channel_axis = value.channel_axis;
      names.push_back(value.name);
    }
    GroupProgress progress(progress_.get(), data_->size());
    for_each_tap(
        *runtime_, model, *data_, names, kTapBudget, threads_,
        [&](size_t sample, std::span<const std::string> group, std::span<const Tensor> tensors) {
          progress.seen(sample);
          // Each value has statistics of its own: the order among values does not matter.
          parallel_for(0, static_cast<int64_t>(group.size()), 1, [&](int64_t begin, int64_t end) {
            for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
              watch(known.at(group[i]), group[i], tensors[i], sample);
            }
          });
        });
  }

  std::optional<ValueRange> range(const Model& model, const std::string& value,
                                  const RangeOptions& options) override {
    const auto& known = of(model);
    const auto it = known.find(value);
    if (it == known.end() || it->second.histogram.empty()) return std::nullopt;
    const Watched& watched = it->second;
    ValueRange range;
    range.min = watched.histogram.extent().min;
    range.max = watched.histogram.extent().max;
    range.count = static_cast<uint64_t>(watched.histogram.count());
    if (options.method == RangeMethod::kMovingAverage) {
      range.low = std::min(0.0f, watched.moving.min());
      range.high = std::max(0.0f, watched.moving.max());
      return range;
    }
    const auto chosen = numerics::choose_range(
        watched.histogram,
        {.method = method_of(options.method),
         .range = numerics::int_range(options.bits, options.symmetric, options.symmetric),
         .symmetric = options.symmetric,
         .percentile = options.percentile / 100});
    range.low = chosen.low;
    range.high = chosen.high;
    return range;
  }

  std::optional<ChannelStatistics> channels(const Model& model, const std::string& value) override {
    const auto& known = of(model);
    const auto it = known.find(value);
    if (it == known.end() || it->second.channels.empty()) return std::nullopt;
    return it->second.channels.statistics();
  }

  std::vector<std::string> moments(
      const Model& model, std::span<const Layer> layers,
      const std::function<void(size_t, std::span<const LayerMoments>)>& visit) override {
    GroupProgress progress(progress_.get(), data_->size());
    return calibration::collect_moments(
        *runtime_, model, *data_, layers, {}, threads_,
        [&](size_t sample) { progress.seen(sample); }, visit);
  }

  void for_each(const Model& model, std::span<const std::string> values, size_t samples,
                const std::function<void(size_t, std::span<const std::string>,
                                         std::span<const Tensor>)>& visit) override {
    std::vector<size_t> first(std::min(samples, data_->size()));
    std::iota(first.begin(), first.end(), size_t{0});
    const auto part = subset(data_, std::move(first), data_->description());
    GroupProgress progress(progress_.get(), part->size());
    for_each_tap(
        *runtime_, model, *part, values, kTapBudget, threads_,
        [&](size_t sample, std::span<const std::string> group, std::span<const Tensor> tensors) {
          progress.seen(sample);
          visit(sample, group, tensors);
        });
  }

 private:
  std::map<std::string, Watched>& of(const Model& model) {
    const Fingerprint now = model.fingerprint();
    if (!(now == fingerprint_)) {
      known_.clear();  // statistics belong to one state of the model
      fingerprint_ = now;
    }
    return known_;
  }

  void watch(Watched& watched, const std::string& name, const Tensor& tensor, size_t sample) const {
    if (tensor.type() != DataType::kFloat || tensor.count() == 0) return;
    const auto values = tensor.as<float>();
    const auto extent = watched.histogram.add(values);
    if (extent.non_finite > 0) {
      throw Error(ErrorCode::kData, "value '" + name + "' has " +
                                        std::to_string(extent.non_finite) +
                                        " NaN or infinite elements on sample " +
                                        std::to_string(sample) + " of " + data_->description())
          .hint("leave the sample out, or check the model with mcompress evaluate");
    }
    watched.moving.add(extent);
    const Shape& shape = tensor.shape();
    const int axis = watched.channel_axis;
    if (axis < 0 || axis >= static_cast<int>(shape.size())) return;
    numerics::ChannelLayout layout;
    for (int i = 0; i < static_cast<int>(shape.size()); ++i) {
      int64_t& part = i < axis ? layout.outer : i == axis ? layout.channels : layout.inner;
      part *= shape[static_cast<size_t>(i)];
    }
    watched.channels.add(values, layout);
  }

  std::shared_ptr<RuntimeService> runtime_;
  std::shared_ptr<const Dataset> data_;
  int threads_;
  std::shared_ptr<Progress> progress_;
  Fingerprint fingerprint_;
  std::map<std::string, Watched> known_;
};

}  // namespace

std::shared_ptr<CalibrationService> make_calibration(std::shared_ptr<RuntimeService> runtime,
                                                     std::shared_ptr<const Dataset> data,
                                                     int threads,
                                                     std::shared_ptr<Progress> progress) {
  return std::make_shared<Calibration>(std::move(runtime), std::move(data), threads,
                                       std::move(progress));
}

}  // namespace mcompress
