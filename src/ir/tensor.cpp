// SPDX-License-Identifier: Apache-2.0
#include "mcompress/tensor.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <mutex>
#include <new>
#include <utility>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "ir/allocation.h"
#include "support/half.h"

namespace mcompress {
namespace ir {

namespace {

constexpr size_t kLine = 64;
constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kLargeFrom = 4 * kHugePage;
constexpr size_t kKeptMost = size_t{64} << 20;

struct Block {
  std::byte* memory = nullptr;
  size_t size = 0;
};

void release(Block block) {
  const bool large = block.size >= kLargeFrom;
  ::operator delete[](block.memory, std::align_val_t{large ? kHugePage : kLine});
}

/// The large blocks that were freed last: the tensors of a large model, and what is made of them,
/// follow one another in few sizes, and the system clears what it hands out.
class Kept {
 public:
  std::byte* take(size_t size) {
    const std::lock_guard lock(mutex_);
    const auto found = std::find_if(blocks_.rbegin(), blocks_.rend(),
                                    [&](const Block& block) { return block.size == size; });
    if (found == blocks_.rend()) return nullptr;
    std::byte* const memory = found->memory;
    blocks_.erase(std::next(found).base());
    total_ -= size;
    return memory;
  }
  void put(Block block) {
    if (block.size < kLargeFrom || block.size > kKeptMost) return release(block);
    const std::lock_guard lock(mutex_);
    blocks_.push_back(block);
    total_ += block.size;
    while (total_ > kKeptMost) {
      release(blocks_.front());
      total_ -= blocks_.front().size;
      blocks_.erase(blocks_.begin());
    }
  }

