// SPDX-License-Identifier: Apache-2.0
#include "archive/layout.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>

#include "archive/damage.h"
#include "forms/stored_form.h"
#include "ir/wire.h"
#include "mcompress/model.h"
#include "support/file.h"

namespace mcompress::archive {
namespace {

/// Smaller payloads are left in the rest: a part of its own costs about 30 bytes.
constexpr uint64_t kLeastPayload = 256;

/// The payload of one tensor.
struct Payload {
  std::string name;
  ByteRange range;
  uint64_t element_bytes = 1;
  uint64_t row_length = 1;  ///< elements
};

/// Elements of a row: of the last axis of a matrix, of all but the first of a kernel.
uint64_t row_length(const std::vector<int64_t>& dims) {
  uint64_t row = 1;
  const size_t first = dims.size() <= 1 ? 0 : 1;
  for (size_t i = first; i < dims.size(); ++i) {
    if (dims[i] < 1 || row > kPieceBytes) return 1;
    row *= static_cast<uint64_t>(dims[i]);
  }
  return row > kPieceBytes ? 1 : row;
}

uint64_t element_bytes(int data_type) {
  const auto bits = data_type_bits(static_cast<DataType>(data_type));
  return bits < 8 ? 1 : static_cast<uint64_t>(bits) / 8;
}

class LayoutMaker {
 public:
  explicit LayoutMaker(const std::filesystem::path& path) : path_(path) {
    add_file(path.filename().string(), path);
  }

  Layout make() {
    find_payloads();
    drop_overlaps();
    if (!payloads_.empty()) add_forms();
    for (const Payload& payload : payloads_) add_plain(payload);
    add_rests();
    return std::move(layout_);
  }

 private:
  uint64_t add_file(const std::string& name, const std::filesystem::path& path) {
    const support::InputFile file(path, ErrorCode::kModel);
    layout_.files.push_back({name, path, file.size()});
    return layout_.files.size() - 1;
  }

  void find_payloads() {
    const support::MappedFile file(path_, ErrorCode::kModel);
    std::vector<Payload> found;
    std::vector<ir::WireTensor> external;
    try {
      ir::visit_tensors(file.bytes(), [&](const ir::WireTensor& tensor) {
        if (!tensor.location.empty()) external.push_back(tensor);
        if (tensor.length >= kLeastPayload) {
          found.push_back(payload_of(tensor, {0, tensor.offset, tensor.length}));
        }
      });
    } catch (const Error&) {
      return;  // no model: a file like any other
    }
    payloads_ = std::move(found);
    for (const ir::WireTensor& tensor : external) add_external(tensor);
  }

  static Payload payload_of(const ir::WireTensor& tensor, const ByteRange& range) {
    return {std::string(tensor.name), range, element_bytes(tensor.data_type),
            row_length(tensor.dims)};
  }

  void add_external(const ir::WireTensor& tensor) {
    const std::string name(tensor.location);
    auto known = data_files_.find(name);
    if (known == data_files_.end()) {
      if (!is_safe_name(name)) {
        throw Error(ErrorCode::kModel, fmt::format("{}: names a data file outside its folder: {}",
                                                   path_.string(), name))
            .hint("write the model with its data beside it, for instance with: mcompress run");
      }
      known = data_files_.emplace(name, add_file(name, path_.parent_path() / name)).first;
    }
    const uint64_t size = layout_.files[known->second].size;
    if (tensor.external_offset > size) return;
    const uint64_t left = size - tensor.external_offset;
    const uint64_t length = tensor.external_length == 0 ? left : tensor.external_length;
    if (length > left || length < kLeastPayload) return;
    payloads_.push_back(payload_of(tensor, {known->second, tensor.external_offset, length}));
  }

  /// Several tensors may share bytes of a data file.
  void drop_overlaps() {
    std::stable_sort(payloads_.begin(), payloads_.end(), [](const Payload& a, const Payload& b) {
      return std::pair(a.range.member, a.range.offset) < std::pair(b.range.member, b.range.offset);
    });
    std::vector<Payload> kept;
    for (Payload& payload : payloads_) {
      const ByteRange& range = payload.range;
      if (!kept.empty() && kept.back().range.member == range.member &&
          kept.back().range.offset + kept.back().range.length > range.offset) {
        continue;
      }
      kept.push_back(std::move(payload));
    }
    payloads_ = std::move(kept);
  }

