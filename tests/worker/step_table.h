#pragma once

#include <cctype>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "worker/group_layout.h"

// The table of sends and receives in docs/steps.md, as tests read it.
namespace quatrain {

using Lines = std::vector<std::string>;

// The words of the table's second column, in its order, without conditions.
inline Lines ReadTable() {
  std::ifstream file("docs/steps.md");
  Lines lines;
  bool in_section = false;
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("## ", 0) == 0)
      in_section = line == "## Sends and receives of one plan";
    if (!in_section) continue;
    const std::vector<std::string> cells = absl::StrSplit(line, " | ");
    if (cells.size() < 4 || cells[0].size() < 3 || !isdigit(cells[0][2])) {
      continue;
    }
    lines.push_back(cells[1]);
  }
  return lines;
}

// What one rank does for one plan, by the table. `messages_due`: of sampled
// ids, before the plan.
struct PlanFacts {
  int messages_due = 0;
  bool draws = true;
};
inline Lines Expected(const Lines& table, const GroupLayout& layout, int rank,
                      int num_layers, const PlanFacts& plan) {
  const GroupLayout::Place& place = layout.places[rank];
  const bool first_stage = place.stage == 0;
  const bool last_stage = place.stage == layout.num_stages() - 1;
  Lines out;
  const auto ids = [&](const std::string& line) {
    if (line != "receive-ids") return line == "sum-ids";
    return place.tp_rank == 0;
  };
  for (int message = 0; message < plan.messages_due; ++message) {
    for (const std::string& line : table) {
      if (ids(line)) out.push_back(line);
    }
  }
  for (const std::string& line : table) {
    int times = 0;
    if (line == "receive-residual") times = first_stage ? 0 : 1;
    if (line == "sum-embedding") times = first_stage ? 1 : 0;
    if (line == "sum-layers") times = 2 * num_layers;
    if (line == "gather-candidates") times = last_stage && plan.draws ? 1 : 0;
    if (line == "publish-ids") {
      times = rank == layout.sampling_rank() && plan.draws ? 1 : 0;
    }
    for (int i = 0; i < times; ++i) out.push_back(line);
    if (line != "send-residual") continue;
    for (const int next : layout.NextOf(rank)) {
      out.push_back(absl::StrCat(line, " ", next));
    }
  }
  return out;
}

}  // namespace quatrain