 private:
  std::mutex mutex_;
  std::vector<Block> blocks_;  ///< the last one freed last
  size_t total_ = 0;
};

/// Never destroyed: tensors of static objects may outlive it.
Kept& kept() {
  static Kept* const instance = new Kept;
  return *instance;
}

}  // namespace

std::shared_ptr<std::byte[]> allocate_payload(size_t size) {
  if (size == 0) return nullptr;
  if (size < kLargeFrom) {
    auto* const memory = static_cast<std::byte*>(::operator new[](size, std::align_val_t{kLine}));
    return {memory, [size](std::byte* p) { release({p, size}); }};
  }
  std::byte* memory = kept().take(size);
  if (memory == nullptr) {
    memory = static_cast<std::byte*>(::operator new[](size, std::align_val_t{kHugePage}));
#if defined(MADV_HUGEPAGE)
    // Whole pages only: the rest of the last one may be somebody else's. A hint: it may fail.
    ::madvise(memory, size / kHugePage * kHugePage, MADV_HUGEPAGE);
#endif
  }
  return {memory, [size](std::byte* p) { kept().put({p, size}); }};
}

}  // namespace ir

namespace {

struct TypeRow {
  DataType type;
  const char* name;
  int bits;
};

constexpr TypeRow kTypes[] = {
    {DataType::kFloat, "float", 32},
    {DataType::kUint8, "uint8", 8},
    {DataType::kInt8, "int8", 8},
    {DataType::kUint16, "uint16", 16},
    {DataType::kInt16, "int16", 16},
    {DataType::kInt32, "int32", 32},
    {DataType::kInt64, "int64", 64},
    {DataType::kString, "string", 0},
    {DataType::kBool, "bool", 8},
    {DataType::kFloat16, "float16", 16},
    {DataType::kDouble, "double", 64},
    {DataType::kUint32, "uint32", 32},
    {DataType::kUint64, "uint64", 64},
    {DataType::kComplex64, "complex64", 64},
    {DataType::kComplex128, "complex128", 128},
    {DataType::kBfloat16, "bfloat16", 16},
    {DataType::kFloat8E4M3Fn, "float8e4m3fn", 8},
    {DataType::kFloat8E4M3Fnuz, "float8e4m3fnuz", 8},
    {DataType::kFloat8E5M2, "float8e5m2", 8},
    {DataType::kFloat8E5M2Fnuz, "float8e5m2fnuz", 8},
    {DataType::kUint4, "uint4", 4},
    {DataType::kInt4, "int4", 4},
    {DataType::kFloat4E2M1, "float4e2m1", 4},
    {DataType::kFloat8E8M0, "float8e8m0", 8},
    {DataType::kUint2, "uint2", 2},
    {DataType::kInt2, "int2", 2},
};

const TypeRow* row_of(DataType type) {
  const auto* const row = std::find_if(std::begin(kTypes), std::end(kTypes),
                                       [&](const TypeRow& r) { return r.type == type; });
  return row == std::end(kTypes) ? nullptr : row;
}

using ir::allocate_payload;

/// Calls `f(index, value)` with every element as the C++ type it is stored in.
template <class F>
void for_each_value(const Tensor& tensor, F&& f) {
  const auto walk = [&](auto tag) {
    using T = decltype(tag);
    const auto values = tensor.as<T>();
    for (size_t i = 0; i < values.size(); ++i) f(i, values[i]);
  };
  const auto walk_packed = [&](int bits, bool is_signed) {
    const auto bytes = tensor.bytes();
    const int per_byte = 8 / bits;
    const int mask = (1 << bits) - 1;
    for (size_t i = 0; i < static_cast<size_t>(tensor.count()); ++i) {
      const auto byte = std::to_integer<int>(bytes[i / static_cast<size_t>(per_byte)]);
      int v = (byte >> (bits * static_cast<int>(i % static_cast<size_t>(per_byte)))) & mask;
      if (is_signed && v >= (1 << (bits - 1))) v -= 1 << bits;
      f(i, v);
    }
  };
  switch (tensor.type()) {
    case DataType::kFloat:
      return walk(float{});
    case DataType::kDouble:
      return walk(double{});
    case DataType::kUint8:
      return walk(uint8_t{});
    case DataType::kInt8:
      return walk(int8_t{});
    case DataType::kUint16:
      return walk(uint16_t{});
    case DataType::kInt16:
      return walk(int16_t{});
    case DataType::kUint32:
      return walk(uint32_t{});
    case DataType::kInt32:
      return walk(int32_t{});
    case DataType::kUint64:
      return walk(uint64_t{});
    case DataType::kInt64:
      return walk(int64_t{});
    case DataType::kBool:
      return walk(bool{});
    case DataType::kFloat16:
      for (size_t i = 0; const Half h : tensor.as<Half>()) f(i++, half_to_float(h.bits));
      return;
    case DataType::kBfloat16:
      for (size_t i = 0; const BFloat16 h : tensor.as<BFloat16>()) {
        f(i++, bfloat16_to_float(h.bits));
      }
      return;
    case DataType::kUint4:
      return walk_packed(4, false);
    case DataType::kInt4:
      return walk_packed(4, true);
    case DataType::kUint2:
      return walk_packed(2, false);
    case DataType::kInt2:
      return walk_packed(2, true);
    default:
      throw Error(ErrorCode::kModel, "a tensor of type " + data_type_name(tensor.type()) +
                                         " cannot be read as numbers");
  }
}

template <class T>
T saturate(double value) {
  if constexpr (std::is_same_v<T, bool>) {
    return value != 0;
  } else if constexpr (std::is_floating_point_v<T>) {
    return static_cast<T>(value);
  } else {
    if (std::isnan(value)) return 0;
    const double rounded = std::nearbyint(value);
    // The upper limit of a 64-bit type rounds up as a double: compare before converting.
    if (rounded >= static_cast<double>(std::numeric_limits<T>::max())) {
      return std::numeric_limits<T>::max();
    }
    if (rounded <= static_cast<double>(std::numeric_limits<T>::lowest())) {
      return std::numeric_limits<T>::lowest();
    }
    return static_cast<T>(rounded);
  }
}

template <class To>
void cast_into(const Tensor& from, Tensor& to) {
  const auto out = to.mutate_as<To>();
  for_each_value(from, [&](size_t i, auto v) {
    if constexpr (std::is_integral_v<decltype(v)> && std::is_integral_v<To> && sizeof(To) == 8) {
      out[i] = static_cast<To>(v);  // keeps all 64 bits, which a double would not
    } else {
      out[i] = saturate<To>(static_cast<double>(v));
    }
  });
}

void cast_into_packed(const Tensor& from, Tensor& to, int bits, bool is_signed) {
  const auto out = to.mutate();
  const double low = is_signed ? -(1 << (bits - 1)) : 0;
  const double high = is_signed ? (1 << (bits - 1)) - 1 : (1 << bits) - 1;
  const size_t per_byte = 8 / static_cast<size_t>(bits);
  for_each_value(from, [&](size_t i, auto v) {
    const double clamped = std::clamp(std::nearbyint(static_cast<double>(v)), low, high);
    const int code = static_cast<int>(clamped) & ((1 << bits) - 1);
    const int shift = bits * static_cast<int>(i % per_byte);
    out[i / per_byte] |= static_cast<std::byte>(code << shift);
  });
}

}  // namespace

std::string data_type_name(DataType type) {
  const TypeRow* const row = row_of(type);
  return row ? row->name : "type(" + std::to_string(static_cast<int>(type)) + ")";
}

int data_type_bits(DataType type) {
  const TypeRow* const row = row_of(type);
  return row ? row->bits : 0;
}

bool is_floating(DataType type) {
  return type == DataType::kFloat || type == DataType::kFloat16 || type == DataType::kBfloat16 ||
         type == DataType::kDouble;
}

int64_t element_count(const Shape& shape) {
  int64_t count = 1;
  for (const int64_t d : shape) {
    if (d < 0 || (d > 0 && count > std::numeric_limits<int64_t>::max() / d)) {
      throw Error(ErrorCode::kModel, "shape " + to_string(shape) + " has no element count");
    }
    count *= d;
  }
  return count;
}

std::string to_string(const Shape& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) {
    if (i > 0) text += ", ";
    text += shape[i] < 0 ? "?" : std::to_string(shape[i]);
  }
  return text + "]";
}

