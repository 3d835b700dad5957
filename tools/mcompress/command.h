// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace mcompress::tool {

/// The command line of one command. Hides CLI11, which takes seconds to compile, from the commands.
/// Members given must live until the command has run. Names are CLI11's: "-o,--output"; a name
/// without dashes is positional.
class Arguments {
 public:
  explicit Arguments(CLI::App& app) : app_(app) {}

  void text(const std::string& names, std::string& member, const std::string& help,
            const std::string& placeholder, bool required = false);
  void texts(const std::string& names, std::vector<std::string>& member, const std::string& help,
             const std::string& placeholder);
  void number(const std::string& names, int& member, const std::string& help, int least, int most);
  void choice(const std::string& names, std::string& member, const std::string& help,
              const std::vector<std::string>& words);
  void flag(const std::string& names, bool& member, const std::string& help);
  /// Options that follow are listed under this heading.
  void group(const std::string& heading) { group_ = heading; }
  void footer(const std::string& text);

 private:
  CLI::App& app_;
  std::string group_ = "Options";
};

/// What the parsed command line asks for; called once by main, returns the exit code.
using Action = std::function<int()>;

/// Declares a command: `declare` adds its arguments and returns its action. Hidden commands are not
/// listed.
void add_command(CLI::App& app, const std::string& name, const std::string& summary, Action& chosen,
                 const std::function<Action(Arguments&)>& declare, bool hidden = false);
/// Declares a command that only has commands of its own; returns the app to add them to.
CLI::App& add_command_group(CLI::App& app, const std::string& name, const std::string& summary);

/// One function a file of commands/.
void add_run(CLI::App& app, Action& chosen);
void add_inspect(CLI::App& app, Action& chosen);
void add_evaluate(CLI::App& app, Action& chosen);
void add_compare(CLI::App& app, Action& chosen);
void add_calibrate(CLI::App& app, Action& chosen);
void add_pack(CLI::App& app, Action& chosen);
void add_unpack(CLI::App& app, Action& chosen);
void add_sensitivity(CLI::App& app, Action& chosen);
void add_passes(CLI::App& app, Action& chosen);
void add_recipe(CLI::App& app, Action& chosen);
void add_session_figures(CLI::App& app, Action& chosen);

}  // namespace mcompress::tool
