// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "data/byte_source.h"
#include "mcompress/tensor.h"

namespace mcompress::data {

/// An array as it lies in a file: row-major, read by ranges of elements. Cheap to copy.
class StoredArray {
 public:
  StoredArray() = default;
  /// `offset` is where the elements begin in `source`. Throws kData when the shape is too large.
  StoredArray(std::shared_ptr<const ByteSource> source, uint64_t offset, DataType type, Shape shape,
              bool big_endian);
  /// Takes a tensor.
  StoredArray(const Tensor& tensor, std::string name);

  DataType type() const { return type_; }
  const Shape& shape() const { return shape_; }
  int rank() const { return static_cast<int>(shape_.size()); }
  int64_t count() const { return count_; }
  /// For messages: "calib.npz: 'input.npy'".
  const std::string& name() const { return source_->name(); }

  /// Elements [first, first + product of shape) under `shape`, in the stored type.
  Tensor read(int64_t first, Shape shape) const;
  Tensor read_all() const { return read(0, shape_); }
  /// The same elements under another shape with as many of them.
  StoredArray reshaped(Shape shape) const;

 private:
  std::shared_ptr<const ByteSource> source_;
  uint64_t offset_ = 0;
  DataType type_ = DataType::kUndefined;
  Shape shape_;
  int64_t count_ = 0;
  bool big_endian_ = false;
};

}  // namespace mcompress::data