size_t packed_bytes(DataType type, int64_t count) {
  const auto bits = static_cast<size_t>(data_type_bits(type));
  return (bits * static_cast<size_t>(count) + 7) / 8;
}

Tensor::Tensor(DataType type, Shape shape) : type_(type), shape_(std::move(shape)) {
  count_ = element_count(shape_);
  size_ = packed_bytes(type_, count_);
  payload_ = allocate_payload(size_);
  if (size_ > 0) std::memset(payload_.get(), 0, size_);
}

Tensor::Tensor(DataType type, Shape shape, std::span<const std::byte> bytes)
    : type_(type), shape_(std::move(shape)) {
  count_ = element_count(shape_);
  size_ = packed_bytes(type_, count_);
  if (size_ != bytes.size()) {
    throw Error(ErrorCode::kBug, "tensor " + data_type_name(type_) + to_string(shape_) +
                                     ": needs " + std::to_string(size_) + " bytes, got " +
                                     std::to_string(bytes.size()));
  }
  payload_ = allocate_payload(size_);
  if (size_ > 0) std::memcpy(payload_.get(), bytes.data(), size_);
}

Tensor Tensor::adopt(DataType type, Shape shape, std::shared_ptr<std::byte[]> payload) {
  Tensor tensor;
  tensor.count_ = element_count(shape);
  tensor.size_ = packed_bytes(type, tensor.count_);
  tensor.type_ = type;
  tensor.shape_ = std::move(shape);
  tensor.payload_ = std::move(payload);
  return tensor;
}

std::span<const std::byte> Tensor::bytes() const { return {payload_.get(), size_}; }

