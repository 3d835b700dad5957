// SPDX-License-Identifier: Apache-2.0
#include "search/output_damage.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "quantization/damage.h"

namespace mcompress::search {
namespace {

struct Power {
  double signal = 0, noise = 0;
};

void add(const Tensor& expected, const Tensor& actual, Power& power) {
  const auto a = expected.to_float(), b = actual.to_float();
  if (a.size() != b.size()) {
    power.noise = std::numeric_limits<double>::infinity();
    return;
  }
  for (size_t i = 0; i < a.size(); ++i) {
    const double error = double{a[i]} - b[i];
    power.signal += double{a[i]} * a[i];
    // A value that is no number any more is all noise.
    power.noise += std::isfinite(error) ? error * error : double{a[i]} * a[i] + 1;
  }
}

}  // namespace

OutputDamage::OutputDamage(RuntimeService& runtime, const Model& reference, const Dataset& data,
                           size_t samples, int threads, size_t budget_bytes)
    : runtime_(runtime), threads_(threads) {
  const auto session = runtime_.open(reference, {.threads = threads_});
  size_t bytes = 0;
  for (size_t i = 0; i < std::min(samples, data.size()) && bytes < budget_bytes; ++i) {
    feeds_.push_back(data.feeds(i, 1));
    expected_.push_back(session->run(feeds_.back()));
    for (const Tensor& tensor : expected_.back()) bytes += tensor.byte_size();
    for (const NamedTensor& feed : feeds_.back()) bytes += feed.tensor.byte_size();
  }
}

OutputDamage::Result OutputDamage::measure(const Model& candidate) const {
  const auto session = runtime_.open(candidate, {.threads = threads_});
  quantization::DamageMeter meter;
  std::vector<Power> powers;
  for (size_t i = 0; i < feeds_.size(); ++i) {
    const auto outputs = session->run(feeds_[i]);
    meter.add(expected_[i], outputs);
    powers.resize(outputs.size());
    for (size_t k = 0; k < outputs.size(); ++k) {
      if (is_floating(outputs[k].type())) add(expected_[i][k], outputs[k], powers[k]);
    }
  }
  Result result{meter.value(), std::numeric_limits<double>::infinity()};
  for (const Power& power : powers) {
    if (power.noise <= 0) continue;
    const double signal = std::max(power.signal, std::numeric_limits<double>::min());
    result.sqnr_db = std::min(result.sqnr_db, 10 * std::log10(signal / power.noise));
  }
  return result;
}

}  // namespace mcompress::search
