// SPDX-License-Identifier: Apache-2.0
#include "data/array_scan.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include "mcompress/error.h"
#include "support/half.h"

namespace mcompress::data {
namespace {

constexpr int64_t kPiece = int64_t{1} << 18;

template <class T>
double widen(T value) {
  if constexpr (std::is_same_v<T, Half>) {
    return static_cast<double>(half_to_float(value.bits));
  } else {
    return static_cast<double>(value);
  }
}

template <class T>
void scan_piece(std::span<const T> values, int64_t first, ScanResult& result) {
  for (size_t i = 0; i < values.size(); ++i) {
    const double value = widen(values[i]);
    if (!std::isfinite(value)) {
      result.not_finite = first + static_cast<int64_t>(i);
      result.is_nan = std::isnan(value);
      return;
    }
    result.min = std::min(result.min, value);
    result.max = std::max(result.max, value);
    if constexpr (!std::is_integral_v<T>)
      result.integral = result.integral && value == std::floor(value);
  }
}

void scan_tensor(const Tensor& piece, int64_t first, ScanResult& result) {
  switch (piece.type()) {
    case DataType::kBool:
      return scan_piece(piece.as<bool>(), first, result);
    case DataType::kUint8:
      return scan_piece(piece.as<uint8_t>(), first, result);
    case DataType::kInt8:
      return scan_piece(piece.as<int8_t>(), first, result);
    case DataType::kUint16:
      return scan_piece(piece.as<uint16_t>(), first, result);
    case DataType::kInt16:
      return scan_piece(piece.as<int16_t>(), first, result);
    case DataType::kUint32:
      return scan_piece(piece.as<uint32_t>(), first, result);
    case DataType::kInt32:
      return scan_piece(piece.as<int32_t>(), first, result);
    case DataType::kUint64:
      return scan_piece(piece.as<uint64_t>(), first, result);
    case DataType::kInt64:
      return scan_piece(piece.as<int64_t>(), first, result);
    case DataType::kFloat16:
      return scan_piece(piece.as<Half>(), first, result);
    case DataType::kFloat:
      return scan_piece(piece.as<float>(), first, result);
    case DataType::kDouble:
      return scan_piece(piece.as<double>(), first, result);
    default:
      throw Error(ErrorCode::kBug, "scan of " + data_type_name(piece.type()));
  }
}

}  // namespace

ScanResult scan_array(const StoredArray& array, int64_t count) {
  ScanResult result;
  result.min = std::numeric_limits<double>::infinity();
  result.max = -result.min;
  for (int64_t first = 0; first < count && result.not_finite < 0; first += kPiece) {
    scan_tensor(array.read(first, {std::min(kPiece, count - first)}), first, result);
  }
  return result;
}

}  // namespace mcompress::data