std::span<std::byte> Tensor::mutate() {
  if (size_ > 0 && payload_.use_count() > 1) {
    auto copy = allocate_payload(size_);
    std::memcpy(copy.get(), payload_.get(), size_);
    payload_ = std::move(copy);
  }
  return {payload_.get(), size_};
}

Tensor Tensor::reshaped(Shape shape) const {
  if (element_count(shape) != count_) {
    throw Error(ErrorCode::kBug, "cannot reshape " + to_string(shape_) + " to " + to_string(shape));
  }
  Tensor result = *this;
  result.shape_ = std::move(shape);
  return result;
}

std::vector<float> Tensor::to_float() const {
  std::vector<float> values(static_cast<size_t>(count_));
  if (type_ == DataType::kFloat) {
    if (size_ > 0) std::memcpy(values.data(), payload_.get(), size_);
    return values;
  }
  for_each_value(*this, [&](size_t i, auto v) { values[i] = static_cast<float>(v); });
  return values;
}

std::vector<int64_t> Tensor::to_int64() const {
  if (is_floating(type_)) {
    throw Error(ErrorCode::kModel,
                "expected an integer tensor, found " + data_type_name(type_) + to_string(shape_));
  }
  std::vector<int64_t> values(static_cast<size_t>(count_));
  for_each_value(*this, [&](size_t i, auto v) { values[i] = static_cast<int64_t>(v); });
  return values;
}

Tensor Tensor::cast(DataType type) const {
  if (type == type_) return *this;
  Tensor result(type, shape_);
  switch (type) {
    case DataType::kFloat:
      cast_into<float>(*this, result);
      break;
    case DataType::kDouble:
      cast_into<double>(*this, result);
      break;
    case DataType::kUint8:
      cast_into<uint8_t>(*this, result);
      break;
    case DataType::kInt8:
      cast_into<int8_t>(*this, result);
      break;
    case DataType::kUint16:
      cast_into<uint16_t>(*this, result);
      break;
    case DataType::kInt16:
      cast_into<int16_t>(*this, result);
      break;
    case DataType::kUint32:
      cast_into<uint32_t>(*this, result);
      break;
    case DataType::kInt32:
      cast_into<int32_t>(*this, result);
      break;
    case DataType::kUint64:
      cast_into<uint64_t>(*this, result);
      break;
    case DataType::kInt64:
      cast_into<int64_t>(*this, result);
      break;
    case DataType::kBool:
      cast_into<bool>(*this, result);
      break;
    case DataType::kFloat16: {
      const auto out = result.mutate_as<Half>();
      for_each_value(*this,
                     [&](size_t i, auto v) { out[i].bits = float_to_half(static_cast<float>(v)); });
      break;
    }
    case DataType::kBfloat16: {
      const auto out = result.mutate_as<BFloat16>();
      for_each_value(
          *this, [&](size_t i, auto v) { out[i].bits = float_to_bfloat16(static_cast<float>(v)); });
      break;
    }
    case DataType::kUint4:
      cast_into_packed(*this, result, 4, false);
      break;
    case DataType::kInt4:
      cast_into_packed(*this, result, 4, true);
      break;
    case DataType::kUint2:
      cast_into_packed(*this, result, 2, false);
      break;
    case DataType::kInt2:
      cast_into_packed(*this, result, 2, true);
      break;
    default:
      throw Error(ErrorCode::kModel, "cannot convert to type " + data_type_name(type));
  }
  return result;
}

void Tensor::require_type(DataType type) const {
  if (type != type_) {
    throw Error(ErrorCode::kBug, "tensor " + data_type_name(type_) + to_string(shape_) +
                                     " read as " + data_type_name(type));
  }
}

bool operator==(const Tensor& a, const Tensor& b) {
  return a.type_ == b.type_ && a.shape_ == b.shape_ && a.size_ == b.size_ &&
         (a.payload_ == b.payload_ ||
          std::memcmp(a.payload_.get(), b.payload_.get(), a.size_) == 0);
}

}  // namespace mcompress
