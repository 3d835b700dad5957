// SPDX-License-Identifier: Apache-2.0
#include "ir/payload.h"

#include <fcntl.h>
#include <onnx/onnx_pb.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>

#include "ir/allocation.h"
#include "support/parallel_for.h"

namespace mcompress::ir {
namespace {

/// What one thread reads at a time: copying, and the pages it is copied into, take as long as the
/// disk.
constexpr int64_t kReadBlock = int64_t{4} << 20;
/// Below, a thread of its own costs more than it saves.
constexpr size_t kWrittenBesideFrom = size_t{1} << 20;

uint64_t parse_number(const std::string& text, const std::string& tensor, const char* key) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    throw Error(ErrorCode::kModel, "tensor " + tensor + ": external data has " + key + " '" + text +
                                       "', not a number");
  }
  return value;
}

Shape shape_of(const onnx::TensorProto& tensor) {
  return {tensor.dims().begin(), tensor.dims().end()};
}

template <class To, class Field>
Tensor from_field(DataType type, Shape shape, const Field& field, const std::string& name) {
  Tensor result(type, std::move(shape));
  const size_t have = static_cast<size_t>(field.size()) * sizeof(To);
  if (have < result.byte_size()) {
    throw Error(ErrorCode::kModel, "tensor " + name + ": shape " + to_string(result.shape()) +
                                       " needs " + std::to_string(result.byte_size()) +
                                       " bytes, its payload has " + std::to_string(have));
  }
  const auto out = result.mutate();
  for (size_t i = 0; i * sizeof(To) < out.size(); ++i) {
    const To value = static_cast<To>(field.Get(static_cast<int>(i)));
    std::memcpy(out.data() + i * sizeof(To), &value,
                std::min(sizeof(To), out.size() - i * sizeof(To)));
  }
  return result;
}

/// Values that stand in the typed fields of onnx.TensorProto, one element (or, below 8 bits, one
/// byte) an entry.
std::optional<Tensor> read_typed(const onnx::TensorProto& t, DataType type, Shape shape) {
  switch (type) {
    case DataType::kFloat:
      return from_field<float>(type, std::move(shape), t.float_data(), t.name());
    case DataType::kDouble:
      return from_field<double>(type, std::move(shape), t.double_data(), t.name());
    case DataType::kInt64:
      return from_field<int64_t>(type, std::move(shape), t.int64_data(), t.name());
    case DataType::kUint64:
      return from_field<uint64_t>(type, std::move(shape), t.uint64_data(), t.name());
    case DataType::kUint32:
      return from_field<uint32_t>(type, std::move(shape), t.uint64_data(), t.name());
    case DataType::kInt32:
      return from_field<int32_t>(type, std::move(shape), t.int32_data(), t.name());
    case DataType::kInt16:
    case DataType::kUint16:
    case DataType::kFloat16:
    case DataType::kBfloat16:
      return from_field<uint16_t>(type, std::move(shape), t.int32_data(), t.name());
    default:
      if (data_type_bits(type) == 0 || data_type_bits(type) > 8) return std::nullopt;
      return from_field<uint8_t>(type, std::move(shape), t.int32_data(), t.name());
  }
}

}  // namespace

PayloadStore::~PayloadStore() {
  if (writing_.valid()) writing_.wait();
  if (spill_descriptor_ >= 0) ::close(spill_descriptor_);
}

std::shared_ptr<const support::InputFile> PayloadStore::open(const std::string& path) {
  const std::lock_guard lock(mutex_);
  if (spill_name_ && path == spill_name_->path()) wait_for_writing();
  auto& file = files_[path];
  if (!file) file = std::make_shared<support::InputFile>(path, ErrorCode::kModel);
  return file;
}

PayloadRange PayloadStore::spill(std::span<const std::byte> bytes) {
  const std::lock_guard lock(mutex_);
  const Spill spilled = place_for(bytes);
  if (spilled.is_new) {
    write(bytes, spilled.range);
    remember(spilled);
  }
  return spilled.range;
}

