// SPDX-License-Identifier: Apache-2.0
// Reads every #include and every banned word of src, include and tools and compares them with the
// rules of cmake/Layers.cmake.  usage: check_layers RULES SOURCE_DIR.  Exit code 1: violations.
#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

namespace fs = std::filesystem;
using Names = std::set<std::string, std::less<>>;

struct Rules {
  std::map<std::string, Names, std::less<>> layers;                ///< folder -> allowed layers
  std::map<std::string, std::string, std::less<>> public_headers;  ///< header -> layer
  std::vector<std::pair<std::string, Names>> externals;            ///< prefix -> folders
  std::vector<std::pair<std::string, Names>> forbidden;            ///< header -> folders
  std::vector<std::pair<std::string, Names>> words;                ///< word -> path prefixes
};

Rules read_rules(const fs::path& path) {
  Rules rules;
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    std::istringstream fields(line);
    std::string kind;
    std::string name;
    if (!(fields >> kind >> name)) continue;
    Names rest;
    for (std::string word; fields >> word;) rest.insert(word);
    if (kind == "layer") rules.layers[name] = rest;
    if (kind == "public") rules.public_headers[name] = *rest.begin();
    if (kind == "external") rules.externals.emplace_back(name, rest);
    if (kind == "forbidden") rules.forbidden.emplace_back(name, rest);
    if (kind == "word") rules.words.emplace_back(name, rest);
  }
  return rules;
}

/// The text with comments and the insides of literals blanked; line breaks stay. Raw strings too.
std::string code_only(const std::string& text) {
  std::string code = text;
  const auto blank = [&code](std::size_t from, std::size_t to) {
    for (std::size_t i = from; i < std::min(to, code.size()); ++i) {
      if (code[i] != '\n') code[i] = ' ';
    }
  };
  std::size_t i = 0;
  while (i < text.size()) {
    const std::string_view rest = std::string_view(text).substr(i);
    std::size_t end = i + 1;
    if (rest.starts_with("//")) {
      end = std::min(text.find('\n', i), text.size());
      blank(i, end);
    } else if (rest.starts_with("/*")) {
      end = std::min(text.find("*/", i + 2), text.size() - 2) + 2;
      blank(i, end);
    } else if (rest.starts_with("R\"")) {
      const std::size_t open = text.find('(', i);
      if (open == std::string::npos) break;
      const std::string close = ")" + text.substr(i + 2, open - i - 2) + "\"";
      end = std::min(text.find(close, open), text.size() - close.size()) + close.size();
      blank(i + 1, end);
    } else if (text[i] == '"' ||
               (text[i] == '\'' &&
                (i == 0 || !std::isalnum(static_cast<unsigned char>(text[i - 1]))))) {
      while (end < text.size() && text[end] != text[i] && text[end] != '\n') {
        end += text[end] == '\\' ? 2U : 1U;
      }
      blank(i + 1, end);
      ++end;
    }
    i = end;
  }
  return code;
}

