// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include "mcompress/runtime_service.h"

namespace mcompress::search {

/// How far the outputs of candidates are from those of a reference on some samples. The reference
/// runs once: its outputs are kept.
class OutputDamage {
 public:
  /// The first samples of `data`, fewer where their outputs would take more than `budget_bytes`.
  OutputDamage(RuntimeService& runtime, const Model& reference, const Dataset& data, size_t samples,
               int threads, size_t budget_bytes = size_t{256} << 20);

  struct Result {
    double damage = 0;   ///< quantization/damage.h
    double sqnr_db = 0;  ///< of the worst output; infinity where nothing differs
  };
  Result measure(const Model& candidate) const;
  size_t samples() const { return feeds_.size(); }

 private:
  RuntimeService& runtime_;
  int threads_;
  std::vector<Feeds> feeds_;
  std::vector<std::vector<Tensor>> expected_;
};

}  // namespace mcompress::search
