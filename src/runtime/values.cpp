// SPDX-License-Identifier: Apache-2.0
#include <spdlog/fmt/fmt.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

#include "runtime/ort.h"

namespace mcompress::runtime {

// The runtime numbers its element types as onnx.TensorProto does.
static_assert(ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT == static_cast<int>(DataType::kFloat));
static_assert(ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL == static_cast<int>(DataType::kBool));
static_assert(ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16 == static_cast<int>(DataType::kBfloat16));
static_assert(ONNX_TENSOR_ELEMENT_DATA_TYPE_INT4 == static_cast<int>(DataType::kInt4));

namespace {

constexpr size_t kPayloadAlignment = 64;
// Smaller payloads are copied rather than kept in the runtime's memory.
constexpr size_t kLeastAdopted = 4096;

}  // namespace

Ort::Value borrow(const std::string& name, const Tensor& tensor) {
  if (tensor.type() == DataType::kString || tensor.type() == DataType::kUndefined) {
    throw Error(ErrorCode::kData, fmt::format("{}: cannot feed a tensor of type {}", name,
                                              data_type_name(tensor.type())));
  }
  const auto memory = Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeCPU);
  const auto bytes = tensor.bytes();
  // The runtime's signature is not const; it does not write to what it is fed.
  void* data = const_cast<std::byte*>(bytes.data());
  static std::byte nothing[64];
  if (data == nullptr) data = nothing;
  return Ort::Value::CreateTensor(memory, data, bytes.size(), tensor.shape().data(),
                                  tensor.shape().size(),
                                  static_cast<ONNXTensorElementDataType>(tensor.type()));
}

namespace {

/// True when the runtime passed a feed's own memory through as an output.
bool is_of_a_feed(const std::byte* data, const Feeds& feeds) {
  const std::less_equal<> ordered;
  for (const auto& feed : feeds) {
    const auto bytes = feed.tensor.bytes();
    if (ordered(bytes.data(), data) && !ordered(bytes.data() + bytes.size(), data)) return true;
  }
  return false;
}

/// Memory of an output that outlives its session: an initializer that is an output belongs to the session.
struct Kept {
  std::shared_ptr<Ort::Session> session;
  Ort::Value value;
};

}  // namespace

Tensor take_out(const std::string& name, Ort::Value value, const Feeds& feeds,
                std::shared_ptr<Ort::Session> session) {
  if (!value || !value.IsTensor() || !value.HasValue()) {
    throw Error(ErrorCode::kModel, fmt::format("{}: not a tensor; only tensors can be read", name));
  }
  const auto info = value.GetTensorTypeAndShapeInfo();
  const auto type = static_cast<DataType>(info.GetElementType());
  if (type == DataType::kString) {
    throw Error(ErrorCode::kModel, fmt::format("{}: string tensors cannot be read", name));
  }
  Shape shape = info.GetShape();
  const size_t size = packed_bytes(type, element_count(shape));
  auto* const data = static_cast<std::byte*>(value.GetTensorMutableRawData());
  const bool aligned = reinterpret_cast<uintptr_t>(data) % kPayloadAlignment == 0;
  if (size < kLeastAdopted || !aligned || is_of_a_feed(data, feeds))
    return Tensor(type, std::move(shape), std::span(data, size));
  const auto owner = std::make_shared<Kept>(Kept{std::move(session), std::move(value)});
  return Tensor::adopt(type, std::move(shape), std::shared_ptr<std::byte[]>(owner, data));
}

}  // namespace mcompress::runtime
