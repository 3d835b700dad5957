// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cctype>
#include <cmath>
#include <map>
#include <optional>

#include <fmt/format.h>

#include "data/array_dataset.h"
#include "data/csv_table.h"
#include "data/image_file.h"
#include "data/image_resize.h"
#include "data/names.h"
#include "data/readers.h"
#include "mcompress/error.h"
#include "support/did_you_mean.h"
#include "support/hash.h"

namespace mcompress::data {
namespace {

namespace fs = std::filesystem;

enum class Colors { kRgb, kBgr, kGray };

struct ImageEntry {
  fs::path path;
  int64_t label = -1;
};

/// How a file becomes the values of one sample.
struct Preparation {
  std::optional<std::pair<int64_t, int64_t>> resize, crop;
  bool resize_short = false;
  Colors colors = Colors::kRgb;
  Layout layout = Layout::kNchw;
  Transform transform;

  Image prepare(Image image, const std::string& name) const {
    if (resize) {
      image = resize_short ? resize_short_side(image, resize->first)
                           : data::resize(image, resize->second, resize->first);
    }
    return crop ? center_crop(image, crop->second, crop->first, name) : image;
  }
  int64_t channels() const { return colors == Colors::kGray ? 1 : 3; }
};

std::vector<float> values_of(const Image& image, const Preparation& preparation) {
  const int64_t channels = preparation.channels(), pixels = image.width * image.height;
  std::vector<float> values(static_cast<size_t>(channels * pixels));
  for (int64_t i = 0; i < pixels; ++i) {
    const uint8_t* rgb = image.pixels.data() + 3 * i;
    for (int64_t c = 0; c < channels; ++c) {
      int value = 0;
      if (preparation.colors == Colors::kGray) {
        // ITU-R 601 in 16-bit fixed point.
        value = (rgb[0] * 19595 + rgb[1] * 38470 + rgb[2] * 7471 + 0x8000) >> 16;
      } else {
        value = rgb[preparation.colors == Colors::kBgr ? 2 - c : c];
      }
      const int64_t at = preparation.layout == Layout::kNchw ? c * pixels + i : i * channels + c;
      values[static_cast<size_t>(at)] = static_cast<float>(value);
    }
  }
  return values;
}

class ImageDataset final : public Dataset {
 public:
  ImageDataset(DataSource source, ValueInfo input, std::vector<ImageEntry> entries, size_t found,
               Preparation preparation, bool labelled)
      : source_(std::move(source)),
        input_(std::move(input)),
        entries_(std::move(entries)),
        found_(found),
        preparation_(std::move(preparation)),
        labelled_(labelled),
        group_(std::max<size_t>(1, static_cast<size_t>(fixed_batch(input_)))),
        batchable_(fixed_batch(input_) == 0) {
    sample_shape(read(0), entries_[0].path.string());
  }

  size_t size() const override { return (entries_.size() + group_ - 1) / group_; }
  size_t rows_per_sample() const override { return group_; }
  size_t rows(size_t sample) const override {
    return std::min(group_, entries_.size() - sample * group_);
  }
  bool batchable() const override { return batchable_; }
  bool has_labels() const override { return labelled_; }

  std::optional<Tensor> labels(size_t first, size_t count) const override {
    if (!labelled_) return std::nullopt;
    std::vector<int64_t> labels;
    const size_t end = std::min(entries_.size(), (first + count) * group_);
    for (size_t i = first * group_; i < end; ++i) labels.push_back(entries_[i].label);
    return Tensor::from({static_cast<int64_t>(labels.size())}, labels);
  }

  Feeds feeds(size_t first, size_t count) const override {
    if (count == 0 || first >= size() || count > size() - first || (count != 1 && !batchable_)) {
      throw Error(ErrorCode::kBug, fmt::format("{}: samples {} to {} of {}", source_.path.string(),
                                               first, first + count, size()));
    }
    const size_t wanted = batchable_ ? count : group_;
    std::vector<float> values;
    Shape shape;
    for (size_t i = 0; i < wanted; ++i) {
      const size_t at = std::min(first * group_ + i, entries_.size() - 1);
      const Image image = read(at);
      const std::string name = entries_[at].path.string();
      const Shape sample = sample_shape(image, name);
      if (i == 0) {
        shape = sample;
      } else if (sample != shape) {
        throw Error(ErrorCode::kData,
                    fmt::format("{}: {} after preparation, others of its batch are {}", name,
                                to_string(sample), to_string(shape)))
            .hint("set resize and crop so that all images get one size");
      }
      const std::vector<float> one = values_of(image, preparation_);
      values.insert(values.end(), one.begin(), one.end());
    }
    if (!preparation_.transform.is_identity()) {
      preparation_.transform.apply(values, shape, preparation_.layout);
    }
    shape.insert(shape.begin(), static_cast<int64_t>(wanted));
    Tensor tensor = Tensor::from(std::move(shape), values);
    return {{input_.name, input_.type == DataType::kFloat ? tensor : tensor.cast(input_.type)}};
  }

