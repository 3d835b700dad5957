// SPDX-License-Identifier: Apache-2.0
#include "calibration/calibration.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <tuple>

#include "calibration/collect.h"
#include "calibration/layer_moments.h"
#include "calibration/statistics.h"

namespace mcompress {
namespace {

using calibration::GroupProgress;
using calibration::ValueStatistics;

class Calibration final : public CalibrationService {
 public:
  Calibration(std::shared_ptr<RuntimeService> runtime, std::shared_ptr<const Dataset> data,
              int threads, std::shared_ptr<Progress> progress, size_t kept_moment_bytes)
      : runtime_(std::move(runtime)),
        data_(std::move(data)),
        threads_(threads),
        progress_(std::move(progress)),
        room_for_moments_(kept_moment_bytes) {}

  const Dataset& data() const override { return *data_; }

  void observe(const Model& model, std::span<const ObservedValue> values) override {
    auto& known = of(model);
    std::vector<ObservedValue> unknown;
    for (const auto& value : values) {
      const auto it = known.find(value.name);
      if (it != known.end() &&
          (value.channel_axis < 0 || it->second.channel_axis == value.channel_axis)) {
        continue;
      }
      unknown.push_back(value);
    }
    std::map<std::string, ValueStatistics> found;  // nothing half done is kept
    calibration::collect(*runtime_, model, *data_, unknown,
                         {.threads = threads_, .progress = progress_.get()}, found);
    for (auto& [name, statistics] : found) known[name] = std::move(statistics);
  }

  std::optional<ValueRange> range(const Model& model, const std::string& value,
                                  const RangeOptions& options) override {
    const auto& known = of(model);
    const auto it = known.find(value);
    if (it == known.end() || it->second.histogram.empty()) return std::nullopt;
    const auto chosen =
        calibration::choose_range(it->second, options, energy(model, value, options.method));
    const auto& histogram = it->second.histogram;
    return ValueRange{.low = chosen.low,
                      .high = chosen.high,
                      .min = histogram.extent().min,
                      .max = histogram.extent().max,
                      .count = static_cast<uint64_t>(histogram.count())};
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
    if (room_for_moments_ == 0) return compute_moments(model, layers, visit);
    const Fingerprint now = model.fingerprint();
    if (!(now == kept_.state)) kept_ = {.room = room_for_moments_, .state = now};
    std::vector<Layer> unknown;
    std::vector<size_t> places, known;
    for (size_t i = 0; i < layers.size(); ++i) {
      const bool is_known = kept_.of.contains(key_of(layers[i]));
      (is_known ? known : places).push_back(i);
      if (!is_known) unknown.push_back(layers[i]);
    }
    std::vector<std::string> reasons(layers.size());
    const auto left_out =
        compute_moments(model, unknown, [&](size_t at, std::span<const LayerMoments> groups) {
          keep(layers[places[at]], groups);
          visit(places[at], groups);
        });
    for (size_t i = 0; i < left_out.size(); ++i) reasons[places[i]] = left_out[i];
    for (const size_t i : known) {
      const auto groups = kept_.of.at(key_of(layers[i]));  // a copy: visitors may ask for more
      visit(i, *groups);
    }
    return reasons;
  }

  void for_each(const Model& model, std::span<const std::string> values, size_t samples,
                const std::function<void(size_t, std::span<const std::string>,
                                         std::span<const Tensor>)>& visit) override {
    std::vector<size_t> first(std::min(samples, data_->size()));
    std::iota(first.begin(), first.end(), size_t{0});
    const auto part = subset(data_, std::move(first), data_->description());
    GroupProgress progress(progress_.get(), part->size());
    for_each_tap(
        *runtime_, model, *part, values, calibration::kTapBytes, threads_,
        [&](size_t sample, std::span<const std::string> group, std::span<const Tensor> tensors) {
          progress.seen(sample);
          visit(sample, group, tensors);
        });
  }

 private:
  using Moments = std::vector<LayerMoments>;
  /// Of one state of the model.
  struct Kept {
    size_t room = 0;  ///< bytes that may still be added
    Fingerprint state;
    std::map<std::tuple<std::string, int, int64_t>, std::shared_ptr<const Moments>> of{};
  };
  /// A layer may be asked for as if it had more groups, for the moments of parts of its inputs.
  static std::tuple<std::string, int, int64_t> key_of(const Layer& layer) {
    return {layer.output, layer.weight_input, layer.groups};
  }

  std::vector<std::string> compute_moments(
      const Model& model, std::span<const Layer> layers,
      const std::function<void(size_t, std::span<const LayerMoments>)>& visit) {
    GroupProgress progress(progress_.get(), data_->size());
    return calibration::collect_moments(
        *runtime_, model, *data_, layers, {}, threads_,
        [&](size_t sample) { progress.seen(sample); }, visit);
  }

  void keep(const Layer& layer, std::span<const LayerMoments> groups) {
    size_t bytes = 0;
    for (const LayerMoments& group : groups) {
      bytes += (group.gram.size() + group.mean.size()) * sizeof(double);
    }
    if (bytes > kept_.room) return;
    kept_.room -= bytes;
    kept_.of[key_of(layer)] = std::make_shared<const Moments>(groups.begin(), groups.end());
  }

  std::map<std::string, ValueStatistics>& of(const Model& model) {
    const Fingerprint now = model.fingerprint();
    if (!(now == fingerprint_)) {
      known_.clear();  // statistics belong to one state of the model
      energies_.reset();
      fingerprint_ = now;
    }
    return known_;
  }

  /// What only RangeMethod::kAuto asks for; `model` is the one whose statistics are known.
  const std::vector<double>& energy(const Model& model, const std::string& value,
                                    RangeMethod method) {
    static const std::vector<double> kNone;
    if (method != RangeMethod::kAuto) return kNone;
    if (!energies_) energies_ = calibration::channel_energies(model);
    const auto it = energies_->find(value);
    return it == energies_->end() ? kNone : it->second;
  }

  std::shared_ptr<RuntimeService> runtime_;
  std::shared_ptr<const Dataset> data_;
  int threads_;
  std::shared_ptr<Progress> progress_;
  Fingerprint fingerprint_;
  std::map<std::string, ValueStatistics> known_;
  size_t room_for_moments_;
  Kept kept_{};
  std::optional<std::map<std::string, std::vector<double>>> energies_;
};

}  // namespace

std::shared_ptr<CalibrationService> make_calibration(std::shared_ptr<RuntimeService> runtime,
                                                     std::shared_ptr<const Dataset> data,
                                                     int threads,
                                                     std::shared_ptr<Progress> progress,
                                                     size_t kept_moment_bytes) {
  return std::make_shared<Calibration>(std::move(runtime), std::move(data), threads,
                                       std::move(progress), kept_moment_bytes);
}

}  // namespace mcompress
