// SPDX-License-Identifier: Apache-2.0
#include "archive/archive.h"

#include <fmt/format.h>

#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "command.h"
#include "log.h"
#include "output.h"
#include "support/parallel_for.h"
#include "support/text_table.h"
#include "support/units.h"

namespace mcompress::tool {
namespace {

struct PackCommand {
  std::string file, output_file;
  int threads = 0;
  bool force = false, explain = false, json = false;
  OutputOptions output;

  int run() const;

 private:
  void print(const archive::PackFigures& figures, double seconds) const;
  void print_json(const archive::PackFigures& figures, double seconds) const;
};

double bits_per_symbol(const archive::PartFigure& part) {
  return 8 * static_cast<double>(part.packed_bytes) / static_cast<double>(part.symbols);
}

void PackCommand::print(const archive::PackFigures& figures, double seconds) const {
  const auto plain = static_cast<double>(figures.plain_bytes);
  for (size_t m = 1; m < figures.members.size(); ++m) {
    std::cout << fmt::format("with {}, {}\n", figures.members[m].name,
                             format_bytes(figures.members[m].size));
  }
  std::cout << fmt::format("{}: {} -> {} ({}), {}/s\n", figures.members[0].name,
                           format_bytes(figures.plain_bytes), format_bytes(figures.packed_bytes),
                           format_percent(static_cast<double>(figures.packed_bytes) / plain),
                           format_bytes(static_cast<uint64_t>(plain / seconds)));
  if (!explain) return;
  TextTable table({{"tensor", Align::kLeft, true},
                   {"coded", Align::kLeft, true},
                   {"plain", Align::kRight},
                   {"packed", Align::kRight},
                   {"bits/symbol", Align::kRight}});
  for (const archive::PartFigure& part : figures.parts) {
    table.add_row({{part.label.empty() ? "(the rest)" : part.label},
                   {part.method},
                   {format_count(part.plain_bytes)},
                   {format_count(part.packed_bytes)},
                   {part.symbols == 0 ? "" : format_fixed(bits_per_symbol(part), 3)}});
  }
  std::cout << table.render(static_cast<size_t>(terminal_width()), output.color_on_stdout());
}

void PackCommand::print_json(const archive::PackFigures& figures, double seconds) const {
  nlohmann::ordered_json root;
  root["schema"] = "mcompress-pack/1";
  root["file"] = file;
  root["plain_bytes"] = figures.plain_bytes;
  root["packed_bytes"] = figures.packed_bytes;
  root["seconds"] = seconds;
  for (const archive::Member& member : figures.members) {
    root["members"].push_back({{"name", member.name}, {"bytes", member.size}});
  }
  for (const archive::PartFigure& part : figures.parts) {
    root["parts"].push_back({{"tensor", part.label},
                             {"coded", part.method},
                             {"plain_bytes", part.plain_bytes},
                             {"packed_bytes", part.packed_bytes},
                             {"symbols", part.symbols}});
  }
  std::cout << root.dump(2) << '\n';
}

int PackCommand::run() const {
  output.apply();
  set_thread_count(threads);
  const std::filesystem::path input = file;
  std::filesystem::path target = output_file;
  if (output_file.empty()) target = input.filename().replace_extension(".mcz");
  support::require_writable(target, force);
  std::error_code ignored;
  if (std::filesystem::equivalent(input, target, ignored)) {
    throw Error(ErrorCode::kUsage, target.string() + ": is the file to be packed")
        .hint("inputs are never touched: name another output with -o");
  }
  const auto begin = std::chrono::steady_clock::now();
  const archive::PackFigures figures = archive::pack(input, target, force);
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  if (json) {
    print_json(figures, seconds);
  } else {
    print(figures, seconds);
  }
  return 0;
}

}  // namespace

void add_pack(CLI::App& app, Action& chosen) {
  add_command(
      app, "pack", "Pack a model into an entropy-coded archive, lossless", chosen,
      [](Arguments& arguments) {
        const auto command = std::make_shared<PackCommand>();
        arguments.text("FILE", command->file,
                       "ONNX model, packed with its data files; or any other file", "", true);
        arguments.text("-o,--output", command->output_file,
                       "Where to write; FILE with .mcz in the current folder without it", "OUTPUT");
        arguments.flag("--force", command->force, "Overwrite OUTPUT");
        arguments.number("--threads", command->threads, "Threads to work with; 0: one per core", 0,
                         1024);
        arguments.flag("--explain", command->explain, "List how every tensor is coded");
        arguments.flag("--json", command->json, "Print the figures as JSON");
        command->output.declare(arguments);
        arguments.footer(
            "Weights that encode-weights stored (every run ends with it) are coded best.\n"
            "Example:\n  mcompress pack small.onnx -o small.mcz");
        return [command] { return command->run(); };
      });
}

}  // namespace mcompress::tool
