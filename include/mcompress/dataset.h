// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mcompress/model.h"
#include "mcompress/tensor.h"

namespace mcompress {

struct NamedTensor {
  std::string name;
  Tensor tensor;
};
/// What one Run of a model is fed: one tensor per graph input that has no initializer.
using Feeds = std::vector<NamedTensor>;

/// Where data comes from: one entry of a recipe's `data:` or of --data ROLE=PATH.
struct DataSource {
  /// npz, npy, idx, images, csv, onnx-tests, random; "" chooses by what is at `path`.
  std::string kind;
  /// The main file or folder.
  std::filesystem::path path;
  /// Further files by role: for idx {"images", "labels"}; for images {"labels"} (CSV).
  std::map<std::string, std::filesystem::path> files;
  /// limit, scale, shift, mean, std, resize, crop, layout, colors, seed...: reader's options as
  /// written.
  std::map<std::string, std::string> options;
  /// For messages: "recipe.yaml:5:3" or "--data calibration".
  std::string origin;
};

/// An option that a kind of source takes, for help, schema and error messages.
struct DataOption {
  std::string_view name;
  std::string_view summary;
};
/// Kinds of sources in the order of product.md section 2.
std::span<const std::string_view> data_kinds();
/// Options of one kind; empty for an unknown kind.
std::span<const DataOption> data_options(std::string_view kind);

/// Samples in a deterministic order, read on demand. Thread-safe.
class Dataset {
 public:
  virtual ~Dataset() = default;
  /// Number of samples.
  virtual size_t size() const = 0;
  /// Feeds for samples [first, first + count). `count` must be 1 unless `batchable()`.
  virtual Feeds feeds(size_t first, size_t count) const = 0;
  /// Samples may be stacked along the first axis.
  virtual bool batchable() const = 0;
  /// Rows along the first axis of feeds(sample, 1): 1, except where the model fixes its batch
  /// dimension to more; then a sample is a full batch.
  virtual size_t rows_per_sample() const { return 1; }
  /// How many of those rows are data: the last batch may be filled up with repetitions.
  virtual size_t rows(size_t /*sample*/) const { return 1; }
  /// Labels of samples [first, first + count) with the sample axis first (as many entries as the
  /// samples have rows); nullopt without labels.
  /// int64 for classes and sequences (padded with -1), float otherwise.
  virtual std::optional<Tensor> labels(size_t first, size_t count) const = 0;
  virtual bool has_labels() const = 0;
  /// For messages: where the file has this sample, counted from 0.
  virtual size_t index_in_file(size_t sample) const { return sample; }
  /// For messages and the report: "calib.npz (300 of 1000 samples)".
  virtual std::string description() const = 0;
  /// Hash of the files and options, for the report. Reads the files; of image folders names and
  /// sizes.
  virtual std::string fingerprint() const = 0;
  /// What is odd about the data without being wrong: constant inputs, noise instead of data.
  virtual std::vector<std::string> warnings() const { return {}; }
};

/// Samples `indices` of another dataset (hold-out, limit, shuffle). Throws kBug for one out of
/// range.
std::shared_ptr<const Dataset> subset(std::shared_ptr<const Dataset> base,
                                      std::vector<size_t> indices, std::string description);

/// Opens a source for a model with these graph inputs (those that need feeding). Types are cast to
/// the input's; rows, batches and constants are told apart by rank; a fixed batch dimension other
/// than 1 is honoured. Throws kData naming the tensor and the file: input absent, wrong rank or
/// dimension, wrong type, NaN or infinity, no samples; kRecipe for an option that is unknown or
/// wrong.
std::shared_ptr<const Dataset> open_dataset(const DataSource& source,
                                            const std::vector<ValueInfo>& inputs);

}  // namespace mcompress
