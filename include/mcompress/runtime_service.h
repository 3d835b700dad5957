// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "mcompress/dataset.h"
#include "mcompress/interrupt.h"
#include "mcompress/model.h"
#include "mcompress/value_types.h"

namespace mcompress {

struct SessionOptions {
  bool optimize = true;   ///< all graph optimizations, or none
  bool prepack = true;    ///< false: faster to open, slower to run (shapes, verification)
  int threads = 1;        ///< intra-op threads
  bool profile = false;   ///< collect per-node times
  /// Values to return besides (or, with `only_extra`, instead of) the graph's outputs; main graph only.
  std::vector<std::string> extra_outputs = {};
  bool only_extra = false;
};

/// An open model. Not shared between threads.
class Session {
 public:
  virtual ~Session() = default;
  virtual const std::vector<ValueInfo>& inputs() const = 0;   ///< that must be fed
  virtual const std::vector<std::string>& output_names() const = 0;
  /// Outputs in the order of output_names. Throws kRuntime with the runtime's message; kInterrupted
  /// after an interrupt.
  virtual std::vector<Tensor> run(const Feeds& feeds) = 0;
  /// Runs and drops the outputs; returns seconds.
  virtual double time(const Feeds& feeds) = 0;
};

/// One node of the optimized graph with its share of the time. The time of a control-flow node
/// contains that of the nodes in its bodies, which are listed, too.
struct NodeProfile {
  std::string name;
  std::string op;
  double microseconds = 0;  ///< mean per Run
  /// The value of the profiled model that the node computes (for a fused node the last one of what
  /// was fused); "" for nodes of the runtime's own making, such as reorders.
  std::string value = {};
};

/// A node of the runtime's optimized graph.
struct OptimizedNode {
  std::string op;
  std::string domain;
  std::string name;
  std::vector<std::string> outputs;
};

/// ONNX Runtime as the library sees it (implemented in src/runtime). Everything that loads,
/// runs, infers or times a model goes through it.
class RuntimeService {
 public:
  virtual ~RuntimeService() = default;
  virtual std::string version() const = 0;
  /// Throws kModel with the runtime's own words when the model does not load.
  virtual std::unique_ptr<Session> open(const Model& model, const SessionOptions& options = {}) = 0;
  /// nullopt when the model loads (without optimizations, without prepacking), else why not.
  virtual std::optional<std::string> load_error(const Model& model) = 0;
  /// Types and shapes of all values, bodies of control flow included where the runtime can tell.
  /// With a sample, what is not known statically is filled from one Run (rank and type, the batch
  /// axis stays open). Never throws for a model that loads; unknown values are left out.
  virtual ValueTypes infer_types(const Model& model, const Feeds* sample = nullptr) = 0;
  /// The nodes that remain after the runtime's optimizations.
  virtual std::vector<OptimizedNode> optimized_nodes(const Model& model) = 0;
  /// Mean time per node over `runs` Runs, one thread unless told.
  virtual std::vector<NodeProfile> profile(const Model& model, const Feeds& feeds, int runs,
                                           int threads = 1) = 0;
};

/// Calls `visit(sample_index, outputs)` for every sample; `names` are read in groups so that the
/// outputs of one Run stay below `budget_bytes` (as measured on the first sample). Within a group
/// outputs come in the order of `names_of_group`.
void for_each_tap(RuntimeService& runtime, const Model& model, const Dataset& data,
                  std::span<const std::string> names, size_t budget_bytes, int threads,
                  const std::function<void(size_t sample, std::span<const std::string> names_of_group,
                                           std::span<const Tensor> values)>& visit);

/// Opens the ONNX Runtime library (installed beside the program, in the build's .deps, or at
/// `library`). Throws kRuntime with a hint when it is missing or too old. `ops_library` is a shared
/// library of custom operators that every session registers (--ops-library).
std::shared_ptr<RuntimeService> make_onnx_runtime(const std::string& library = "",
                                                  const std::string& ops_library = "");

/// Interleaved latency of several sessions on the same feeds.
struct Latency {
  double median_ms = 0, min_ms = 0, max_ms = 0;
  double spread_ms = 0;             ///< interquartile range
  double ratio = 1;                 ///< median of the paired ratios to the first session
  double ratio_low = 1, ratio_high = 1;  ///< 95 % interval of that median
  int pairs = 0;
};
std::vector<Latency> measure_latency(std::span<Session* const> sessions, const Feeds& feeds,
                                     int pairs, double max_seconds);

}  // namespace mcompress
