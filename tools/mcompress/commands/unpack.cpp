// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <filesystem>

#include "archive/archive.h"
#include "command.h"
#include "log.h"
#include "output.h"
#include "support/parallel_for.h"
#include "support/units.h"

namespace mcompress::tool {
namespace {

struct UnpackCommand {
  std::string file, output_file;
  int threads = 0;
  bool force = false;
  OutputOptions output;

  int run() const {
    output.apply();
    set_thread_count(threads);
    const auto members = archive::unpack(file, output_file, force);
    for (const archive::Member& member : members) {
      const bool first = &member == &members.front();
      const auto folder = std::filesystem::path(output_file).parent_path();
      const auto name = !first                ? folder / member.name
                        : output_file.empty() ? std::filesystem::path(member.name)
                                              : std::filesystem::path(output_file);
      std::cout << fmt::format("{}: {}\n", name.string(), format_bytes(member.size));
    }
    return 0;
  }
};

}  // namespace

void add_unpack(CLI::App& app, Action& chosen) {
  add_command(app, "unpack", "Give back what was packed, byte for byte", chosen,
              [](Arguments& arguments) {
                const auto command = std::make_shared<UnpackCommand>();
                arguments.text("ARCHIVE", command->file, "Archive (.mcz)", "", true);
                arguments.text("-o,--output", command->output_file,
                               "Where to write the model, its data files beside it; without it its "
                               "own name in the current folder",
                               "OUTPUT");
                arguments.flag("--force", command->force, "Overwrite what is there");
                arguments.number("--threads", command->threads,
                                 "Threads to work with; 0: one per core", 0, 1024);
                command->output.declare(arguments);
                arguments.footer("Example:\n  mcompress unpack small.mcz -o small.onnx");
                return [command] { return command->run(); };
              });
}

}  // namespace mcompress::tool
