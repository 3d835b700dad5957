// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "mcompress/layer.h"
#include "mcompress/model.h"
#include "mcompress/value_types.h"

namespace mcompress::quantization {

enum class UnitKind {
  kConv,     ///< Conv [+ Relu or Clip from 0]: QLinearConv, output in 8 bits
  kProduct,  ///< MatMul or Gemm with a constant right side: integer product, output in float, or,
             ///< with an activation behind it, in 8 bits
  kMatMul,   ///< of two computed values: integer product, output in float
  kAdd,      ///< Add of two values of one shape [+ Relu]: QLinearAdd
  kMul,      ///< Mul of two values of one shape: QLinearMul
  kConcat,   ///< of computed values: QLinearConcat
  kMaxPool,  ///< of the output of a kConv: moves 8-bit values
  kGlobalPool,  ///< GlobalAveragePool: QLinearGlobalAveragePool
  kLookup,  ///< Sigmoid or LeakyRelu: a table of 256 integers, QLinearSigmoid or QLinearLeakyRelu
  kMove,    ///< Reshape, Flatten, Transpose, Squeeze, Unsqueeze, Slice, Gather: moves 8-bit values
};

/// Nodes that the runtime turns into one kernel when their values are in 8 bits (algorithms.md
/// section 3).
struct Unit {
  UnitKind kind = UnitKind::kConv;
  NodeRef node;
  NodeRef activation;               ///< Relu or Clip behind it; empty without
  Layer layer;                      ///< of kConv and kProduct
  std::vector<std::string> inputs;  ///< values that must be in 8 bits
  std::string output;               ///< value that leaves the unit, behind the activation
  int channel_axis = 1;             ///< of the output
  int input_channel_axis = 1;
  bool lone_activation =
      false;  ///< one follows that float kernels take along and integer ones do not
  uint64_t macs = 0;
  int64_t rows = 0;  ///< of a product: rows of the left side; of kMatMul in one matrix
  int64_t input_elements = 0;  ///< of its first input
  int64_t output_elements = 0;
};

/// True when the unit leaves its output in 8 bits; a product without an activation leaves floats.
bool leaves_int8(const Unit& unit);
/// True when the unit leaves 8-bit values as they are: its output has the scale of its input.
bool moves_values(const Unit& unit);

/// Layers and other nodes that compute with integers already, in QDQ form, as operators on integers
/// or with dynamic ranges; weights that are merely stored in integers do not count.
int64_t count_quantized(Model& model);

/// Units of the main graph whose shapes are known. `refused` gets layers that have no integer
/// kernel, with the reason: weights that are stored already, grouped convolutions, several readers
/// before the activation, ...
struct RefusedLayer {
  Layer layer;
  std::string reason;
};
std::vector<Unit> find_units(Model& model, const ValueTypes& types,
                             const std::vector<Layer>& layers, std::vector<RefusedLayer>& refused);

/// The same units in a clone of their model.
std::vector<Unit> rebind(Model& clone, const std::vector<Unit>& units);

/// Elements of a value with open dimensions taken as 1; 0 when its rank is unknown.
int64_t element_estimate(const ValueType& type);

}  // namespace mcompress::quantization
