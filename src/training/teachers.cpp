// SPDX-License-Identifier: Apache-2.0
#include "training/teachers.h"

#include <fmt/format.h>

#include <algorithm>
#include <mutex>

#include "mcompress/error.h"

namespace mcompress::training {
namespace {

[[noreturn]] void fail(const std::string& message, const std::string& hint) {
  throw Error(ErrorCode::kModel, message).hint(hint);
}

/// An open model that several threads may ask, with the names under which it
/// reads what the data has.
class Answers {
 public:
  Answers(RuntimeService& runtime, const TeacherModel& teacher, const Feeds& sample,
          const std::vector<std::string>& values, int threads)
      : name_(teacher.name) {
    SessionOptions options;
    options.threads = threads;
    for (const std::string& value : values) {
      auto& tapped = options.extra_outputs;
      if (std::find(tapped.begin(), tapped.end(), value) == tapped.end()) tapped.push_back(value);
    }
    options.only_extra = true;
    session_ = runtime.open(*teacher.model, options);
    for (const std::string& value : values) places_.push_back(place_of(value));
    match_inputs(sample);
  }

  std::vector<Tensor> run(const Feeds& batch) {
    const std::lock_guard lock(mutex_);
    Feeds feeds;
    for (const auto& [own, given] : inputs_) {
      const auto found = std::find_if(batch.begin(), batch.end(),
                                      [&](const NamedTensor& one) { return one.name == given; });
      if (found == batch.end()) throw Error(ErrorCode::kBug, name_ + ": the batch lacks " + given);
      feeds.push_back({own, found->tensor});
    }
    const std::vector<Tensor> all = session_->run(feeds);
    std::vector<Tensor> wanted;
    for (const size_t place : places_) wanted.push_back(all.at(place));
    return wanted;
  }

 private:
  size_t place_of(const std::string& value) const {
    const auto& names = session_->output_names();
    const auto found = std::find(names.begin(), names.end(), value);
    if (found == names.end()) {
      throw Error(ErrorCode::kBug, fmt::format("{}: no output '{}'", name_, value));
    }
    return static_cast<size_t>(found - names.begin());
  }

  /// By name; one input alone may have another name than the data's only
  /// tensor.
  void match_inputs(const Feeds& sample) {
    const auto& inputs = session_->inputs();
    for (const ValueInfo& input : inputs) {
      const auto same = std::find_if(sample.begin(), sample.end(), [&](const NamedTensor& one) {
        return one.name == input.name;
      });
      const bool only = inputs.size() == 1 && sample.size() == 1;
      if (same == sample.end() && !only) {
        fail(fmt::format("{}: reads '{}', which the model that is trained does not have", name_,
                         input.name),
             "a teacher reads the same inputs under the same names");
      }
      const NamedTensor& given = same == sample.end() ? sample.front() : *same;
      check_input(input, given);
      inputs_.push_back({input.name, given.name});
    }
  }

  void check_input(const ValueInfo& input, const NamedTensor& given) const {
    const Shape& shape = given.tensor.shape();
    bool fits = input.type == given.tensor.type();
    if (input.has_shape) {
      fits = fits && input.shape.size() == shape.size();
      for (size_t i = 1; fits && i < shape.size(); ++i) {
        fits = input.shape[i] < 0 || input.shape[i] == shape[i];
      }
    }
    if (fits) return;
    fail(fmt::format("{}: input '{}' is {}{}, the data has {}{}", name_, input.name,
                     data_type_name(input.type), to_string(input.shape),
                     data_type_name(given.tensor.type()), to_string(shape)),
         "a teacher reads the inputs of the model that is trained");
  }

  std::string name_;
  std::unique_ptr<Session> session_;
  std::vector<size_t> places_;
  std::vector<std::pair<std::string, std::string>> inputs_;  ///< own name, name in the data
  std::mutex mutex_;
};

}  // namespace

Teacher open_teacher(RuntimeService& runtime, const TeacherModel& teacher, const Dataset& data,
                     const std::string& output, const Shape& expected,
                     const std::vector<std::string>& features, int threads) {
  Model model = teacher.model->clone();
  const auto outputs = model.graph().outputs();
  if (outputs.empty()) fail(teacher.name + ": has no output", "name another teacher");
  const bool same = std::any_of(outputs.begin(), outputs.end(),
                                [&](const ValueInfo& one) { return one.name == output; });
  std::vector<std::string> values = {same ? output : outputs.front().name};
  for (const std::string& feature : features) {
    const ValueRef value = model.graph().find(feature);
    if (!value || value.is_constant()) {
      fail(fmt::format("{}: has no value '{}'", teacher.name, feature),
           "features are STUDENT=TEACHER, by the names of values of the main graph");
    }
    values.push_back(feature);
  }
  const Feeds sample = data.feeds(0, 1);
  const auto answers = std::make_shared<Answers>(runtime, teacher, sample, values, threads);
  std::vector<Tensor> tried;
  try {
    tried = answers->run(sample);
  } catch (Error& error) {
    if (error.code() != ErrorCode::kInterrupted) error.with_context(teacher.name);
    throw;
  }
  if (tried.front().shape() != expected) {
    fail(fmt::format("{}: answers one sample with {}, the model that is trained with {}",
                     teacher.name, to_string(tried.front().shape()), to_string(expected)),
         "a teacher has the output of the model that is trained");
  }
  return {[answers](const Feeds& batch) { return answers->run(batch); }, teacher.weight};
}

std::function<Feeds(const Feeds&)> open_prefix(RuntimeService& runtime, const Model& model,
                                               const std::vector<std::string>& values,
                                               int threads) {
  // What the data has already stays as it is.
  std::vector<std::string> computed;
  std::vector<std::string> given;
  const auto inputs = model.graph().inputs();
  for (const std::string& value : values) {
    const bool is_input = std::any_of(inputs.begin(), inputs.end(),
                                      [&](const ValueInfo& one) { return one.name == value; });
    (is_input ? given : computed).push_back(value);
  }
  if (computed.empty()) return {};
  SessionOptions options;
  options.threads = threads;
  options.extra_outputs = computed;
  options.only_extra = true;
  const std::shared_ptr<Session> session = runtime.open(model, options);
  const auto mutex = std::make_shared<std::mutex>();
  return [session, mutex, given, computed](const Feeds& batch) {
    const std::lock_guard lock(*mutex);
    Feeds needed;
    for (const ValueInfo& input : session->inputs()) {
      for (const NamedTensor& one : batch) {
        if (one.name == input.name) needed.push_back(one);
      }
    }
    const std::vector<Tensor> results = session->run(needed);
    Feeds fed;
    for (size_t i = 0; i < results.size(); ++i) {
      fed.push_back({session->output_names()[i], results[i]});
    }
    for (const NamedTensor& one : batch) {
      if (std::find(given.begin(), given.end(), one.name) != given.end()) fed.push_back(one);
    }
    return fed;
  };
}

}  // namespace mcompress::training
