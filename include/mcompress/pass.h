// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mcompress/layer.h"
#include "mcompress/model.h"
#include "mcompress/options.h"

namespace mcompress {

class PassContext;

/// What a pass may do to the outputs (rules.md 9).
enum class Fidelity { kExact, kRounding, kLossy, kTraining };
std::string_view fidelity_name(Fidelity fidelity);

/// What a pass cannot work without.
struct Needs {
  bool runtime = false;      ///< types and shapes, or runs
  bool calibration = false;  ///< calibration data
  bool training = false;     ///< training data and a trainer
  /// Decides by the metric where there is data for that: some is held out of plentiful calibration
  /// data when no validation data is given.
  bool judge = false;
};

struct PassInfo {
  std::string_view name;     ///< kebab-case stem of the file
  std::string_view summary;  ///< one line, no full stop
  Fidelity fidelity = Fidelity::kExact;
  Needs needs = {};
  bool idempotent = true;    ///< a second run changes nothing
  std::string_view cost = "";     ///< what it costs: time, accuracy, load time
  std::string_view benefit = "";  ///< what it brings: size, latency
};

/// A transformation of a model. One object per step of a recipe; options are its members.
class Pass {
 public:
  virtual ~Pass() = default;
  virtual const PassInfo& info() const = 0;
  virtual void describe(OptionSet& options) = 0;
  /// Complaint about a combination of options that no single range can express, or "".
  virtual std::string check_options() const { return ""; }
  /// True when the pass acts on layers: `only` and `skip` are then allowed beside its options.
  virtual bool acts_on_layers() const { return false; }
  /// With the options as they are, the pass does nothing and says so where it needs calibration data
  /// and there is none; otherwise that is an error.
  virtual bool skips_without_data() const { return false; }
  /// File of mcompress calibrate that stands for calibration data in this step, or "": an option of the
  /// pass, opened by the manager.
  virtual std::string calibration_table() const { return ""; }
  /// For --dry-run: bits that a weight of a selected layer takes in the file after this pass, scales
  /// and the like left out; nothing when that is known only after running it.
  virtual std::optional<double> stored_bits_per_weight() const { return std::nullopt; }
  /// Returns whether the model was changed; the manager holds it to that.
  virtual bool run(Model& model, PassContext& context) = 0;
};

/// Layers that `only` and `skip` choose for this step, in graph order. Records the others with their
/// reason, and warns of patterns that match no layer. `obstacle`: why a pass leaves one of the
/// chosen alone, or "".
std::vector<Layer> select_layers(Model& model, PassContext& context,
                                 const std::function<std::string(const Layer&)>& obstacle = {});

/// A pass that looks at one layer at a time. The framework finds the layers, applies `only` and
/// `skip`, and turns Unsupported (thrown before any edit) into a skip with its reason.
class LayerPass : public Pass {
 public:
  bool acts_on_layers() const final { return true; }
  bool run(Model& model, PassContext& context) final;

 protected:
  /// Once, before the layers, with those that are selected: global thresholds, calibration.
  virtual void prepare(Model&, PassContext&, std::vector<Layer>& /*selected*/) {}
  /// Returns whether the layer was changed.
  virtual bool run_on_layer(Layer& layer, PassContext& context) = 0;
  /// Once, after the layers. Returns whether it changed anything.
  virtual bool finish(Model&, PassContext&) { return false; }
};

/// Name -> factory. Objects, not globals: tests make their own.
class PassRegistry {
 public:
  using Factory = std::function<std::unique_ptr<Pass>()>;
  /// Throws kBug on a duplicate name.
  void add(std::string name, Factory factory);
  bool contains(std::string_view name) const;
  /// Throws kRecipe with the nearest name when unknown.
  std::unique_ptr<Pass> create(std::string_view name) const;
  std::vector<std::string> names() const;  ///< sorted

 private:
  std::vector<std::pair<std::string, Factory>> factories_;
};

/// All passes that are compiled in (generated from src/passes/*.cpp).
const PassRegistry& builtin_passes();

}  // namespace mcompress
