// SPDX-License-Identifier: Apache-2.0
#include "pass_table.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "support/text_table.h"

namespace mcompress::tool {
namespace {

// In the order in which passes are run: exact ones first.
template <class Visit>
void for_each_pass(const PassRegistry& passes, const Visit& visit) {
  for (const Fidelity fidelity :
       {Fidelity::kExact, Fidelity::kRounding, Fidelity::kLossy, Fidelity::kTraining}) {
    for (const std::string& name : passes.names()) {
      const std::unique_ptr<Pass> pass = passes.create(name);
      if (pass->info().fidelity == fidelity) visit(*pass);
    }
  }
}

std::string needs_text(const Needs& needs) {
  std::string text;
  const auto add = [&](bool needed, const char* what) {
    if (needed) text += (text.empty() ? "" : ", ") + std::string(what);
  };
  add(needs.runtime, "ONNX Runtime");
  add(needs.calibration, "calibration data");
  add(needs.training, "training data");
  return text.empty() ? "nothing but the model" : text;
}

std::string_view type_word(OptionInfo::Type type) {
  using Type = OptionInfo::Type;
  switch (type) {
    case Type::kBool:
      return "true or false";
    case Type::kInt:
      return "whole number";
    case Type::kNumber:
      return "number";
    case Type::kString:
      return "text";
    case Type::kEnum:
      return "";
    case Type::kStringList:
      return "list of texts";
    case Type::kNumberList:
      return "list of numbers";
    case Type::kFile:
      return "file";
    case Type::kFileList:
      return "list of files";
  }
  return "";
}

// "whole number, 2..8", "number or auto, at least 1", "local | global".
std::string values_text(const OptionInfo& info) {
  if (info.type == OptionInfo::Type::kEnum)
    return fmt::format("{}", fmt::join(info.choices, " | "));
  std::string text(type_word(info.type));
  for (const std::string& word : info.choices) text += " or " + word;
  if (info.minimum && info.maximum && !info.exclusive_minimum) {
    return text + fmt::format(", {}..{}", *info.minimum, *info.maximum);
  }
  if (info.minimum) {
    text +=
        fmt::format(", {} {}", info.exclusive_minimum ? "more than" : "at least", *info.minimum);
  }
  if (info.maximum) text += fmt::format(", at most {}", *info.maximum);
  return text;
}

// "  bits  whole number, 2..8, default 8" and below it what the option means.
std::string option_lines(const OptionInfo& option, size_t columns, bool color) {
  constexpr size_t kIndent = 6;
  const std::string fallback =
      option.default_text.empty() ? "" : ", default " + option.default_text;
  return fmt::format("  {}  {}{}\n", styled(option.name, "1", color), values_text(option),
                     fallback) +
         wrap_text(std::string(kIndent, ' ') + option.description, columns, kIndent) + "\n";
}

std::string example_of(const std::vector<OptionInfo>& options) {
  for (const OptionInfo& option : options) {
    if (!option.default_text.empty() && option.default_text != "[]") {
      return option.name + ": " + option.default_text;
    }
  }
  return options.front().name + ": ...";
}

std::string escaped(std::string_view text) {
  std::string result;
  for (const char c : text) {
    if (c == '|') result += '\\';
    result += c;
  }
  return result;
}

nlohmann::ordered_json option_json(const OptionInfo& info) {
  nlohmann::ordered_json json{{"name", info.name},
                              {"description", info.description},
                              {"values", values_text(info)},
                              {"default", info.default_text},
                              {"choices", info.choices}};
  json["minimum"] = info.minimum ? nlohmann::ordered_json(*info.minimum) : nullptr;
  json["maximum"] = info.maximum ? nlohmann::ordered_json(*info.maximum) : nullptr;
  return json;
}

}  // namespace

std::string pass_table(const PassRegistry& passes, int width, bool color) {
  TextTable table({{.title = "pass"}, {.title = "fidelity"}, {.title = "what it does"}});
  for_each_pass(passes, [&](const Pass& pass) {
    table.add_row({{std::string(pass.info().name), "1"},
                   {std::string(fidelity_name(pass.info().fidelity))},
                   {std::string(pass.info().summary)}});
  });
  return table.render(static_cast<size_t>(width), color) +
         "\nmcompress passes PASS tells more about one.\n";
}

std::string pass_table_markdown(const PassRegistry& passes) {
  std::string text = "| pass | fidelity | what it does | needs |\n|---|---|---|---|\n";
  for_each_pass(passes, [&](const Pass& pass) {
    const PassInfo& info = pass.info();
    text += fmt::format("| `{}` | {} | {} | {} |\n", info.name, fidelity_name(info.fidelity),
                        escaped(info.summary),
                        info.needs.training      ? "training data"
                        : info.needs.calibration ? "calibration data"
                                                 : "");
  });
  return text;
}

std::string pass_details(const Pass& pass, OptionSet& options, int width, bool color) {
  const PassInfo& info = pass.info();
  const auto columns = static_cast<size_t>(width);
  std::string text = fmt::format("{}: {}\n\n", styled(info.name, "1", color), info.summary);
  const auto line = [&](std::string_view label, std::string_view value) {
    constexpr size_t kIndent = 12;
    if (value.empty()) return;
    text +=
        wrap_text(fmt::format("  {:<10}{}", std::string(label) + ":", value), columns, kIndent) +
        "\n";
  };
  line("fidelity", fidelity_name(info.fidelity));
  line("needs", needs_text(info.needs));
  line("benefit", info.benefit);
  line("cost", info.cost);
  line("layers", pass.acts_on_layers() ? "chosen by `only` and `skip` beside the pass" : "");
  if (options.infos().empty()) return text + "\nIt has no options.\n";
  text += "\noptions\n";
  for (const OptionInfo& option : options.infos()) text += option_lines(option, columns, color);
  return text +
         fmt::format("\nIn a recipe:  - {}: {{{}}}\n", info.name, example_of(options.infos()));
}

std::string pass_details_json(const PassRegistry& passes) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for_each_pass(passes, [&](Pass& pass) {
    OptionSet options;
    pass.describe(options);
    const PassInfo& info = pass.info();
    nlohmann::ordered_json json{{"name", info.name},
                                {"summary", info.summary},
                                {"fidelity", fidelity_name(info.fidelity)},
                                {"needs",
                                 {{"runtime", info.needs.runtime},
                                  {"calibration", info.needs.calibration},
                                  {"training", info.needs.training}}},
                                {"benefit", info.benefit},
                                {"cost", info.cost},
                                {"acts_on_layers", pass.acts_on_layers()},
                                {"options", nlohmann::ordered_json::array()}};
    for (const OptionInfo& option : options.infos()) json["options"].push_back(option_json(option));
    list.push_back(std::move(json));
  });
  return list.dump(2) + "\n";
}

}  // namespace mcompress::tool
