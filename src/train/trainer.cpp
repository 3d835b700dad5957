// SPDX-License-Identifier: Apache-2.0
#include <ATen/Parallel.h>
#include <c10/util/Exception.h>
#include <fmt/format.h>
#include <torch/types.h>
#include <torch/version.h>

#include <new>
#include <vector>

#include "mcompress/error.h"
#include "numerics/linear_algebra.h"
#include "support/parallel_for.h"
#include "train/kept_memory.h"
#include "train/loop.h"
#include "train/make_trainer.h"
#include "train/program.h"
#include "train/tensors.h"

namespace mcompress::train {
namespace {

Error out_of_memory() {
  return Error(ErrorCode::kRuntime, "training needs more memory than there is")
      .hint("a smaller batch needs less");
}

std::string first_line(std::string text) {
  text.resize(std::min(text.find('\n'), text.size()));
  return text;
}

/// Nothing but our own errors leaves the trainer.
template <class Function>
auto translated(const Function& function) {
  try {
    return function();
  } catch (const Error&) {
    throw;
  } catch (const Unsupported& reason) {
    throw Error(ErrorCode::kModel, "cannot be trained: " + reason.reason());
  } catch (const std::bad_alloc&) {
    throw out_of_memory();
  } catch (const c10::Error& error) {
    const std::string text = first_line(error.what_without_backtrace());
    if (text.find("allocate memory") != std::string::npos) throw out_of_memory();
    throw Error(ErrorCode::kRuntime, "libtorch: " + text);
  }
}

/// Each shard runs on one thread, and so does everything inside of it: sums do not depend on how
/// many there are.
void use_one_thread_inside() {
  at::set_num_threads(1);
  // The first product sets the library for linear algebra to one thread, for libtorch, too.
  const std::vector<double> one = {1};
  std::vector<double> product = {0};
  numerics::multiply(one, one, 1, 1, 1, product);
}

class TorchTrainer final : public Trainer {
 public:
  TorchTrainer() { use_one_thread_inside(); }
  std::string version() const override { return "libtorch " TORCH_VERSION; }

  TrainingCheck check(const Model& model, const std::string& output) override {
    return translated([&] { return check_model(model, output); });
  }

  TrainingResult train(Model& model, const TrainingTask& task) override {
    set_thread_count(task.threads);
    const KeptMemory kept;
    return translated([&] { return train_model(model, task); });
  }

  std::vector<Tensor> run(const Model& model, const Feeds& feeds,
                          const std::vector<std::string>& values) override {
    return translated([&] {
      const at::NoGradGuard no_gradients;
      std::vector<std::string> fed;
      Values given;
      for (const auto& feed : feeds) {
        fed.push_back(feed.name);
        given[feed.name] = to_torch(feed.tensor);
      }
      const Program program(model, fed, values);
      Execution execution;
      std::vector<Tensor> results;
      for (const at::Tensor& result : program.run(given, execution))
        results.push_back(from_torch(result));
      return results;
    });
  }
};

}  // namespace

std::shared_ptr<Trainer> make_trainer() { return std::make_shared<TorchTrainer>(); }

}  // namespace mcompress::train
