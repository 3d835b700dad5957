// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>

#include "command.h"

namespace mcompress::tool {

void Arguments::text(const std::string& names, std::string& member, const std::string& help,
                     const std::string& placeholder, bool required) {
  app_.add_option(names, member, help)->type_name(placeholder)->required(required)->group(group_);
}

void Arguments::texts(const std::string& names, std::vector<std::string>& member,
                      const std::string& help, const std::string& placeholder) {
  // One value a mention: `--set a=1 model.onnx` must not swallow the model.
  app_.add_option(names, member, help)
      ->type_name(placeholder)
      ->type_size(1)
      ->allow_extra_args(false)
      ->group(group_);
}

void Arguments::number(const std::string& names, int& member, const std::string& help, int least,
                       int most) {
  CLI::Range check(least, most);
  check.description("");
  app_.add_option(names, member, help)->type_name("N")->check(check)->group(group_);
}

void Arguments::choice(const std::string& names, std::string& member, const std::string& help,
                       const std::vector<std::string>& words) {
  std::string placeholder;
  for (const std::string& word : words) placeholder += (placeholder.empty() ? "" : "|") + word;
  CLI::IsMember check(words);
  check.description("");
  app_.add_option(names, member, help)->type_name(placeholder)->check(check)->group(group_);
}

void Arguments::flag(const std::string& names, bool& member, const std::string& help) {
  app_.add_flag(names, member, help)->group(group_);
}

void Arguments::footer(const std::string& text) { app_.footer(text); }

void add_command(CLI::App& app, const std::string& name, const std::string& summary, Action& chosen,
                 const std::function<Action(Arguments&)>& declare, bool hidden) {
  CLI::App* command = app.add_subcommand(name, summary);
  if (hidden) command->group("");
  Arguments arguments(*command);
  const Action action = declare(arguments);
  command->final_callback([&chosen, action] { chosen = action; });
}

CLI::App& add_command_group(CLI::App& app, const std::string& name, const std::string& summary) {
  CLI::App* group = app.add_subcommand(name, summary);
  group->require_subcommand(1);
  return *group;
}

}  // namespace mcompress::tool