PayloadRange PayloadStore::spill(const Tensor& tensor) {
  if (tensor.byte_size() < kWrittenBesideFrom) return spill(tensor.bytes());
  const std::lock_guard lock(mutex_);
  const Spill spilled = place_for(tensor.bytes());
  if (!spilled.is_new) return spilled.range;
  wait_for_writing();
  auto task = [this, range = spilled.range, kept = tensor]() mutable {
    const Tensor own = std::move(kept);  // the task itself lives as long as its future
    write(own.bytes(), range);
  };
  writing_ = std::async(std::launch::async, std::move(task)).share();
  remember(spilled);
  return spilled.range;
}

void PayloadStore::finish_writing() {
  const std::lock_guard lock(mutex_);
  wait_for_writing();
}

void PayloadStore::wait_for_writing() {
  if (!writing_.valid()) return;
  writing_.get();  // a failure is told every time
  writing_ = {};
}

void PayloadStore::open_spill_file() {
  if (spill_name_) return;
  spill_name_ = std::make_unique<support::TemporaryFile>(".spill");
  const std::string path = spill_name_->path().string();
  spill_descriptor_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (spill_descriptor_ < 0) {
    throw Error(ErrorCode::kRuntime, path + ": " + std::strerror(errno))
        .hint("set TMPDIR to a folder that can be written");
  }
  files_[path] = std::make_shared<support::InputFile>(path, ErrorCode::kRuntime);
}

PayloadStore::Spill PayloadStore::place_for(std::span<const std::byte> bytes) {
  open_spill_file();
  const auto hash = support::hash128(bytes);
  const auto& file = files_.at(spill_name_->path().string());
  if (const auto old = spilled_.find(hash); old != spilled_.end()) {
    return {hash, {file, old->second.first, old->second.second}, false};
  }
  return {hash, {file, (spill_size_ + 63) / 64 * 64, bytes.size()}, true};
}

void PayloadStore::remember(const Spill& spill) {
  spill_size_ = spill.range.offset + spill.range.length;
  spilled_[spill.hash] = {spill.range.offset, spill.range.length};
  hashes_[place_of(spill.range)] = spill.hash;
}

void PayloadStore::write(std::span<const std::byte> bytes, const PayloadRange& range) const {
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t put = ::pwrite(spill_descriptor_, bytes.data() + done, bytes.size() - done,
                                 static_cast<off_t>(range.offset + done));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) {
      throw Error(ErrorCode::kRuntime,
                  range.file->path().string() + ": cannot write: " + std::strerror(errno))
          .hint("free some space, or set TMPDIR to a folder that has it");
    }
    done += static_cast<size_t>(put);
  }
}

support::Hash128 PayloadStore::content_hash(const PayloadRange& range) {
  const Place key = place_of(range);
  {
    const std::lock_guard lock(mutex_);
    if (const auto old = hashes_.find(key); old != hashes_.end()) return old->second;
  }
  support::Hasher hasher;
  std::vector<std::byte> block(std::min<uint64_t>(range.length, uint64_t{1} << 20));
  for (uint64_t done = 0; done < range.length; done += block.size()) {
    const std::span part(block.data(), std::min<uint64_t>(block.size(), range.length - done));
    range.file->read(range.offset + done, part);
    hasher.update(part);
  }
  const std::lock_guard lock(mutex_);
  return hashes_[key] = hasher.digest();
}

PayloadStore::Place PayloadStore::place_of(const PayloadRange& range) {
  return {range.file->path().string(), range.offset, range.length};
}

void PayloadStore::remember_hash(const PayloadRange& range, support::Hash128 hash) {
  const std::lock_guard lock(mutex_);
  hashes_[place_of(range)] = hash;
}

std::optional<uint64_t> PayloadStore::nonzeros(const PayloadRange& range, DataType type) const {
  const std::lock_guard lock(mutex_);
  const auto known = nonzeros_.find({place_of(range), type});
  return known == nonzeros_.end() ? std::nullopt : std::optional(known->second);
}

void PayloadStore::remember_nonzeros(const PayloadRange& range, DataType type, uint64_t nonzeros) {
  const std::lock_guard lock(mutex_);
  nonzeros_[{place_of(range), type}] = nonzeros;
}

