// SPDX-License-Identifier: Apache-2.0
#include "train/tensors.h"

#include <cstring>

#include "mcompress/error.h"

namespace mcompress::train {

at::ScalarType torch_type(DataType type) {
  switch (type) {
    case DataType::kFloat: return at::kFloat;
    case DataType::kDouble: return at::kDouble;
    case DataType::kFloat16: return at::kHalf;
    case DataType::kBfloat16: return at::kBFloat16;
    case DataType::kInt8: return at::kChar;
    case DataType::kUint8: return at::kByte;
    case DataType::kInt16: return at::kShort;
    case DataType::kInt32: return at::kInt;
    case DataType::kInt64: return at::kLong;
    case DataType::kBool: return at::kBool;
    case DataType::kInt4:
    case DataType::kInt2: return at::kChar;
    case DataType::kUint4:
    case DataType::kUint2: return at::kByte;
    default: break;
  }
  throw Error(ErrorCode::kModel, "values of type " + data_type_name(type) + " cannot be trained with");
}

DataType onnx_type(at::ScalarType type) {
  switch (type) {
    case at::kFloat: return DataType::kFloat;
    case at::kDouble: return DataType::kDouble;
    case at::kHalf: return DataType::kFloat16;
    case at::kBFloat16: return DataType::kBfloat16;
    case at::kChar: return DataType::kInt8;
    case at::kByte: return DataType::kUint8;
    case at::kShort: return DataType::kInt16;
    case at::kInt: return DataType::kInt32;
    case at::kLong: return DataType::kInt64;
    case at::kBool: return DataType::kBool;
    default: break;
  }
  throw Error(ErrorCode::kBug, "a tensor of libtorch has a type that ONNX does not have");
}

at::Tensor to_torch(const Tensor& tensor) {
  const at::ScalarType type = torch_type(tensor.type());
  if (data_type_bits(tensor.type()) < 8) {
    return to_torch(tensor.cast(onnx_type(type)));
  }
  at::Tensor result = at::empty(tensor.shape(), at::TensorOptions(type));
  if (tensor.byte_size() > 0) {
    std::memcpy(result.data_ptr(), tensor.bytes().data(), tensor.byte_size());
  }
  return result;
}

Tensor from_torch(const at::Tensor& tensor) {
  const at::Tensor plain = tensor.detach().contiguous();
  return Tensor(onnx_type(plain.scalar_type()), plain.sizes().vec(),
                {static_cast<const std::byte*>(plain.data_ptr()), plain.nbytes()});
}

}  // namespace mcompress::train
