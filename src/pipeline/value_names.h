// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>

#include "mcompress/model.h"

namespace mcompress {

/// What values of a compressed model are called in the input model, and the other way round. Both
/// models outlive it.
class ValueNames {
 public:
  ValueNames(Model& before, Model& after);

  /// The layer of the input model that a value of the compressed one stands for, by its output.
  std::string layer_before(const std::string& now) const;
  /// The value of the input model that holds the same numbers, were nothing lost. Differs from
  /// `layer_before` where a layer took constants in: it computes what came out behind them.
  std::string value_before(const std::string& now) const;
  /// The other way round; the name itself where it was not renamed.
  std::string now(const std::string& layer_before) const;

 private:
  Model* before_;
  Model* after_;
  std::multimap<std::string, std::string> renamed_;  ///< by the name in the input model
};

/// Where no layer of the second model has a name of the first one (shorten-names) and both have the
/// same layers in the same order, records in the second one's state what its layers are called in
/// the first, and returns true. What a layer computes may still differ by a constant that it took
/// in.
bool recognise_by_order(Model& first, Model& second);

}  // namespace mcompress
