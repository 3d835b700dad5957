// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "mcompress/options.h"
#include "mcompress/trainer.h"

namespace mcompress::training {

/// What steps that train have in common, as a recipe says it. A pass changes
/// the defaults that do not suit it before it calls `describe`.
struct TrainingOptions : TrainingPlan {
  TrainingOptions() { epochs = 5; }

  std::optional<double> steps = {};  ///< instead of epochs
  int64_t batch = 64;

  std::string teacher = "none";  ///< none, input, self, or a file
  std::vector<std::string> teachers = {};
  std::vector<double> teacher_weights = {};
  double temperature = 4, feature_weight = 1;
  std::optional<double> soft_weight = {};  ///< half, where it is not given
  std::vector<std::string> features = {};  ///< "STUDENT=TEACHER"
  int self_every = 1;

  std::vector<std::string> freeze = {};
  std::string checkpoint = "";
  bool skip_without = false;  ///< `missing-data: skip`

  void describe(OptionSet& options);
  /// Complaint about a combination of options, or "".
  std::string check() const;
  bool has_teacher() const { return teacher != "none" || !teachers.empty(); }

 private:
  void describe_learning(OptionSet& options);
  void describe_data(OptionSet& options);
  void describe_teachers(OptionSet& options);
};

}  // namespace mcompress::training
