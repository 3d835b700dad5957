// SPDX-License-Identifier: Apache-2.0
#include "data/stored_array.h"

#include <algorithm>

#include <fmt/format.h>

#include "mcompress/error.h"

namespace mcompress::data {
namespace {

/// element_count blames the model; here the file is at fault.
int64_t checked_count(const Shape& shape, DataType type, const std::string& name) {
  int64_t count = 1;
  constexpr int64_t kMost = int64_t{1} << 56;
  for (const int64_t dimension : shape) {
    if (dimension < 0 || (dimension > 0 && count > kMost / dimension)) {
      throw Error(ErrorCode::kData, fmt::format("{}: shape {} of {} is too large", name,
                                                to_string(shape), data_type_name(type)));
    }
    count *= dimension;
  }
  return count;
}

void swap_bytes(std::span<std::byte> bytes, size_t width) {
  for (size_t at = 0; at + width <= bytes.size(); at += width) {
    std::reverse(bytes.begin() + static_cast<std::ptrdiff_t>(at),
                 bytes.begin() + static_cast<std::ptrdiff_t>(at + width));
  }
}

}  // namespace

StoredArray::StoredArray(std::shared_ptr<const ByteSource> source, uint64_t offset, DataType type,
                         Shape shape, bool big_endian)
    : source_(std::move(source)),
      offset_(offset),
      type_(type),
      shape_(std::move(shape)),
      count_(checked_count(shape_, type, source_->name())),
      big_endian_(big_endian) {}

StoredArray::StoredArray(const Tensor& tensor, std::string name)
    : source_(in_memory({tensor.bytes().begin(), tensor.bytes().end()}, std::move(name))),
      type_(tensor.type()),
      shape_(tensor.shape()),
      count_(tensor.count()) {}

Tensor StoredArray::read(int64_t first, Shape shape) const {
  Tensor tensor(type_, std::move(shape));
  if (tensor.count() == 0) return tensor;
  const size_t width = static_cast<size_t>(data_type_bits(type_)) / 8;
  const std::span<std::byte> bytes = tensor.mutate();
  source_->read(offset_ + static_cast<uint64_t>(first) * width, bytes);
  if (big_endian_ && width > 1) swap_bytes(bytes, width);
  if (type_ == DataType::kBool) {
    // Any byte but 0 is true to numpy; to C++ only 1 is a bool.
    for (std::byte& value : bytes) value = value == std::byte{0} ? std::byte{0} : std::byte{1};
  }
  return tensor;
}

StoredArray StoredArray::reshaped(Shape shape) const {
  StoredArray other = *this;
  other.count_ = checked_count(shape, type_, name());
  if (other.count_ != count_) {
    throw Error(ErrorCode::kBug,
                fmt::format("{}: {} does not fit {}", name(), to_string(shape), to_string(shape_)));
  }
  other.shape_ = std::move(shape);
  return other;
}

}  // namespace mcompress::data
