// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "search/sensitivity.h"

namespace mcompress::search {
namespace {

constexpr const char* kFloat = "float";
constexpr double kNearly = 0.95;

struct Candidate {
  size_t layer = 0;
  const SensitivityChange* change = nullptr;
  double damage = 0;
  int64_t bytes = 0;
};

/// More bytes for the damage first; the order in the report decides between equals.
bool is_better(const Candidate& a, const Candidate& b) {
  return a.damage * static_cast<double>(b.bytes) < b.damage * static_cast<double>(a.bytes);
}

const SensitivityChange* chosen_of(const SensitivityLayer& layer) {
  for (const SensitivityChange& change : layer.changes) {
    if (change.choice == layer.chosen) return &change;
  }
  return nullptr;
}

/// Of changes that save nearly as many bytes the one that saves the most time, while the budget
/// lasts.
void prefer_faster(SensitivityReport& report) {
  for (SensitivityLayer& layer : report.layers) {
    for (const SensitivityChange& change : layer.changes) {
      const SensitivityChange* now = chosen_of(layer);
      if (now == nullptr) break;
      if (!change.applied || !change.damage || !change.bytes_saved) continue;
      const double faster =
          change.microseconds_saved.value_or(0) - now->microseconds_saved.value_or(0);
      const double damage = report.planned_damage - *now->damage + *change.damage;
      const bool as_small = static_cast<double>(*change.bytes_saved) >=
                            kNearly * static_cast<double>(*now->bytes_saved);
      if (faster <= 0 || !as_small || damage > report.tolerance) continue;
      report.planned_damage = damage;
      report.planned_bytes_saved += *change.bytes_saved - *now->bytes_saved;
      layer.chosen = change.choice;
    }
  }
}

}  // namespace

void choose_plan(SensitivityReport& report) {
  std::vector<Candidate> candidates;
  for (size_t i = 0; i < report.layers.size(); ++i) {
    report.layers[i].chosen = kFloat;
    for (const SensitivityChange& change : report.layers[i].changes) {
      if (change.applied && change.damage && change.bytes_saved.value_or(0) > 0)
        candidates.push_back({i, &change, std::max(0.0, *change.damage), *change.bytes_saved});
    }
  }
  std::stable_sort(candidates.begin(), candidates.end(), is_better);
  report.planned_damage = 0;
  report.planned_bytes_saved = 0;
  std::vector<const Candidate*> taken(report.layers.size(), nullptr);
  for (const Candidate& candidate : candidates) {
    const Candidate* before = taken[candidate.layer];
    const double damage = candidate.damage - (before != nullptr ? before->damage : 0);
    const int64_t bytes = candidate.bytes - (before != nullptr ? before->bytes : 0);
    if (bytes <= 0 || report.planned_damage + damage > report.tolerance) continue;
    taken[candidate.layer] = &candidate;
    report.layers[candidate.layer].chosen = candidate.change->choice;
    report.planned_damage += damage;
    report.planned_bytes_saved += bytes;
  }
  prefer_faster(report);
}

}  // namespace mcompress::search