void PayloadStore::remember_typed_fields(const std::string& path,
                                         std::vector<std::pair<uint64_t, int>> fields) {
  const std::lock_guard lock(mutex_);
  for (const auto& [offset, field] : fields) typed_fields_[{path, offset}] = field;
}

int PayloadStore::field_of(const PayloadRange& range) const {
  const auto it = typed_fields_.find({range.file->path().string(), range.offset});
  return it == typed_fields_.end() ? onnx::TensorProto::kRawDataFieldNumber : it->second;
}

std::optional<StubEntries> stub_of(const onnx::TensorProto& tensor) {
  if (tensor.data_location() != onnx::TensorProto::EXTERNAL) return std::nullopt;
  StubEntries stub;
  for (const auto& entry : tensor.external_data()) {
    if (entry.key() == "location") stub.location = entry.value();
    if (entry.key() == "offset") stub.offset = parse_number(entry.value(), tensor.name(), "offset");
    if (entry.key() == "length") stub.length = parse_number(entry.value(), tensor.name(), "length");
  }
  return stub;
}

std::optional<PayloadRange> payload_of(const onnx::TensorProto& tensor, PayloadStore& store) {
  const auto stub = stub_of(tensor);
  if (!stub) return std::nullopt;
  return PayloadRange{store.open("/" + stub->location), stub->offset, stub->length.value_or(0)};
}

std::optional<Tensor> read_tensor(const onnx::TensorProto& tensor, PayloadStore& store) {
  const auto type = static_cast<DataType>(tensor.data_type());
  if (data_type_bits(type) == 0) return std::nullopt;
  Shape shape = shape_of(tensor);
  const size_t needed = packed_bytes(type, element_count(shape));
  const auto require = [&](uint64_t have) {
    if (have != needed) {
      throw Error(ErrorCode::kModel, "tensor " + tensor.name() + ": shape " + to_string(shape) +
                                         " of " + data_type_name(type) + " needs " +
                                         std::to_string(needed) + " bytes, its payload has " +
                                         std::to_string(have));
    }
  };
  if (const auto range = payload_of(tensor, store)) {
    require(range->length);
    auto payload = allocate_payload(needed);
    const std::span into(payload.get(), needed);
    parallel_for(0, static_cast<int64_t>(needed), kReadBlock, [&](int64_t begin, int64_t end) {
      const auto from = static_cast<size_t>(begin);
      range->file->read(range->offset + from, into.subspan(from, static_cast<size_t>(end) - from));
    });
    return Tensor::adopt(type, std::move(shape), std::move(payload));
  }
  if (tensor.has_raw_data()) {
    require(tensor.raw_data().size());
    return Tensor(type, std::move(shape),
                  std::as_bytes(std::span(tensor.raw_data().data(), tensor.raw_data().size())));
  }
  return read_typed(tensor, type, std::move(shape));
}

void set_stub(onnx::TensorProto& tensor, const PayloadRange& range) {
  tensor.clear_external_data();
  const auto add = [&](const char* key, std::string value) {
    auto* const entry = tensor.add_external_data();
    entry->set_key(key);
    entry->set_value(std::move(value));
  };
  add("location", range.file->path().string().substr(1));
  add("offset", std::to_string(range.offset));
  add("length", std::to_string(range.length));
  tensor.set_data_location(onnx::TensorProto::EXTERNAL);
}

void write_tensor(onnx::TensorProto& tensor, const Tensor& value, PayloadStore& store) {
  const std::string name = tensor.name();
  const std::string doc = tensor.doc_string();
  tensor.Clear();
  if (!name.empty()) tensor.set_name(name);
  if (!doc.empty()) tensor.set_doc_string(doc);
  tensor.set_data_type(static_cast<int32_t>(value.type()));
  for (const int64_t d : value.shape()) tensor.add_dims(d);
  if (value.byte_size() > kLargePayload) {
    set_stub(tensor, store.spill(value));
  } else {
    tensor.set_raw_data(value.bytes().data(), value.byte_size());
  }
}

}  // namespace mcompress::ir
