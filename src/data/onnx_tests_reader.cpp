// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <charconv>
#include <optional>

#include <fmt/format.h>
#include <onnx/onnx_pb.h>

#include "data/array_dataset.h"
#include "data/byte_source.h"
#include "data/readers.h"
#include "ir/payload.h"
#include "mcompress/error.h"

namespace mcompress::data {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kLargestTensor = uint64_t{2000} << 20;
constexpr std::string_view kFolderPrefix = "test_data_set_";

struct StoredTensor {
  std::string name;
  Tensor tensor;
};

StoredTensor read_tensor_file(const fs::path& path) {
  const std::string bytes = read_whole_file(path, kLargestTensor);
  const auto fail = [&](const std::string& why) {
    return Error(ErrorCode::kData, fmt::format("{}: {}", path.string(), why));
  };
  onnx::TensorProto proto;
  if (!proto.ParseFromString(bytes)) throw fail("not an ONNX tensor, or truncated");
  try {
    ir::PayloadStore store;
    const std::optional<Tensor> tensor = ir::read_tensor(proto, store);
    if (!tensor) throw fail(fmt::format("tensors of type {} are not read", proto.data_type()));
    return {proto.name(), *tensor};
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kData) throw;
    throw fail(error.message());
  }
}

/// Number behind `prefix` in "input_12.pb" or "test_data_set_3"; -1 for another name.
int64_t number_of(const std::string& name, std::string_view prefix) {
  if (!name.starts_with(prefix)) return -1;
  int64_t number = -1;
  const char* const end = name.data() + name.size();
  const auto [stop, error] = std::from_chars(name.data() + prefix.size(), end, number);
  const std::string_view rest(stop, static_cast<size_t>(end - stop));
  return error == std::errc() && (rest.empty() || rest == ".pb") ? number : -1;
}

std::vector<fs::path> find_sets(const fs::path& folder) {
  std::vector<std::pair<int64_t, fs::path>> sets;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    const int64_t number = number_of(entry.path().filename().string(), kFolderPrefix);
    if (entry.is_directory() && number >= 0) sets.emplace_back(number, entry.path());
  }
  std::ranges::sort(sets);
  std::vector<fs::path> paths;
  for (auto& [number, path] : sets) paths.push_back(path);
  if (paths.empty() && fs::is_regular_file(folder / "input_0.pb")) paths.push_back(folder);
  return paths;
}

class OnnxTestsDataset final : public Dataset {
 public:
  OnnxTestsDataset(DataSource source, Inputs inputs, std::vector<fs::path> sets, size_t found,
                   bool labels)
      : source_(std::move(source)),
        inputs_(std::move(inputs)),
        sets_(std::move(sets)),
        found_(found) {
    labelled_ = labels;
    for (size_t i = 0; i < sets_.size(); ++i) {
      feeds(i, 1);
      labelled_ = labelled_ && fs::is_regular_file(sets_[i] / "output_0.pb");
    }
    if (labelled_)
      labelled_ = is_floating(read_tensor_file(sets_[0] / "output_0.pb").tensor.type());
  }

  size_t size() const override { return sets_.size(); }
  bool batchable() const override { return false; }
  bool has_labels() const override { return labelled_; }

  std::optional<Tensor> labels(size_t first, size_t count) const override {
    if (!labelled_) return std::nullopt;
    require_one(first, count);
    Tensor tensor = read_tensor_file(sets_[first] / "output_0.pb").tensor.cast(DataType::kFloat);
    Shape shape = tensor.shape();
    shape.insert(shape.begin(), 1);
    return tensor.reshaped(std::move(shape));
  }

