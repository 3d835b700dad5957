// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "mcompress/pass.h"

namespace mcompress::testing {

/// Passes with options of every kind that do nothing: what recipes are read against here.
class FakePass : public Pass {
 public:
  explicit FakePass(std::string name, bool layers) : name_(std::move(name)), layers_(layers) {
    info_.name = name_;
    info_.summary = "does nothing";
  }
  const PassInfo& info() const override { return info_; }
  bool acts_on_layers() const override { return layers_; }
  void describe(OptionSet& o) override {
    if (!layers_) return;
    o.add("bits", bits_, "Width of the stored integer").range(2, 8);
    o.add("sparsity", sparsity_, "Share of zeros").range(0, 1);
    o.add("rank", rank_, "Rank", {"auto"}).at_least(1);
    o.add("granularity", granularity_, {{"tensor", 0}, {"channel", 1}}, "What shares a scale");
    o.add("ops", ops_, "Operators");
    o.add("levels", levels_, "Levels").greater_than(0);
    o.add("effort", effort_, {{"quick", 0}, {"normal", 1}, {"thorough", 2}}, "Effort");
    o.add("symmetric", symmetric_, "Zero point is zero");
    o.add("label", label_, "Text");
    o.add_file("table", table_, "Calibration table");
  }
  std::string check_options() const override {
    return bits_ == 2 && symmetric_ ? "2 bits cannot be symmetric" : "";
  }
  bool run(Model&, PassContext&) override { return false; }

 private:
  std::string name_;
  bool layers_;
  PassInfo info_;
  int bits_ = 8;
  double sparsity_ = 0.5;
  std::optional<double> rank_;
  int granularity_ = 1;
  int effort_ = 1;
  std::vector<std::string> ops_ = {"Conv", "Gemm"};
  std::vector<double> levels_;
  bool symmetric_ = true;
  std::string label_ = "q: 1";
  std::string table_;
};

inline PassRegistry fake_passes() {
  PassRegistry registry;
  for (const char* name :
       {"fold-batch-norm", "fold-constants", "encode-weights", "decode-weights", "shorten-names"}) {
    registry.add(name, [name] { return std::make_unique<FakePass>(name, false); });
  }
  for (const char* name : {"prune-magnitude", "factorize-weights", "share-weights", "fine-tune",
                           "quantize-static", "quantize-weights", "correct-bias"}) {
    registry.add(name, [name] { return std::make_unique<FakePass>(name, true); });
  }
  return registry;
}

}  // namespace mcompress::testing
