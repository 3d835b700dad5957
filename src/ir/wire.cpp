// SPDX-License-Identifier: Apache-2.0
//
// Protobuf's own reader ends at 2 GiB and copies every payload. This walker knows just which fields
// of ModelProto lead to tensors (onnx.proto, IR 13), so that all else is copied as it stands.
#include "ir/wire.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "mcompress/tensor.h"

namespace mcompress::ir {
namespace {

enum class Message { kModel, kTraining, kGraph, kNode, kAttribute, kFunction, kSparse, kTensor };

constexpr int kDepthLimit = 200;

std::optional<Message> child_message(Message parent, uint32_t field) {
  using M = Message;
  switch (parent) {
    case M::kModel:
      if (field == 7) return M::kGraph;
      if (field == 20) return M::kTraining;
      if (field == 25) return M::kFunction;
      break;
    case M::kTraining:
      if (field == 1 || field == 2) return M::kGraph;
      break;
    case M::kGraph:
      if (field == 1) return M::kNode;
      if (field == 5) return M::kTensor;
      if (field == 15) return M::kSparse;
      break;
    case M::kNode:
      if (field == 5) return M::kAttribute;
      break;
    case M::kAttribute:
      if (field == 5 || field == 10) return M::kTensor;
      if (field == 6 || field == 11) return M::kGraph;
      if (field == 22 || field == 23) return M::kSparse;
      break;
    case M::kFunction:
      if (field == 7) return M::kNode;
      if (field == 11) return M::kAttribute;
      break;
    case M::kSparse:
      if (field == 1 || field == 2) return M::kTensor;
      break;
    case M::kTensor:
      break;
  }
  return std::nullopt;
}

// Fields of TensorProto.
constexpr uint32_t kDims = 1, kDataType = 2, kFloatData = 4, kName = 8, kRawData = 9, kDoubleData = 10,
                   kExternalData = 13, kDataLocation = 14;
constexpr uint64_t kExternal = 1;

struct Field {
  uint32_t number = 0;
  uint32_t wire = 0;
  uint64_t value = 0;        ///< of a varint
  std::string_view content;  ///< of a length-delimited field
  std::string_view whole;    ///< tag included
};

class Reader {
 public:
  Reader(std::string_view message, uint64_t base) : message_(message), base_(base) {}

  bool next(Field& field) {
    if (at_ == message_.size()) return false;
    const size_t begin = at_;
    const uint64_t tag = varint();
    field.number = static_cast<uint32_t>(tag >> 3);
    field.wire = static_cast<uint32_t>(tag & 7);
    field.content = {};
    if (field.number == 0) fail("no protobuf field");
    switch (field.wire) {
      case 0:
        field.value = varint();
        break;
      case 1:
        skip(8);
        break;
      case 2: {
        const uint64_t length = varint();
        const size_t start = at_;
        skip(length);
        field.content = message_.substr(start, length);
        break;
      }
      case 5:
        skip(4);
        break;
      default:
        fail("no protobuf field");
    }
    field.whole = message_.substr(begin, at_ - begin);
    return true;
  }

  uint64_t offset_of(std::string_view part) const {
    return base_ + static_cast<uint64_t>(part.data() - message_.data());
  }

  bool done() const { return at_ == message_.size(); }

  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (at_ == message_.size()) fail("truncated");
      const auto byte = static_cast<unsigned char>(message_[at_++]);
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    fail("a number that does not end");
  }

 private:
  void skip(uint64_t length) {
    const uint64_t left = message_.size() - at_;
    if (length > left) {
      throw Error(ErrorCode::kModel,
                  "truncated at byte " + std::to_string(base_ + message_.size()) +
                      ": a field at byte " + std::to_string(base_ + at_) + " needs " +
                      std::to_string(length) + " bytes, " + std::to_string(left) + " are there")
          .hint("copy or export the file again");
    }
    at_ += length;
  }

  [[noreturn]] void fail(const char* what) const {
    throw Error(ErrorCode::kModel, "not an ONNX model: " + std::string(what) + " at byte " +
                                       std::to_string(base_ + at_))
        .hint("give a file that was exported as .onnx");
  }

