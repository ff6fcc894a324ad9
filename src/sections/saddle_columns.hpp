#pragma once
#include "headflow/model/model.hpp"
#include "headflow/saddle/plateau_analysis.hpp"
#include "output/columns.hpp"
#include "sections/saddle_section.hpp"

namespace headflow {

/// The variables of group `saddle`.
std::vector<Column<SaddleResult>> saddle_columns(const Model& model);

using Plateaus = std::vector<PlateauAnalysis>;
/// The variables of group `plateaus` besides those of the states.
std::vector<Column<Plateaus>> plateau_columns(const Model& model);

}  // namespace headflow
