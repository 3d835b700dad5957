// SPDX-License-Identifier: Apache-2.0
#include "errors.h"

#include <CLI/CLI.hpp>

#include <cctype>
#include <iostream>
#include <new>
#include <sstream>

#include "log.h"
#include "mcompress/interrupt.h"
#include "support/did_you_mean.h"
#include "support/text_table.h"

namespace mcompress::tool {
namespace {

// The command that the words stand for: the last one that was given.
const CLI::App& current(const CLI::App& app) {
  const std::vector<CLI::App*> inner = app.get_subcommands();
  return inner.empty() ? app : current(*inner.back());
}

std::string full_name(const CLI::App& app) {
  return app.get_parent() == nullptr ? app.get_name()
                                     : full_name(*app.get_parent()) + " " + app.get_name();
}

std::vector<std::string> option_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

std::vector<std::string> command_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (!command->get_group().empty()) names.push_back(command->get_name());
  }
  return names;
}

std::string in_our_style(std::string text) {
  const auto is_upper = [&](size_t at) {
    return at < text.size() && std::isupper(static_cast<unsigned char>(text[at])) != 0;
  };
  // Names in capitals (MODEL) stay.
  if (is_upper(0) && !is_upper(1)) {
    text[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[0])));
  }
  while (!text.empty() && (text.back() == '.' || text.back() == '\n')) text.pop_back();
  return text;
}

void print(const Error& error) {
  const bool color = color_on_stderr();
  std::string context;
  for (const std::string& part : error.context()) context += part + ": ";
  std::istringstream lines(error.message());
  std::string text;
  for (std::string line; std::getline(lines, line);) {
    text += "mcompress: " + styled("error:", "1;31", color) + " " + context + line + "\n";
  }
  if (!error.hint().empty())
    text += "mcompress: " + styled("hint:", "1", color) + " " + error.hint() + "\n";
  clear_progress();
  std::cerr << text << std::flush;
}

int fail(const Error& error) {
  // A stopped Run or read ends in an error of its own; the reason is the signal.
  if (interrupt_requested()) {
    clear_progress();
    std::cerr << "mcompress: interrupted\n" << std::flush;
    return static_cast<int>(ErrorCode::kInterrupted);
  }
  print(error);
  return static_cast<int>(error.code());
}

}  // namespace

Error usage_error(const CLI::App& app, const CLI::ParseError& error,
                  const std::string& first_word) {
  const CLI::App& command = current(app);
  const std::string help = full_name(command) + " --help";
  const bool is_group = !command_names(command).empty();
  std::vector<std::string> extra = command.remaining();
  if (&command == &app && extra.empty() && !first_word.empty()) extra.push_back(first_word);
  for (const std::string& word : extra) {
    const bool option = word.starts_with("-");
    if (!option && !is_group) continue;
    const std::string name = option ? word.substr(0, word.find('=')) : word;
    const std::string nearest =
        nearest_name(name, option ? option_names(command) : command_names(command));
    return Error(ErrorCode::kUsage,
                 "unknown " + std::string(option ? "option '" : "command '") + name + "'")
        .hint(nearest.empty() ? "see " + help : "did you mean '" + nearest + "'? See " + help);
  }
  if (is_group) {
    return Error(ErrorCode::kUsage, full_name(command) + ": a command is missing")
        .hint("see " + help);
  }
  return Error(ErrorCode::kUsage, in_our_style(error.what())).hint("see " + help);
}

int report_errors(const std::function<int()>& body) {
  try {
    return body();
  } catch (const Error& error) {
    return fail(error);
  } catch (const Unsupported& error) {
    return fail(Error(ErrorCode::kModel, error.reason()));
  } catch (const std::bad_alloc&) {
    return fail(Error(ErrorCode::kRuntime, "not enough memory"));
  } catch (const std::exception& error) {
    return fail(Error(ErrorCode::kBug, std::string("unexpected: ") + error.what())
                    .hint("this is a fault of mcompress: please report it with the command, model "
                          "and recipe"));
  }
}

}  // namespace mcompress::tool
