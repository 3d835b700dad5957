// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/ATen.h>

namespace mcompress::train {

// Losses of labels, each the sum over samples of a mean over the places of a sample. `scores` are
// logits [samples, places, classes].

/// -(1 - e) log p[y] - e / C sum of log p: labels [samples, ...] of class numbers; places whose
/// number is no class count for nothing.
at::Tensor cross_entropy(const at::Tensor& scores, const at::Tensor& labels, double smoothing);
/// -sum of q log p for distributions q: labels of as many elements as scores, in their order.
at::Tensor cross_entropy_of(const at::Tensor& scores, const at::Tensor& distributions,
                            double smoothing);
/// -y log s(z) - (1 - y) log s(-z), the mean over all elements of a sample; y moved towards 1/2 by
/// smoothing.
at::Tensor binary_cross_entropy(const at::Tensor& scores, const at::Tensor& labels,
                                double smoothing);
/// Mean over the elements of a sample of (output - labels)^2.
at::Tensor mean_square(const at::Tensor& output, const at::Tensor& labels);
/// -log p(sequence), connectionist temporal classification with class 0 as blank: places are steps,
/// negative labels padding.
at::Tensor ctc(const at::Tensor& scores, const at::Tensor& labels);
/// T^2 sum of q (log q - log p), q and p at temperature T; `soft`: scores of the teacher at
/// temperature 1. Its gradient is T (p - q) for each place, divided by the number of places
/// (1503.02531).
at::Tensor soft_cross_entropy(const at::Tensor& scores, const at::Tensor& soft, double temperature);

}  // namespace mcompress::train
