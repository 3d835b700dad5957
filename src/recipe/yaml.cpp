// SPDX-License-Identifier: Apache-2.0
// The only file that knows yaml-cpp. Events are read and not YAML::Node, which forgets duplicate
// keys and the place of what it holds.
#include "recipe/yaml.h"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <map>
#include <optional>
#include <sstream>

namespace mcompress::recipe {
namespace {

constexpr size_t kMaxBytes = size_t{1} << 20;
constexpr size_t kMaxValues = 100'000;
constexpr size_t kMaxDepth = 64;

struct Stop {
  Diagnostic problem;
};

size_t count_values(const ConfigValue& value) {
  size_t count = 1;
  for (const ConfigValue& item : value.list) count += count_values(item);
  for (const ConfigValue::Entry& entry : value.map) count += count_values(entry.value);
  return count;
}

class Builder : public YAML::EventHandler {
 public:
  Builder(std::string file, std::vector<Diagnostic>& problems)
      : file_(std::move(file)), problems_(problems) {}

  ConfigValue take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    ConfigValue value;
    value.where = place(mark);
    finish(std::move(value), anchor);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) {
      throw Stop{{place(mark), "an alias refers to what it is part of", ""}};
    }
    ConfigValue value = found->second;
    grow(count_values(value), mark);
    finish(std::move(value), 0);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& text) override {
    ConfigValue value;
    value.kind = ConfigValue::Kind::kScalar;
    value.scalar = text;
    // yaml-cpp marks a plain scalar with "?" and a quoted one with "!".
    value.quoted = tag != "?" && !tag.empty();
    value.where = place(mark);
    if (tag != "!") check_tag(tag, mark);
    finish(std::move(value), anchor);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    check_tag(tag, mark);
    open(ConfigValue::Kind::kList, mark, anchor);
  }
  void OnSequenceEnd() override { close(); }

  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    check_tag(tag, mark);
    open(ConfigValue::Kind::kMap, mark, anchor);
  }
  void OnMapEnd() override { close(); }

  SourceLocation place(const YAML::Mark& mark) const {
    if (mark.is_null()) return {file_, 0, 0};
    return {file_, mark.line + 1, mark.column + 1};
  }

 private:
  struct Frame {
    ConfigValue value;
    YAML::anchor_t anchor = 0;
    std::optional<ConfigValue> key;
    std::vector<ConfigValue> merges;
  };

  void check_tag(const std::string& tag, const YAML::Mark& mark) {
    if (tag.empty() || tag == "?" || tag == "!" || tag.starts_with("tag:yaml.org,2002:")) return;
    problems_.push_back({place(mark), fmt::format("tag '{}' has no meaning in a recipe", tag), ""});
  }

  void grow(size_t by, const YAML::Mark& mark) {
    values_ += by;
    if (values_ <= kMaxValues) return;
    throw Stop{{place(mark), fmt::format("more than {} values, aliases counted", kMaxValues), ""}};
  }

  void open(ConfigValue::Kind kind, const YAML::Mark& mark, YAML::anchor_t anchor) {
    if (frames_.size() >= kMaxDepth) {
      throw Stop{{place(mark), fmt::format("nested more than {} levels deep", kMaxDepth), ""}};
    }
    grow(1, mark);
    Frame frame;
    frame.value.kind = kind;
    frame.value.where = place(mark);
    frame.anchor = anchor;
    frames_.push_back(std::move(frame));
  }

  void close() {
    Frame frame = std::move(frames_.back());
    frames_.pop_back();
    for (ConfigValue& merged : frame.merges) {
      for (ConfigValue::Entry& entry : merged.map) {
        if (frame.value.find(entry.key) == nullptr) frame.value.map.push_back(std::move(entry));
      }
    }
    finish(std::move(frame.value), frame.anchor);
  }

  void finish(ConfigValue value, YAML::anchor_t anchor) {
    if (anchor != 0) anchors_[anchor] = value;
    if (frames_.empty()) {
      root_ = std::move(value);
      return;
    }
    Frame& frame = frames_.back();
    if (frame.value.kind == ConfigValue::Kind::kList) {
      frame.value.list.push_back(std::move(value));
    } else if (!frame.key) {
      frame.key = std::move(value);
    } else {
      const ConfigValue key = std::move(*frame.key);
      frame.key.reset();
      add_entry(frame, key, std::move(value));
    }
  }

  void add_entry(Frame& frame, const ConfigValue& key, ConfigValue value) {
    if (key.kind != ConfigValue::Kind::kScalar) {
      problems_.push_back({key.where, "a key must be a word", ""});
    } else if (key.scalar == "<<" && !key.quoted) {
      add_merge(frame, key, std::move(value));
    } else if (const ConfigValue::Entry* first = find_entry(frame.value, key.scalar)) {
      problems_.push_back({key.where, fmt::format("duplicate key '{}'", key.scalar),
                           fmt::format("it is in line {} already", first->where.line)});
    } else {
      frame.value.map.push_back({key.scalar, key.where, std::move(value)});
    }
  }

  void add_merge(Frame& frame, const ConfigValue& key, ConfigValue value) {
    std::vector<ConfigValue> sources;
    if (value.kind == ConfigValue::Kind::kList) {
      sources = std::move(value.list);
    } else {
      sources.push_back(std::move(value));
    }
    for (ConfigValue& source : sources) {
      if (source.kind == ConfigValue::Kind::kMap) {
        frame.merges.push_back(std::move(source));
      } else {
        problems_.push_back({key.where, "'<<' merges maps only", ""});
      }
    }
  }

  static const ConfigValue::Entry* find_entry(const ConfigValue& map, const std::string& key) {
    for (const ConfigValue::Entry& entry : map.map) {
      if (entry.key == key) return &entry;
    }
    return nullptr;
  }

  std::string file_;
  std::vector<Diagnostic>& problems_;
  ConfigValue root_;
  std::vector<Frame> frames_;
  std::map<YAML::anchor_t, ConfigValue> anchors_;
  size_t values_ = 0;
};

