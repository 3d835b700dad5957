// SPDX-License-Identifier: Apache-2.0
#include "mcompress/model.h"

#include <algorithm>

#include "ir/model_impl.h"
#include "ir/visit.h"
#include "ir/wire.h"

namespace mcompress {
namespace {

constexpr uint64_t kAutoExternalAbove = uint64_t{1800} << 20;  // protobuf's readers end at 2 GiB

/// Oldest IR version that may carry an opset (onnx/docs/Versioning.md).
int64_t ir_for_opset(int64_t opset) {
  constexpr std::pair<int64_t, int64_t> kTable[] = {
      {9, 4}, {10, 5}, {11, 6}, {12, 7}, {15, 8}, {19, 9}, {21, 10}, {23, 11}, {24, 12}, {25, 13}};
  int64_t ir = 3;
  for (const auto& [from, version] : kTable) {
    if (opset >= from) ir = version;
  }
  return ir;
}

std::string normal_domain(std::string_view domain) {
  return domain == "ai.onnx" ? "" : std::string(domain);
}

onnx::ModelProto parse_skeleton(const std::string& skeleton) {
  onnx::ModelProto proto;
  if (!proto.ParseFromString(skeleton)) {
    throw Error(ErrorCode::kModel, "not an ONNX model: the protobuf cannot be parsed")
        .hint("give a file that was exported as .onnx");
  }
  if (!proto.has_graph()) {
    throw Error(ErrorCode::kModel, "not an ONNX model: it has no graph")
        .hint("give a file that was exported as .onnx");
  }
  return proto;
}

std::filesystem::path external_path(const std::string& location, const std::string& tensor,
                                    const std::filesystem::path& folder) {
  const auto relative = std::filesystem::path(location).lexically_normal();
  if (location.empty() || relative.is_absolute() || *relative.begin() == "..") {
    throw Error(ErrorCode::kModel, "tensor " + tensor + ": external data at '" + location +
                                       "' is outside the model's folder")
        .hint("put the data file beside the model and name it relative to it");
  }
  std::error_code error;
  const auto path = std::filesystem::canonical(folder / relative, error);
  if (error) {
    throw Error(ErrorCode::kModel, "tensor " + tensor + ": external data file " +
                                       (folder / relative).string() + " is missing")
        .hint("put the data file beside the model");
  }
  return path;
}

/// Turns references as exporters write them (relative, offset and length optional) into ours.
void resolve_external(onnx::ModelProto& proto, const std::string& own_location,
                      const std::filesystem::path& folder, ir::PayloadStore& store) {
  ir::for_each_tensor(proto, [&](onnx::TensorProto& tensor) {
    const auto stub = ir::stub_of(tensor);
    if (!stub || stub->location == own_location) return;
    const auto file = store.open(external_path(stub->location, tensor.name(), folder).string());
    const Shape shape(tensor.dims().begin(), tensor.dims().end());
    const uint64_t length = stub->length.value_or(
        packed_bytes(static_cast<DataType>(tensor.data_type()), element_count(shape)));
    if (stub->offset > file->size() || length > file->size() - stub->offset) {
      throw Error(ErrorCode::kModel,
                  "tensor " + tensor.name() + ": external data needs " + std::to_string(length) +
                      " bytes at " + std::to_string(stub->offset) + " of " + file->path().string() +
                      ", which has " + std::to_string(file->size()))
          .hint("copy or export the data file again");
    }
    if (length > ir::kLargePayload) {
      ir::set_stub(tensor, {file, stub->offset, length});
      return;
    }
    std::string bytes(length, '\0');
    file->read(stub->offset, std::as_writable_bytes(std::span(bytes.data(), bytes.size())));
    tensor.clear_external_data();
    tensor.clear_data_location();
    tensor.set_raw_data(std::move(bytes));
  });
}

}  // namespace

std::string Fingerprint::hex() const { return support::Hash128{high, low}.hex(); }

Model::Model(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {
  impl_->main.reset(new Graph(this, nullptr, {}, impl_->proto->mutable_graph()));
  for (Graph* const graph : graphs()) graph->index_->read(*graph);
  for (Graph* const graph : graphs()) graph->index_->sort(*graph);
  if (!impl_->original_names) {
    impl_->original_names = std::make_shared<const std::unordered_set<std::string>>(impl_->names);
  }
}

namespace {
void adopt(Model* model, const std::vector<Graph*>& graphs, void (*set)(Graph*, Model*)) {
  for (Graph* const graph : graphs) set(graph, model);
}
}  // namespace

Model::Model(Model&& other) noexcept : impl_(std::move(other.impl_)) {
  adopt(this, graphs(), [](Graph* graph, Model* model) { graph->model_ = model; });
}

Model& Model::operator=(Model&& other) noexcept {
  impl_ = std::move(other.impl_);
  adopt(this, graphs(), [](Graph* graph, Model* model) { graph->model_ = model; });
  return *this;
}

Model::~Model() = default;

Model Model::load(const std::filesystem::path& path) {
  try {
    std::error_code error;
    const auto canonical = std::filesystem::canonical(path, error);
    if (error) {
      throw Error(ErrorCode::kModel, "no such file").hint("check the path of the model");
    }
    if (std::filesystem::is_directory(canonical, error)) {
      throw Error(ErrorCode::kModel, "is a folder, not a file");
    }
    auto impl = std::make_unique<Impl>();
    impl->payloads = std::make_shared<ir::PayloadStore>();
    const support::MappedFile file(canonical, ErrorCode::kModel);
    if (file.bytes().empty()) throw Error(ErrorCode::kModel, "the file is empty");
    const std::string location = canonical.string().substr(1);
    std::vector<std::pair<uint64_t, int>> typed;
    *impl->proto = parse_skeleton(ir::make_skeleton(file.bytes(), location, typed));
    impl->payloads->remember_typed_fields(canonical.string(), std::move(typed));
    resolve_external(*impl->proto, location, canonical.parent_path(), *impl->payloads);
    return Model(std::move(impl));
  } catch (Error& error) {
    error.with_context(path.string());
    throw;
  }
}

Model Model::parse(std::string_view bytes, const std::filesystem::path& folder) {
  auto impl = std::make_unique<Impl>();
  impl->payloads = std::make_shared<ir::PayloadStore>();
  // Parsed whole: what comes through memory is below protobuf's limit. Large payloads move out.
  *impl->proto = parse_skeleton(std::string(bytes));
  resolve_external(*impl->proto, "", folder, *impl->payloads);
  ir::for_each_tensor(*impl->proto, [&](onnx::TensorProto& tensor) {
    if (tensor.raw_data().size() <= ir::kLargePayload) return;
    const auto range = impl->payloads->spill(
        std::as_bytes(std::span(tensor.raw_data().data(), tensor.raw_data().size())));
    tensor.clear_raw_data();
    ir::set_stub(tensor, range);
  });
  return Model(std::move(impl));
}

Model Model::clone() const {
  auto impl = std::make_unique<Impl>();
  *impl->proto = proto();
  impl->payloads = impl_->payloads;
  impl->state = impl_->state;
  impl->edits = impl_->edits;
  impl->original_names = impl_->original_names;
  return Model(std::move(impl));
}

namespace {

/// Everything inline.
ir::Rope inline_rope(const onnx::ModelProto& proto, ir::PayloadStore& store) {
  return ir::expand_skeleton(
      proto.SerializeAsString(),
      [&](std::string_view location, uint64_t offset, uint64_t length) -> ir::StubReplacement {
        ir::PayloadRange range{store.open("/" + std::string(location)), offset, length};
        const int field = store.field_of(range);
        return {std::move(range), field, "", 0};
      });
}

void write_rope(support::AtomicFile& file, const ir::Rope& rope) {
  for (const auto& piece : rope.pieces) {
    if (const auto* const text = std::get_if<std::string>(&piece)) {
      file.write(*text);
    } else {
      const auto& payload = std::get<ir::PayloadRange>(piece);
      file.copy(*payload.file, payload.offset, payload.length);
    }
  }
}

constexpr uint64_t kExternalAlignment = 4096;  // lets a runtime map the tensors

struct ExternalLayout {
  std::vector<std::pair<ir::PayloadRange, uint64_t>>
      ranges;  ///< source and offset in the data file
  uint64_t size = 0;
};

/// Large payloads go to one data file, equal ranges once.
ir::Rope external_rope(const onnx::ModelProto& proto, ir::PayloadStore& store,
                       const std::string& data_name, ExternalLayout& layout) {
  std::map<std::tuple<std::string, uint64_t, uint64_t>, uint64_t> placed;
  return ir::expand_skeleton(
      proto.SerializeAsString(),
      [&](std::string_view location, uint64_t offset, uint64_t length) -> ir::StubReplacement {
        const auto [it, fresh] =
            placed.try_emplace({std::string(location), offset, length}, uint64_t{0});
        if (fresh) {
          it->second =
              (layout.size + kExternalAlignment - 1) / kExternalAlignment * kExternalAlignment;
          layout.ranges.emplace_back(
              ir::PayloadRange{store.open("/" + std::string(location)), offset, length},
              it->second);
          layout.size = it->second + length;
        }
        return {{}, 0, data_name, it->second};
      });
}

void write_external_data(const std::filesystem::path& path, const ExternalLayout& layout,
                         bool overwrite) {
  support::AtomicFile file(path, overwrite);
  const std::string zeros(kExternalAlignment, '\0');
  for (const auto& [range, offset] : layout.ranges) {
    file.write(std::string_view(zeros).substr(0, offset - file.position()));
    file.copy(*range.file, range.offset, range.length);
  }
  file.commit();
}

/// Data files of earlier writes to the same output, which nothing refers to any more.
void remove_old_data(const std::filesystem::path& model, const std::string& keep) {
  const std::string prefix = model.filename().string() + ".";
  const auto folder =
      model.parent_path().empty() ? std::filesystem::path(".") : model.parent_path();
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    const bool ours =
        name.size() == prefix.size() + 8 + 5 && name.starts_with(prefix) &&
        name.ends_with(".data") &&
        name.find_first_not_of("0123456789abcdef", prefix.size()) == prefix.size() + 8;
    if (ours && name != keep) std::filesystem::remove(entry.path(), error);
  }
}

}  // namespace

void Model::save(const std::filesystem::path& path, const SaveOptions& options) const {
  const ir::Rope whole = inline_rope(proto(), *impl_->payloads);
  const bool external =
      options.external_data == ExternalData::kAlways ||
      (options.external_data == ExternalData::kAuto && whole.size > kAutoExternalAbove);
  std::string data_name;
  ir::Rope rope;
  if (external) {
    data_name = path.filename().string() + "." + fingerprint().hex().substr(0, 8) + ".data";
    ExternalLayout layout;
    rope = external_rope(proto(), *impl_->payloads, data_name, layout);
    if (layout.ranges.empty()) {
      data_name.clear();
    } else {
      support::require_writable(path, options.overwrite);
      write_external_data(path.parent_path() / data_name, layout, true);
    }
  }
  support::AtomicFile file(path, options.overwrite);
  write_rope(file, external ? rope : whole);
  file.commit();
  if (options.overwrite) remove_old_data(path, data_name);
}

uint64_t Model::file_size() const { return inline_rope(proto(), *impl_->payloads).size; }

Fingerprint Model::fingerprint() const {
  // The place of a payload is replaced by its content, so that the same values give the same hash
  // wherever they are kept.
  const ir::Rope rope = ir::expand_skeleton(
      proto().SerializeAsString(),
      [&](std::string_view location, uint64_t offset, uint64_t length) -> ir::StubReplacement {
        const ir::PayloadRange range{impl_->payloads->open("/" + std::string(location)), offset,
                                     length};
        return {{}, 0, impl_->payloads->content_hash(range).hex(), 0};
      });
  support::Hasher hasher;
  for (const auto& piece : rope.pieces) hasher.update(std::get<std::string>(piece));
  const auto hash = hasher.digest();
  return {hash.high, hash.low};
}

Graph& Model::graph() const { return *impl_->main; }

std::vector<Graph*> Model::graphs() const {
  std::vector<Graph*> all;
  if (!impl_ || !impl_->main) return all;
  all.push_back(impl_->main.get());
  for (size_t i = 0; i < all.size(); ++i) {
    for (const auto& node : all[i]->proto_->node()) {
      const auto bodies = impl_->bodies.find(&node);
      if (bodies == impl_->bodies.end()) continue;
      for (const auto& body : bodies->second) all.push_back(body.get());
    }
  }
  return all;
}

int64_t Model::opset(std::string_view domain) const {
  for (const auto& import : impl_->proto->opset_import()) {
    if (normal_domain(import.domain()) == normal_domain(domain)) return import.version();
  }
  return 0;
}

void Model::import_domain(const std::string& domain, int64_t version) {
  if (opset(domain) != 0) return;
  auto* const import = impl_->proto->add_opset_import();
  import->set_domain(domain);
  import->set_version(version);
  ++impl_->edits;
}

void Model::set_opset(std::string_view domain, int64_t version) {
  ++impl_->edits;
  if (normal_domain(domain).empty() && impl_->proto->ir_version() < ir_for_opset(version)) {
    if (impl_->initializers_are_inputs()) freeze_inputs();
    impl_->proto->set_ir_version(ir_for_opset(version));
  }
  for (auto& import : *impl_->proto->mutable_opset_import()) {
    if (normal_domain(import.domain()) == normal_domain(domain)) return import.set_version(version);
  }
  auto* const import = impl_->proto->add_opset_import();
  import->set_domain(normal_domain(domain));
  import->set_version(version);
}

int64_t Model::ir_version() const { return impl_->proto->ir_version(); }

std::string Model::metadata(std::string_view key) const {
  for (const auto& entry : impl_->proto->metadata_props()) {
    if (entry.key() == key) return entry.value();
  }
  return "";
}

void Model::set_metadata(const std::string& key, const std::string& value) {
  ++impl_->edits;
  for (auto& entry : *impl_->proto->mutable_metadata_props()) {
    if (entry.key() == key) return entry.set_value(value);
  }
  auto* const entry = impl_->proto->add_metadata_props();
  entry->set_key(key);
  entry->set_value(value);
}

int Model::freeze_inputs() {
  auto* const inputs = impl_->main->proto_->mutable_input();
  int frozen = 0;
  for (int i = inputs->size() - 1; i >= 0; --i) {
    const auto definition = impl_->main->index_->definitions.find(inputs->Get(i).name());
    if (definition == impl_->main->index_->definitions.end()) continue;
    if (definition->second.initializer == nullptr) continue;
    definition->second.is_input = false;
    inputs->DeleteSubrange(i, 1);
    ++frozen;
  }
  if (frozen > 0) {
    ++impl_->edits;
    if (impl_->initializers_are_inputs()) impl_->proto->set_ir_version(4);
  }
  return frozen;
}

ModelState& Model::state() { return impl_->state; }
const ModelState& Model::state() const { return impl_->state; }
uint64_t Model::edit_count() const { return impl_->edits; }

const onnx::ModelProto& Model::proto() const {
  impl_->payloads->finish_writing();
  for (Graph* const graph : graphs()) graph->index_->sort(*graph);
  return *impl_->proto;
}

}  // namespace mcompress
