// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "mcompress/dataset.h"
#include "mcompress/runtime_service.h"
#include "mcompress/trainer.h"

namespace mcompress::training {

/// A model that answers for batches of the training data.
struct TeacherModel {
  std::string name;  ///< for messages
  const Model* model = nullptr;
  double weight = 1;
};

/// Opens the teacher and tries it on one sample of `data`: throws kModel where
/// it reads something else than the data has, answers in another shape than
/// `expected` (that of the student's output), or lacks one of `features`.
/// `output`: of the student; a teacher without an output of that name answers
/// with its first.
Teacher open_teacher(RuntimeService& runtime, const TeacherModel& teacher, const Dataset& data,
                     const std::string& output, const Shape& expected,
                     const std::vector<std::string>& features, int threads);

/// Runs `values` of the model on a batch, in ONNX Runtime.
std::function<Feeds(const Feeds&)> open_prefix(RuntimeService& runtime, const Model& model,
                                               const std::vector<std::string>& values, int threads);

}  // namespace mcompress::training