  std::string description() const override {
    const fs::path& folder = source_.path;
    const std::string name =
        (folder.has_filename() ? folder : folder.parent_path()).filename().string();
    if (entries_.size() == found_) return fmt::format("{} ({} images)", name, found_);
    return fmt::format("{} ({} of {} images)", name, entries_.size(), found_);
  }

  std::string fingerprint() const override {
    support::Hasher hasher;
    for (const ImageEntry& entry : entries_) {
      std::error_code ignored;
      hasher.update(fmt::format("{} {} {}\n", entry.path.lexically_relative(source_.path).string(),
                                fs::file_size(entry.path, ignored), entry.label));
    }
    for (const auto& [name, value] : source_.options) hasher.update("\n" + name + "=" + value);
    return hasher.digest().hex();
  }

 private:
  Image read(size_t index) const {
    const fs::path& path = entries_[index].path;
    return preparation_.prepare(read_image(path), path.string());
  }

  Shape sample_shape(const Image& image, const std::string& name) const {
    const int64_t channels = preparation_.channels();
    Shape shape = preparation_.layout == Layout::kNchw ? Shape{channels, image.height, image.width}
                                                       : Shape{image.height, image.width, channels};
    if (!input_.has_shape) return shape;
    for (size_t axis = 0; axis < shape.size(); ++axis) {
      const int64_t wanted = input_.shape[axis + 1];
      if (wanted < 0 || wanted == shape[axis]) continue;
      throw Error(ErrorCode::kData,
                  fmt::format("{}: {} is {} after preparation, the model wants {}", input_.name,
                              name, to_string(shape), to_string(input_.shape)))
          .hint("set resize, crop, layout (nchw, nhwc) and colors (rgb, gray) to match");
    }
    return shape;
  }