bool is_identifier(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

bool contains_word(std::string_view line, std::string_view word) {
  for (std::size_t at = line.find(word); at != std::string_view::npos;
       at = line.find(word, at + 1)) {
    const std::size_t end = at + word.size();
    const bool starts = at == 0 || !is_identifier(line[at - 1]);
    const bool ends =
        end == line.size() || !is_identifier(word.back()) || !is_identifier(line[end]);
    if (starts && ends) return true;
  }
  return false;
}

/// The layer of a file, from its path below the source directory: "src/ir/x.cpp" is "ir".
std::string layer_of(const std::string& path, const Rules& rules) {
  if (path.starts_with("tools/")) return "tools";
  if (path.starts_with("include/mcompress/")) {
    const auto found = rules.public_headers.find(path.substr(18));
    return found == rules.public_headers.end() ? "" : found->second;
  }
  const std::string below = path.substr(4);
  const std::size_t slash = below.find('/');
  return slash == std::string::npos ? "core" : below.substr(0, slash);
}

class Checker {
 public:
  Checker(Rules rules, fs::path root) : rules_(std::move(rules)), root_(std::move(root)) {}

  void check_file(const fs::path& file) {
    path_ = fs::relative(file, root_).generic_string();
    layer_ = layer_of(path_, rules_);
    std::ostringstream content;
    content << std::ifstream(file).rdbuf();
    line_number_ = 0;
    ++files_;
    if (!rules_.layers.contains(layer_)) {
      report("has no layer: add a line to cmake/Layers.cmake");
      return;
    }
    std::istringstream raw(content.str());
    std::istringstream code(code_only(content.str()));
    std::string raw_line;
    std::string code_line;
    while (std::getline(raw, raw_line) && std::getline(code, code_line)) {
      ++line_number_;
      if (is_include(code_line)) {
        check_include(raw_line);
      } else {
        check_words(code_line);
      }
    }
  }

  std::size_t files() const { return files_; }
  std::size_t violations() const { return violations_; }

 private:
  static bool is_include(const std::string& line) {
    const std::size_t hash = line.find_first_not_of(" \t");
    if (hash == std::string::npos || line[hash] != '#') return false;
    const std::size_t word = line.find_first_not_of(" \t", hash + 1);
    return word != std::string::npos && line.compare(word, 7, "include") == 0;
  }

  void check_include(const std::string& line) {
    const std::size_t open = line.find_first_of("\"<");
    if (open == std::string::npos) return;
    const char close_sign = line[open] == '<' ? '>' : '"';
    const std::size_t close = line.find(close_sign, open + 1);
    const std::string name = line.substr(open + 1, close - open - 1);
    if (close_sign == '>' || !is_ours(name)) {
      check_external(name);
    } else {
      check_layer(name);
    }
  }

  bool is_ours(const std::string& name) const {
    const std::string folder = name.substr(0, name.find('/'));
    return folder == "mcompress" || rules_.layers.contains(folder) || folder == name;
  }

  void check_external(const std::string& name) {
    for (const auto& [prefix, folders] : rules_.externals) {
      if (!name.starts_with(prefix)) continue;
      if (path_.starts_with("include/")) report("public header includes <" + name + ">");
      if (!folders.contains(layer_)) report(layer_ + " may not include <" + name + ">");
    }
    for (const auto& [header, folders] : rules_.forbidden) {
      if (name == header && folders.contains(layer_) && !path_.starts_with("include/")) {
        report(layer_ + " may not include <" + name + ">");
      }
    }
  }

  void check_layer(const std::string& name) {
    std::string target = name.substr(0, name.find('/'));
    if (path_.starts_with("tools/") && fs::exists(root_ / "tools/mcompress" / name)) {
      return;  // the program's own headers are rooted at tools/mcompress
    }
    if (target == "mcompress") {
      const auto found = rules_.public_headers.find(name.substr(10));
      if (found == rules_.public_headers.end()) {
        report("\"" + name + "\" has no layer: add a line to cmake/Layers.cmake");
        return;
      }
      // The public headers are one interface: they may name each other.
      if (path_.starts_with("include/")) return;
      target = found->second;
    } else if (path_.starts_with("include/")) {
      report("public header includes \"" + name + "\" of src");
      return;
    } else if (target == name) {
      report("\"" + name + "\" is not rooted at src or include");
      return;
    }
    const bool itself = target == layer_ && layer_ != "passes";
    if (!itself && !rules_.layers.find(layer_)->second.contains(target)) {
      report(layer_ + " may not include \"" + name + "\"");
    }
  }

  void check_words(const std::string& line) {
    for (const auto& [word, homes] : rules_.words) {
      const bool at_home = std::any_of(homes.begin(), homes.end(), [this](const std::string& home) {
        return path_.starts_with(home);
      });
      if (!at_home && contains_word(line, word)) {
        std::string places;
        for (const std::string& home : homes) places += " " + home;
        report("'" + word + "' is only for" + places);
      }
    }
  }

  void report(const std::string& what) {
    ++violations_;
    std::cout << path_ << ':' << line_number_ << ": " << what << '\n';
  }

  Rules rules_;
  fs::path root_;
  std::string path_;
  std::string layer_;
  std::size_t line_number_ = 0;
  std::size_t files_ = 0;
  std::size_t violations_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: check_layers RULES SOURCE_DIR\n";
    return 2;
  }
  const fs::path root = argv[2];
  std::vector<fs::path> files;
  for (const char* folder : {"include", "src", "tools"}) {
    if (!fs::exists(root / folder)) continue;
    for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
      const std::string extension = entry.path().extension().string();
      if (extension == ".h" || extension == ".cpp") files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  Checker checker(read_rules(argv[1]), root);
  for (const fs::path& file : files) checker.check_file(file);
  std::cout << checker.files() << " files, " << checker.violations() << " violations\n";
  return checker.violations() == 0 ? 0 : 1;
}