  Feeds feeds(size_t first, size_t count) const override {
    require_one(first, count);
    const fs::path& set = sets_[first];
    std::vector<StoredTensor> stored;
    for (size_t i = 0; fs::is_regular_file(set / fmt::format("input_{}.pb", i)); ++i) {
      stored.push_back(read_tensor_file(set / fmt::format("input_{}.pb", i)));
    }
    Feeds feeds;
    for (size_t i = 0; i < inputs_.size(); ++i) {
      const StoredTensor* match = find(stored, inputs_[i].name, i);
      if (match == nullptr) {
        throw Error(ErrorCode::kData,
                    fmt::format("{}: no tensor for input '{}': {} files input_N.pb", set.string(),
                                inputs_[i].name, stored.size()));
      }
      feeds.push_back({inputs_[i].name, checked(inputs_[i], match->tensor, set)});
    }
    return feeds;
  }

  std::string description() const override {
    const fs::path& folder = source_.path;
    const std::string name =
        (folder.has_filename() ? folder : folder.parent_path()).filename().string();
    if (sets_.size() == found_) return fmt::format("{} ({} test data sets)", name, found_);
    return fmt::format("{} ({} of {} test data sets)", name, sets_.size(), found_);
  }

  std::string fingerprint() const override {
    std::vector<fs::path> files;
    for (const fs::path& set : sets_) {
      for (const fs::directory_entry& entry : fs::directory_iterator(set)) {
        if (entry.path().extension() == ".pb") files.push_back(entry.path());
      }
    }
    std::ranges::sort(files);
    return fingerprint_of(files, source_);
  }

 private:
  void require_one(size_t first, size_t count) const {
    if (first < sets_.size() && count == 1) return;
    throw Error(ErrorCode::kBug, fmt::format("{}: samples {} to {} of {}", source_.path.string(),
                                             first, first + count, sets_.size()));
  }

  /// By name; by place where the tensors carry no names of inputs.
  const StoredTensor* find(const std::vector<StoredTensor>& stored, const std::string& name,
                           size_t index) const {
    for (const StoredTensor& tensor : stored) {
      if (tensor.name == name) return &tensor;
    }
    if (index >= stored.size()) return nullptr;
    const bool named_otherwise = std::ranges::any_of(
        inputs_, [&](const ValueInfo& input) { return input.name == stored[index].name; });
    return named_otherwise ? nullptr : &stored[index];
  }

  static Tensor checked(const ValueInfo& input, const Tensor& tensor, const fs::path& set) {
    const Shape& shape = tensor.shape();
    bool fits = !input.has_shape || shape.size() == input.shape.size();
    for (size_t axis = 0; fits && input.has_shape && axis < shape.size(); ++axis) {
      fits = input.shape[axis] < 0 || input.shape[axis] == shape[axis];
    }
    if (!fits) {
      throw Error(ErrorCode::kData,
                  fmt::format("{}: {} in {}, the model wants {}", input.name, to_string(shape),
                              set.string(), to_string(input.shape)));
    }
    // Special values are the point of some of these sets (IsNaN, Max): they are fed as they are.
    return tensor.type() == input.type ? tensor : tensor.cast(input.type);
  }

  DataSource source_;
  Inputs inputs_;
  std::vector<fs::path> sets_;
  size_t found_;
  bool labelled_ = false;
};

}  // namespace

bool looks_like_onnx_tests(const fs::path& path) {
  return fs::is_directory(path) && !find_sets(path).empty();
}

std::shared_ptr<const Dataset> open_onnx_tests(const DataSource& source, const Inputs& inputs) {
  const SourceOptions options(source, "onnx-tests");
  std::vector<fs::path> sets;
  if (fs::is_directory(source.path)) sets = find_sets(source.path);
  if (sets.empty()) {
    throw Error(ErrorCode::kData, fmt::format("{}: no test_data_set_N folder and no input_0.pb",
                                              source.path.string()));
  }
  const size_t found = sets.size();
  if (const auto limit = options.integer("limit", 1)) {
    sets.resize(std::min(found, static_cast<size_t>(*limit)));
  }
  const bool labels = options.choice("labels", {"outputs", "none"}, "outputs") == "outputs";
  return std::make_shared<OnnxTestsDataset>(source, inputs, std::move(sets), found, labels);
}

}  // namespace mcompress::data