  /// Takes the payloads of recognised forms out of the list. What a form says is tried when it is
  /// coded: here it may be wrong.
  void add_forms() {
    std::optional<Model> model;
    try {
      model = Model::load(path_);
    } catch (const Error&) {
      return;
    }
    for (Graph* graph : model->graphs()) {
      std::vector<NodeRef> nodes;
      for (const NodeRef node : graph->nodes()) nodes.push_back(node);
      // From the end: a chain without its last Reshape is a form, too, of another shape.
      for (auto node = nodes.rbegin(); node != nodes.rend(); ++node) {
        if (node->output_count() != 1) continue;
        const auto form = forms::recognise(node->output());
        if (form && form->digits) add_form(*form);
      }
    }
  }

  static WordLayout words_of(const forms::StoredDigits& digits) {
    return {static_cast<uint32_t>(data_type_bits(digits.layout.word) / 8),
            static_cast<uint64_t>(digits.layout.radix),
            static_cast<uint32_t>(digits.layout.per_word)};
  }

  void add_form(const forms::StoredForm& form) {
    Part part;
    part.kind = PartKind::kSymbols;
    SymbolLayout& layout = part.layout;
    layout.digits = words_of(*form.digits);
    layout.width = row_length(form.shape);
    if (form.kind == forms::FormKind::kGap) {
      if (form.entry_codes < 2) return;  // which entries are fillers cannot be seen
      layout.form = SymbolForm::kGap;
      layout.codes = static_cast<uint64_t>(form.entry_codes);
      layout.count = static_cast<uint64_t>(element_count(form.shape));
    } else if (form.kind == forms::FormKind::kBitmask) {
      layout.form = SymbolForm::kMask;
      if (form.survivors) layout.survivors = words_of(*form.survivors);
    }
    if (!layout.valid()) return;
    const auto first = find_payload(form.digits->words.name());
    if (first == payloads_.end()) return;
    const std::string label = first->name;
    part.ranges.push_back(first->range);
    if (layout.survivors) {
      const auto second = find_payload(form.survivors->words.name());
      if (second == payloads_.end() || second == first) return;
      part.ranges.push_back(second->range);
    }
    for (const ByteRange& range : part.ranges) {
      std::erase_if(payloads_, [&](const Payload& p) {
        return p.range.member == range.member && p.range.offset == range.offset;
      });
    }
    add_part(std::move(part), label);
  }

  std::vector<Payload>::iterator find_payload(const std::string& name) {
    return std::find_if(payloads_.begin(), payloads_.end(),
                        [&](const Payload& payload) { return payload.name == name; });
  }

  void add_plain(const Payload& payload) {
    const ByteRange& all = payload.range;
    const uint64_t element = all.length % payload.element_bytes == 0 ? payload.element_bytes : 1;
    const uint64_t row_bytes = std::min(element * payload.row_length, kPieceBytes);
    const uint64_t piece = kPieceBytes / row_bytes * row_bytes;
    for (uint64_t at = 0; at < all.length; at += piece) {
      Part part;
      part.kind = element == 1 ? PartKind::kBytes : PartKind::kPlanes;
      part.element_bytes = element;
      part.row_length = payload.row_length;
      part.ranges.push_back({all.member, all.offset + at, std::min(piece, all.length - at)});
      add_part(std::move(part), payload.name);
    }
  }

  void add_rests() {
    std::vector<uint64_t> left;
    for (const SourceFile& file : layout_.files) left.push_back(file.size);
    for (const Part& part : layout_.parts) {
      for (const ByteRange& range : part.ranges) left[range.member] -= range.length;
    }
    for (uint64_t member = 0; member < left.size(); ++member) {
      for (; left[member] > 0;) {
        Part part;
        part.rest_member = member;
        part.rest_length = std::min(left[member], kPieceBytes);
        left[member] -= part.rest_length;
        add_part(std::move(part), "");
      }
    }
  }

  void add_part(Part part, const std::string& label) {
    layout_.parts.push_back(std::move(part));
    layout_.labels.push_back(label);
  }

  const std::filesystem::path& path_;
  Layout layout_;
  std::vector<Payload> payloads_;
  std::map<std::string, uint64_t> data_files_;
};

}  // namespace

Layout lay_out(const std::filesystem::path& path) { return LayoutMaker(path).make(); }

}  // namespace mcompress::archive
