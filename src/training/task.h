// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "mcompress/layer.h"
#include "mcompress/pass_context.h"
#include "mcompress/trainer.h"
#include "training/options.h"

namespace mcompress::training {

/// False where the step is to be left out for want of data or trainer
/// (`missing-data: skip`), after a warning that says so. Throws kData or
/// kRuntime where that is an error.
bool can_train(const TrainingOptions& options, PassContext& context);

/// What `prepare` found of a model, and the task that trains it.
struct PreparedTask {
  TrainingTask task;
  TrainingCheck check;
};

/// The task that options, selection (`only`, `skip`) and context ask for:
/// parameters, teachers and frozen prefix in ONNX Runtime, the judge. All that
/// can be wrong about them is found here, before training: throws kModel for a
/// model without anything to train, for a node that no gradient passes and for
/// a teacher with other inputs or outputs, kData for data without labels where
/// there is no teacher either. `selected`: the layers that only and skip leave
/// (select_layers). `integers`: constants behind a DequantizeLinear that are trained like plain
/// ones (TrainingTask::quantizers); the check names them among the parameters.
PreparedTask prepare(const TrainingOptions& options, Model& model,
                     const std::vector<Layer>& selected, PassContext& context,
                     const std::vector<std::string>& integers = {});

/// Trains with progress, and records epochs, counters and notes. An interrupt
/// ends it: the best so far is in `model`, and the run goes on to encoding and
/// writing (PassContext::finish_early). Returns whether `model` changed.
bool train(Model& model, TrainingTask& task, PassContext& context);

}  // namespace mcompress::training