  std::string_view message_;
  uint64_t base_;
  size_t at_ = 0;
};

void put_varint(std::string& out, uint64_t value) {
  while (value >= 0x80) {
    out.push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out.push_back(static_cast<char>(value));
}

void put_bytes(std::string& out, uint32_t number, std::string_view content) {
  put_varint(out, (number << 3) | 2);
  put_varint(out, content.size());
  out.append(content);
}

void put_entry(std::string& out, std::string_view key, std::string_view value) {
  std::string entry;
  put_bytes(entry, 1, key);
  put_bytes(entry, 2, value);
  put_bytes(out, kExternalData, entry);
}

void put_external(std::string& out, std::string_view location, uint64_t offset, uint64_t length) {
  put_entry(out, "location", location);
  put_entry(out, "offset", std::to_string(offset));
  put_entry(out, "length", std::to_string(length));
  put_varint(out, kDataLocation << 3);
  put_varint(out, kExternal);
}

/// The payload field that can become a byte range of the file: raw_data, or packed floats and
/// doubles, whose wire form is the raw form. Only when it has more than `above` bytes and stands
/// there once.
std::optional<Field> plain_payload(std::string_view message, uint64_t base, uint64_t above) {
  Reader reader(message, base);
  std::optional<Field> found;
  int payloads = 0;
  DataType type = DataType::kUndefined;
  for (Field field; reader.next(field);) {
    if (field.number == kDataType && field.wire == 0) type = static_cast<DataType>(field.value);
    if (field.number == kDataLocation && field.wire == 0 && field.value == kExternal) return {};
    const bool candidate =
        field.number == kRawData || field.number == kFloatData || field.number == kDoubleData;
    if (!candidate) continue;
    ++payloads;
    if (field.wire == 2 && field.content.size() > above) found = field;
  }
  if (payloads != 1 || !found) return {};
  if (found->number == kFloatData && type != DataType::kFloat) return {};
  if (found->number == kDoubleData && type != DataType::kDouble) return {};
  return found;
}

void require_depth(int depth, uint64_t base) {
  if (depth <= kDepthLimit) return;
  throw Error(ErrorCode::kModel, "graphs are nested more than " + std::to_string(kDepthLimit) +
                                     " levels deep at byte " + std::to_string(base));
}

struct Shrinker {
  const std::string& path;
  std::vector<std::pair<uint64_t, int>>& typed_fields;

  std::string message(std::string_view bytes, uint64_t base, Message kind, int depth) {
    require_depth(depth, base);
    if (kind == Message::kTensor) return tensor(bytes, base);
    std::string out;
    Reader reader(bytes, base);
    for (Field field; reader.next(field);) {
      const auto child = field.wire == 2 ? child_message(kind, field.number) : std::nullopt;
      if (child && field.content.size() > kLargePayload) {
        put_bytes(out, field.number,
                  message(field.content, reader.offset_of(field.content), *child, depth + 1));
      } else {
        out.append(field.whole);
      }
    }
    return out;
  }

  std::string tensor(std::string_view bytes, uint64_t base) {
    const auto payload = plain_payload(bytes, base, kLargePayload);
    if (!payload) return std::string(bytes);
    std::string out;
    Reader reader(bytes, base);
    for (Field field; reader.next(field);) {
      if (field.number != payload->number && field.number != kDataLocation) out.append(field.whole);
    }
    const uint64_t offset = reader.offset_of(payload->content);
    put_external(out, path, offset, payload->content.size());
    if (payload->number != kRawData) {
      typed_fields.emplace_back(offset, static_cast<int>(payload->number));
    }
    return out;
  }
};

uint64_t to_number(std::string_view digits) {
  uint64_t value = 0;
  for (const char c : digits) {
    if (c >= '0' && c <= '9') value = value * 10 + static_cast<uint64_t>(c - '0');
  }
  return value;
}

struct Stub {
  std::string_view location;
  uint64_t offset = 0, length = 0;
};

std::optional<Stub> find_stub(std::string_view bytes) {
  Reader reader(bytes, 0);
  Stub stub;
  bool external = false;
  for (Field field; reader.next(field);) {
    if (field.number == kDataLocation && field.wire == 0) external = field.value == kExternal;
    if (field.number != kExternalData || field.wire != 2) continue;
    std::string_view key, value;
    Reader entry(field.content, 0);
    for (Field part; entry.next(part);) {
      if (part.number == 1) key = part.content;
      if (part.number == 2) value = part.content;
    }
    if (key == "location") stub.location = value;
    if (key == "offset") stub.offset = to_number(value);
    if (key == "length") stub.length = to_number(value);
  }
  if (!external) return {};
  return stub;
}

/// Integers of a repeated field, packed or one by one.
void append_integers(const Field& field, std::vector<int64_t>& out) {
  if (field.wire == 0) out.push_back(static_cast<int64_t>(field.value));
  if (field.wire != 2) return;
  Reader packed(field.content, 0);
  while (!packed.done()) out.push_back(static_cast<int64_t>(packed.varint()));
}

void visit_tensor(std::string_view bytes, uint64_t base,
                  const std::function<void(const WireTensor&)>& visit) {
  WireTensor tensor;
  Reader reader(bytes, base);
  for (Field field; reader.next(field);) {
    if (field.number == kDims) append_integers(field, tensor.dims);
    if (field.number == kDataType && field.wire == 0) tensor.data_type = static_cast<int>(field.value);
    if (field.number == kName && field.wire == 2) tensor.name = field.content;
  }
  if (const auto payload = plain_payload(bytes, base, 0)) {
    tensor.offset = reader.offset_of(payload->content);
    tensor.length = payload->content.size();
  } else if (const auto stub = find_stub(bytes)) {
    tensor.location = stub->location;
    tensor.external_offset = stub->offset;
    tensor.external_length = stub->length;
  }
  visit(tensor);
}

void visit_message(std::string_view bytes, uint64_t base, Message kind, int depth,
                   const std::function<void(const WireTensor&)>& visit) {
  require_depth(depth, base);
  if (kind == Message::kTensor) return visit_tensor(bytes, base, visit);
  Reader reader(bytes, base);
  for (Field field; reader.next(field);) {
    const auto child = field.wire == 2 ? child_message(kind, field.number) : std::nullopt;
    if (!child) continue;
    visit_message(field.content, reader.offset_of(field.content), *child, depth + 1, visit);
  }
}

using Replace = std::function<StubReplacement(std::string_view, uint64_t, uint64_t)>;

Rope expand_tensor(std::string_view bytes, const Replace& replace) {
  Rope rope;
  const auto stub = find_stub(bytes);
  if (!stub) {
    rope.append(bytes);
    return rope;
  }
  const StubReplacement now = replace(stub->location, stub->offset, stub->length);
  Reader reader(bytes, 0);
  for (Field field; reader.next(field);) {
    if (field.number != kExternalData && field.number != kDataLocation) rope.append(field.whole);
  }
  std::string text;
  if (!now.payload.file) {
    put_external(text, now.location, now.offset, stub->length);
    rope.append(text);
    return rope;
  }
  put_varint(text, (static_cast<uint64_t>(now.field) << 3) | 2);
  put_varint(text, now.payload.length);
  rope.append(text);
  rope.append(now.payload);
  return rope;
}

Rope expand_message(std::string_view bytes, Message kind, const Replace& replace) {
  if (kind == Message::kTensor) return expand_tensor(bytes, replace);
  Rope rope;
  Reader reader(bytes, 0);
  for (Field field; reader.next(field);) {
    const auto child = field.wire == 2 ? child_message(kind, field.number) : std::nullopt;
    if (!child) {
      rope.append(field.whole);
      continue;
    }
    Rope inner = expand_message(field.content, *child, replace);
    std::string head;
    put_varint(head, (static_cast<uint64_t>(field.number) << 3) | 2);
    put_varint(head, inner.size);
    rope.append(head);
    rope.append(std::move(inner));
  }
  return rope;
}

}  // namespace

std::string make_skeleton(std::string_view file, const std::string& path,
                          std::vector<std::pair<uint64_t, int>>& typed_fields) {
  Shrinker shrinker{path, typed_fields};
  return shrinker.message(file, 0, Message::kModel, 0);
}

void visit_tensors(std::string_view file, const std::function<void(const WireTensor&)>& visit) {
  visit_message(file, 0, Message::kModel, 0, visit);
}

void Rope::append(std::string_view text) {
  if (text.empty()) return;
  if (pieces.empty() || !std::holds_alternative<std::string>(pieces.back())) {
    pieces.emplace_back(std::string());
  }
  std::get<std::string>(pieces.back()).append(text);
  size += text.size();
}

void Rope::append(PayloadRange payload) {
  size += payload.length;
  pieces.emplace_back(std::move(payload));
}

void Rope::append(Rope&& other) {
  for (auto& piece : other.pieces) {
    if (auto* const text = std::get_if<std::string>(&piece)) {
      append(*text);
    } else {
      append(std::move(std::get<PayloadRange>(piece)));
    }
  }
}

Rope expand_skeleton(std::string_view skeleton, const Replace& replace) {
  return expand_message(skeleton, Message::kModel, replace);
}

}  // namespace mcompress::ir
