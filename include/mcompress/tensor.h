// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mcompress/error.h"

namespace mcompress {

/// Element types with the numbers of onnx.TensorProto.DataType (IR 13), so that types newer than
/// the installed libonnx pass through.
enum class DataType : int32_t {
  kUndefined = 0,
  kFloat = 1,
  kUint8 = 2,
  kInt8 = 3,
  kUint16 = 4,
  kInt16 = 5,
  kInt32 = 6,
  kInt64 = 7,
  kString = 8,
  kBool = 9,
  kFloat16 = 10,
  kDouble = 11,
  kUint32 = 12,
  kUint64 = 13,
  kComplex64 = 14,
  kComplex128 = 15,
  kBfloat16 = 16,
  kFloat8E4M3Fn = 17,
  kFloat8E4M3Fnuz = 18,
  kFloat8E5M2 = 19,
  kFloat8E5M2Fnuz = 20,
  kUint4 = 21,
  kInt4 = 22,
  kFloat4E2M1 = 23,
  kFloat8E8M0 = 24,
  kUint2 = 25,
  kInt2 = 26,
};

/// Name as in ONNX text form: "float", "uint8", "bfloat16", "int4"; "type(99)" when unknown.
std::string data_type_name(DataType type);
/// Bits of one element; 0 for strings and unknown types.
int data_type_bits(DataType type);
/// True for half, bfloat16, float, double (types that hold weights in floating point).
bool is_floating(DataType type);

/// Dimensions. In a constant all are >= 0; in a value's type -1 means "not known statically".
using Shape = std::vector<int64_t>;

/// Product of the dimensions; 1 for rank 0. Throws kModel on a negative dimension or overflow.
int64_t element_count(const Shape& shape);
/// "[64, 3, 7, 7]"; unknown dimensions print as "?".
std::string to_string(const Shape& shape);
/// Bytes that `count` elements of `type` take, sub-byte types packed; 0 for strings.
size_t packed_bytes(DataType type, int64_t count);

/// 16 bits of IEEE binary16 / bfloat16 as stored; arithmetic lives in support/half.h.
struct Half {
  uint16_t bits;
};
struct BFloat16 {
  uint16_t bits;
};

template <class T>
struct DataTypeOf;
#define MCOMPRESS_DATA_TYPE(cpp, value)                \
  template <>                                          \
  struct DataTypeOf<cpp> {                             \
    static constexpr DataType kValue = DataType::value; \
  };
MCOMPRESS_DATA_TYPE(float, kFloat)
MCOMPRESS_DATA_TYPE(double, kDouble)
MCOMPRESS_DATA_TYPE(uint8_t, kUint8)
MCOMPRESS_DATA_TYPE(int8_t, kInt8)
MCOMPRESS_DATA_TYPE(uint16_t, kUint16)
MCOMPRESS_DATA_TYPE(int16_t, kInt16)
MCOMPRESS_DATA_TYPE(uint32_t, kUint32)
MCOMPRESS_DATA_TYPE(int32_t, kInt32)
MCOMPRESS_DATA_TYPE(uint64_t, kUint64)
MCOMPRESS_DATA_TYPE(int64_t, kInt64)
MCOMPRESS_DATA_TYPE(bool, kBool)
MCOMPRESS_DATA_TYPE(Half, kFloat16)
MCOMPRESS_DATA_TYPE(BFloat16, kBfloat16)
#undef MCOMPRESS_DATA_TYPE

/// A dense tensor by value. The payload is shared between copies until one of them is written
/// (`mutate`), is aligned to 64 bytes, little-endian, row-major; 4- and 2-bit types are packed low
/// bits first. Strings are not representable; the model keeps such tensors untouched.
class Tensor {
 public:
  Tensor() = default;
  /// Zero-filled.
  Tensor(DataType type, Shape shape);
  /// Takes `bytes`, whose size must be packed_bytes(type, element_count(shape)); throws kBug.
  Tensor(DataType type, Shape shape, std::span<const std::byte> bytes);
  /// Shares a payload of somebody else's making instead of copying it: packed_bytes(type,
  /// element_count(shape)) bytes, aligned to 64, that nobody else writes.
  static Tensor adopt(DataType type, Shape shape, std::shared_ptr<std::byte[]> payload);

  template <class T>
  static Tensor from(Shape shape, std::span<const T> values) {
    return Tensor(DataTypeOf<T>::kValue, std::move(shape), std::as_bytes(values));
  }
  template <class T>
  static Tensor from(Shape shape, const std::vector<T>& values) {
    return from(std::move(shape), std::span<const T>(values));
  }
  template <class T>
  static Tensor scalar(T value) {
    return from(Shape{}, std::span<const T>(&value, 1));
  }

  DataType type() const { return type_; }
  const Shape& shape() const { return shape_; }
  int64_t count() const { return count_; }
  size_t byte_size() const { return size_; }
  std::span<const std::byte> bytes() const;
  /// Copies the payload first when it is shared with another Tensor.
  std::span<std::byte> mutate();

  /// Typed view; throws kBug when T is not this tensor's type.
  template <class T>
  std::span<const T> as() const {
    require_type(DataTypeOf<T>::kValue);
    return {reinterpret_cast<const T*>(bytes().data()), static_cast<size_t>(count_)};
  }
  template <class T>
  std::span<T> mutate_as() {
    require_type(DataTypeOf<T>::kValue);
    return {reinterpret_cast<T*>(mutate().data()), static_cast<size_t>(count_)};
  }

  /// Same payload under another shape with as many elements; throws kBug otherwise.
  Tensor reshaped(Shape shape) const;
  /// Values converted to float (from any real or integer type, 4- and 2-bit included).
  std::vector<float> to_float() const;
  /// Values of an integer or bool tensor as int64; throws kModel for other types.
  std::vector<int64_t> to_int64() const;
  /// Element-wise conversion between numeric types, rounding half to even and saturating.
  Tensor cast(DataType type) const;

  /// Same type, shape and bytes.
  friend bool operator==(const Tensor& a, const Tensor& b);

 private:
  void require_type(DataType type) const;

  DataType type_ = DataType::kUndefined;
  Shape shape_;
  int64_t count_ = 0;
  size_t size_ = 0;
  std::shared_ptr<std::byte[]> payload_;
};

}  // namespace mcompress