// Length of the UTF-8 sequence at the front of `text`, 0 when it is none.
size_t utf8_length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return 1;
  const size_t length = lead >= 0xF0 && lead < 0xF5 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC2 ? 2 : 0;
  if (lead >= 0xF5 || length == 0 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  return length;
}

std::optional<Diagnostic> check_text(std::string_view text, const std::string& file) {
  if (text.size() > kMaxBytes) {
    return Diagnostic{
        {file, 0, 0},
        fmt::format("has {} bytes, too many for a recipe (limit {})", text.size(), kMaxBytes),
        "is it the model?"};
  }
  int line = 1;
  for (size_t at = 0; at < text.size();) {
    const char c = text[at];
    if (c == '\n') ++line;
    const bool control =
        static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\r' && c != '\t';
    const size_t length = control ? 0 : utf8_length(text.substr(at));
    if (length == 0) {
      return Diagnostic{{file, 0, 0},
                        fmt::format("is no text: byte 0x{:02x} in line {} is not UTF-8",
                                    static_cast<unsigned char>(c), line),
                        "a recipe is a YAML file"};
    }
    at += length;
  }
  return std::nullopt;
}

// yaml-cpp's words for a tab in the indentation differ from place to place and none says "tab".
std::string hint_for(std::string_view text, int line) {
  for (int at = 0; at < line; ++at) {
    const size_t end = text.find('\n');
    if (end == std::string_view::npos) return "";
    text.remove_prefix(end + 1);
  }
  const std::string_view indent = text.substr(0, text.find_first_not_of(" \t"));
  return indent.find('\t') == std::string_view::npos ? "" : "indent with spaces, not with tabs";
}

}  // namespace

ConfigValue parse_yaml(std::string_view text, const std::string& file_name,
                       std::vector<Diagnostic>& problems) {
  if (std::optional<Diagnostic> problem = check_text(text, file_name)) {
    problems.push_back(std::move(*problem));
    return {};
  }
  Builder builder(file_name, problems);
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    if (parser.HandleNextDocument(builder)) {
      std::vector<Diagnostic> ignored;
      Builder second(file_name, ignored);
      if (parser.HandleNextDocument(second)) {
        problems.push_back({{file_name, 0, 0},
                            "has more than one document",
                            "keep what is before the second ---"});
      }
    }
  } catch (const Stop& stop) {
    problems.push_back(stop.problem);
  } catch (const YAML::Exception& error) {
    problems.push_back(
        {builder.place(error.mark), "YAML: " + error.msg, hint_for(text, error.mark.line)});
  }
  return builder.take();
}

}  // namespace mcompress::recipe