  DataSource source_;
  ValueInfo input_;
  std::vector<ImageEntry> entries_;
  size_t found_;  ///< before `limit`
  Preparation preparation_;
  bool labelled_;
  size_t group_;
  bool batchable_;
};

/// Images of a folder and the folders in it, by path.
std::vector<fs::path> find_images(const fs::path& folder) {
  std::vector<fs::path> images;
  std::error_code error;
  for (fs::recursive_directory_iterator at(folder, error), end; at != end && !error;
       at.increment(error)) {
    if (at->is_regular_file() && is_image_name(at->path())) images.push_back(at->path());
  }
  if (error) {
    throw Error(ErrorCode::kData,
                fmt::format("{}: cannot list: {}", folder.string(), error.message()));
  }
  std::ranges::sort(images);
  return images;
}

bool has_class_folders(const fs::path& folder, const std::vector<fs::path>& images) {
  return std::ranges::all_of(images, [&](const fs::path& image) {
    const fs::path inside = image.lexically_relative(folder);
    return std::distance(inside.begin(), inside.end()) > 1;
  });
}

/// The class is the first folder below `folder`; classes are numbered in the order of their names.
std::vector<ImageEntry> label_by_folder(const fs::path& folder,
                                        const std::vector<fs::path>& images) {
  std::map<std::string, int64_t> classes;
  for (const fs::path& image : images)
    classes[image.lexically_relative(folder).begin()->string()] = 0;
  int64_t next = 0;
  for (auto& [name, id] : classes) id = next++;
  std::vector<ImageEntry> entries;
  for (const fs::path& image : images) {
    entries.push_back({image, classes.at(image.lexically_relative(folder).begin()->string())});
  }
  return entries;
}

/// Rows "file,label", with or without a header; paths are relative to the folder. The order is the
/// CSV's. Labels that are no integers are numbered in the order of their sorted names.
std::vector<ImageEntry> label_by_csv(const fs::path& folder, const fs::path& csv) {
  const CsvTable table = read_csv(csv, 0);
  const auto is_image = [&](size_t row) { return is_image_name(table.rows[row][0]); };
  std::map<std::string, int64_t> classes;
  bool numeric = true;
  std::vector<size_t> rows;
  for (size_t row = 0; row < table.rows.size(); ++row) {
    if (table.rows[row].size() < 2) {
      throw Error(ErrorCode::kData,
                  fmt::format("{}:{}: expected 'file,label'", csv.string(), table.lines[row]));
    }
    if (row == 0 && !is_image(row)) continue;
    double value = 0;
    numeric = numeric && parse_cell(table.rows[row][1], value) && value == std::floor(value);
    classes[table.rows[row][1]] = 0;
    rows.push_back(row);
  }
  int64_t next = 0;
  for (auto& [name, id] : classes) id = next++;
  std::vector<ImageEntry> entries;
  for (const size_t row : rows) {
    const fs::path image = folder / table.rows[row][0];
    if (!fs::is_regular_file(image)) {
      throw Error(ErrorCode::kData,
                  fmt::format("{}:{}: no file {}", csv.string(), table.lines[row], image.string()));
    }
    double value = 0;
    if (numeric) parse_cell(table.rows[row][1], value);
    entries.push_back(
        {image, numeric ? static_cast<int64_t>(value) : classes.at(table.rows[row][1])});
  }
  return entries;
}

Layout guess_layout(const ValueInfo& input) {
  if (!input.has_shape) return Layout::kNchw;
  const auto is_color = [](int64_t d) { return d == 1 || d == 3; };
  return !is_color(input.shape[1]) && is_color(input.shape[3]) ? Layout::kNhwc : Layout::kNchw;
}

Preparation parse_preparation(const SourceOptions& options, const ValueInfo& input) {
  Preparation preparation;
  bool single = false;
  preparation.resize = options.height_width("resize", single);
  preparation.resize_short = single;
  preparation.crop = options.height_width("crop", single);
  preparation.layout = guess_layout(input);
  const std::string layout =
      options.choice("layout", {"nchw", "nhwc", "class-folders", "flat", "auto"}, "auto");
  if (layout == "nchw") preparation.layout = Layout::kNchw;
  if (layout == "nhwc") preparation.layout = Layout::kNhwc;
  const int64_t channels =
      !input.has_shape ? -1 : input.shape[preparation.layout == Layout::kNchw ? 1 : 3];
  const std::string colors =
      options.choice("colors", {"rgb", "bgr", "gray"}, channels == 1 ? "gray" : "rgb");
  preparation.colors = colors == "gray"  ? Colors::kGray
                       : colors == "bgr" ? Colors::kBgr
                                         : Colors::kRgb;
  // Pixels become 0..1 for a floating-point input, which is what mean and std are stated for.
  preparation.transform = Transform::parse(options, is_floating(input.type) ? 1.0 / 255 : 1.0);
  const int64_t c = preparation.channels();
  preparation.transform.check(preparation.layout == Layout::kNchw ? Shape{c, 1, 1} : Shape{1, 1, c},
                              preparation.layout, input.name);
  return preparation;
}

void require_image_input(const DataSource& source, const Inputs& inputs) {
  if (inputs.size() != 1) {
    throw Error(ErrorCode::kData, fmt::format("{}: images feed one input, the model has {}",
                                              source.path.string(), inputs.size()));
  }
  const ValueInfo& input = inputs[0];
  if (!is_feedable(input.type) || (input.has_shape && input.shape.size() != 4)) {
    throw Error(
        ErrorCode::kData,
        fmt::format("{}: images are rank 4, the model wants {} of {}", input.name,
                    input.has_shape ? to_string(input.shape) : "?", data_type_name(input.type)));
  }
}

}  // namespace

bool is_image_name(const fs::path& path) {
  std::string extension = path.extension().string();
  std::ranges::transform(extension, extension.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return extension == ".png" || extension == ".jpg" || extension == ".jpeg" || extension == ".bmp";
}

std::shared_ptr<const Dataset> open_images(const DataSource& source, const Inputs& inputs) {
  const SourceOptions options(source, "images");
  require_image_input(source, inputs);
  const std::string layout = options.text("layout", "");
  std::string mode = options.choice("labels", {"auto", "class-folders", "none"}, "auto");
  if (layout == "class-folders") mode = layout;
  if (layout == "flat" && mode == "auto") mode = "none";

  std::optional<fs::path> csv;
  if (const auto at = source.files.find("labels"); at != source.files.end()) {
    csv = at->second;
  } else if (mode != "class-folders" && options.text("labels", "") != "none" &&
             fs::is_regular_file(source.path / "labels.csv")) {
    csv = source.path / "labels.csv";
  }
  std::vector<ImageEntry> entries;
  bool labelled = csv.has_value();
  if (csv) {
    entries = label_by_csv(source.path, *csv);
  } else {
    const std::vector<fs::path> images = fs::is_directory(source.path)
                                             ? find_images(source.path)
                                             : std::vector<fs::path>{source.path};
    const bool folders = fs::is_directory(source.path) && has_class_folders(source.path, images);
    if (mode == "class-folders" && !folders) {
      throw Error(ErrorCode::kData,
                  fmt::format("{}: images outside a class folder", source.path.string()))
          .hint("put each image into a folder named by its class, or set labels: none");
    }
    labelled = mode == "class-folders" || (mode == "auto" && folders);
    if (labelled) {
      entries = label_by_folder(source.path, images);
    } else {
      for (const fs::path& image : images) entries.push_back({image});
    }
  }
  if (entries.empty()) {
    throw Error(ErrorCode::kData,
                fmt::format("{}: no images (.png, .jpg, .bmp)", source.path.string()));
  }
  const size_t found = entries.size();
  if (const auto limit = options.integer("limit", 1)) {
    entries.resize(std::min(found, static_cast<size_t>(*limit)));
  }
  return std::make_shared<ImageDataset>(source, inputs[0], std::move(entries), found,
                                        parse_preparation(options, inputs[0]), labelled);
}

}  // namespace mcompress::data
