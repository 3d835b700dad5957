// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "mcompress/model.h"
#include "mcompress/trainer.h"

namespace mcompress::train {

/// Trainer::train; exceptions of libtorch pass. Each epoch takes the samples in an order drawn
/// anew; what is left at its end that makes no whole batch is left out of it. Batches are cut into
/// shards of a fixed number of samples; each runs on one thread, and gradients are added up in the
/// order of shards.
TrainingResult train_model(Model& model, const TrainingTask& task);

}  // namespace mcompress::train
