// SPDX-License-Identifier: Apache-2.0
#include "train/loss_kinds.h"

#include <vector>

namespace mcompress::train {
namespace {

/// Rows [samples, places] added up, each row's mean over `counted` places.
at::Tensor sum_of_means(const at::Tensor& each, const at::Tensor& counted) {
  return (each.sum(1) / counted).sum();
}

}  // namespace

at::Tensor cross_entropy(const at::Tensor& scores, const at::Tensor& labels, double smoothing) {
  const int64_t samples = scores.size(0), classes = scores.size(2);
  const at::Tensor log_p = at::log_softmax(scores, -1);
  const at::Tensor y = labels.to(at::kLong).reshape({samples, -1});
  const at::Tensor counts = at::logical_and(y.ge(0), y.lt(classes));
  const at::Tensor own = log_p.gather(2, y.clamp(0, classes - 1).unsqueeze(2)).squeeze(2);
  at::Tensor each = -own;
  if (smoothing > 0) each = each * (1 - smoothing) - log_p.mean(2) * smoothing;
  return sum_of_means(each * counts, counts.sum(1).clamp_min(1));
}

at::Tensor cross_entropy_of(const at::Tensor& scores, const at::Tensor& distributions,
                            double smoothing) {
  const auto classes = static_cast<double>(scores.size(2));
  const at::Tensor q = distributions.to(scores.scalar_type()).reshape(scores.sizes());
  const at::Tensor target = q * (1 - smoothing) + smoothing / classes;
  return -(target * at::log_softmax(scores, -1)).sum(2).mean(1).sum();
}

at::Tensor binary_cross_entropy(const at::Tensor& scores, const at::Tensor& labels,
                                double smoothing) {
  const at::Tensor z = scores.reshape({scores.size(0), -1});
  const at::Tensor y = labels.to(z.scalar_type()).reshape(z.sizes());
  const at::Tensor target = y * (1 - smoothing) + smoothing / 2;
  // softplus(z) - y z: softplus(x) = max(x, 0) + log1p(exp(-|x|)).
  const at::Tensor each = z.clamp_min(0) - target * z + at::log1p(at::exp(-z.abs()));
  return each.mean(1).sum();
}

at::Tensor mean_square(const at::Tensor& output, const at::Tensor& labels) {
  const at::Tensor y = output.reshape({output.size(0), -1});
  const at::Tensor difference = y - labels.to(y.scalar_type()).reshape(y.sizes());
  return (difference * difference).mean(1).sum();
}

at::Tensor ctc(const at::Tensor& scores, const at::Tensor& labels) {
  const int64_t samples = scores.size(0), steps = scores.size(1);
  const at::Tensor rows = labels.to(at::kLong).reshape({samples, -1}).contiguous();
  std::vector<int64_t> symbols, lengths;
  for (int64_t i = 0; i < samples; ++i) {
    const int64_t* row = rows.data_ptr<int64_t>() + i * rows.size(1);
    const size_t before = symbols.size();
    for (int64_t j = 0; j < rows.size(1); ++j) {
      if (row[j] >= 0) symbols.push_back(row[j]);
    }
    lengths.push_back(static_cast<int64_t>(symbols.size() - before));
  }
  const at::Tensor targets =
      at::from_blob(symbols.data(), {static_cast<int64_t>(symbols.size())}, at::kLong).clone();
  const std::vector<int64_t> all_steps(static_cast<size_t>(samples), steps);
  // libtorch's gradient holds for the chain with log_softmax only, which normalizes probabilities'
  // logarithms, too.
  const at::Tensor log_p = at::log_softmax(scores, -1).transpose(0, 1).contiguous();
  return at::ctc_loss(log_p, targets, all_steps, lengths, /*blank=*/0, at::Reduction::None,
                      /*zero_infinity=*/true)
      .sum();
}

at::Tensor soft_cross_entropy(const at::Tensor& scores, const at::Tensor& soft,
                              double temperature) {
  const at::Tensor log_q = at::log_softmax(soft.to(scores.scalar_type()) / temperature, -1);
  const at::Tensor log_p = at::log_softmax(scores / temperature, -1);
  const at::Tensor each = (log_q.exp() * (log_q - log_p)).sum(2);
  return each.mean(1).sum() * (temperature * temperature);
}

}  // namespace mcompress::train
