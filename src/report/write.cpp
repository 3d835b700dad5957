// SPDX-License-Identifier: Apache-2.0
#include <filesystem>

#include "mcompress/error.h"
#include "mcompress/report.h"
#include "support/file.h"

namespace mcompress {
namespace {

template <class Report>
void write_any(const Report& report, const std::string& path) {
  if (const std::string complaint = check_report_path(path); !complaint.empty()) {
    throw Error(ErrorCode::kUsage, complaint).hint("name the report FILE.json or FILE.md");
  }
  const bool json = std::filesystem::path(path).extension() == ".json";
  support::write_file_atomically(path, json ? render_json(report) : render_markdown(report));
}

}  // namespace

std::string check_report_path(const std::string& path) {
  const std::string extension = std::filesystem::path(path).extension().string();
  if (extension == ".json" || extension == ".md") return "";
  return "report " + path + ": extension " + (extension.empty() ? "(none)" : extension) +
         " is none of .json, .md";
}

void write_report(const RunReport& report, const std::string& path) { write_any(report, path); }
void write_report(const InspectReport& report, const std::string& path) { write_any(report, path); }
void write_report(const CompareReport& report, const std::string& path) { write_any(report, path); }
void write_report(const EvaluateReport& report, const std::string& path) {
  write_any(report, path);
}
void write_report(const SensitivityReport& report, const std::string& path) {
  write_any(report, path);
}

}  // namespace mcompress
