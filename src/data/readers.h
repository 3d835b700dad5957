// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include "mcompress/dataset.h"

namespace mcompress::data {

/// One reader per kind of source; `source.kind` is set. Each throws as open_dataset does.
using Inputs = std::vector<ValueInfo>;
std::shared_ptr<const Dataset> open_npz(const DataSource& source, const Inputs& inputs);
std::shared_ptr<const Dataset> open_npy(const DataSource& source, const Inputs& inputs);
/// IDX (MNIST): magic 0 0 TYPE RANK, big-endian dimensions and values; also gzipped. Labels come
/// from files["labels"], else from the file beside that is named alike.
std::shared_ptr<const Dataset> open_idx(const DataSource& source, const Inputs& inputs);
std::shared_ptr<const Dataset> open_images(const DataSource& source, const Inputs& inputs);
/// Rows of numbers; the label is the column named label, labels, target or class, else the one that
/// the model's input leaves over. Several inputs are columns by name.
std::shared_ptr<const Dataset> open_csv(const DataSource& source, const Inputs& inputs);
/// Folders test_data_set_N with input_I.pb and output_O.pb (TensorProto).
std::shared_ptr<const Dataset> open_onnx_tests(const DataSource& source, const Inputs& inputs);
/// Seeded noise: normal numbers, or uniform ones between low and high.
std::shared_ptr<const Dataset> open_random(const DataSource& source, const Inputs& inputs);

/// True for a file that begins like IDX, unzipped where it is gzipped.
bool looks_like_idx(const std::filesystem::path& path);
/// True for a folder with test_data_set_* or input_0.pb.
bool looks_like_onnx_tests(const std::filesystem::path& path);
/// True for .png, .jpg, .jpeg, .bmp in either case.
bool is_image_name(const std::filesystem::path& path);

}  // namespace mcompress::data
