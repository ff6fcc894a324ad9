#include "sections/fluctuations_series.hpp"

namespace headflow {

/// What the columns see at an output.
struct FluctuationsSeries::Row {
  const FluctuationsRecord& record;
  std::vector<Sensitivities> rows;  // one for each of its spreads
};

std::vector<Column<FluctuationsSeries::Row>> FluctuationsSeries::columns(bool covariance) {
  struct Deviation {
    const char* name;
    std::vector<std::string> axes;
    const char* of;
    Matrix Sensitivities::*rows;
  };
  const std::vector<Deviation> deviations_of = {
      {"m", {"head", "feature"}, "m", &Sensitivities::m},
      {"r", {"head", "head_b"}, "r", &Sensitivities::r},
      {"q", {"head", "head_b"}, "q", &Sensitivities::q},
      {"b", {"head"}, "b", &Sensitivities::b},
      {"v", {}, "v", &Sensitivities::v},
      {"loss", {}, "the population loss of a run, by its gradient", &Sensitivities::loss},
      {"cosine", {"head", "head_b"}, "the cosine, by its gradient", &Sensitivities::cosine}};
  std::vector<Column<Row>> columns = {{"learning_rate_noise",
                                       {},
                                       "kappa at this time: learning rate * D / batch of SGD",
                                       [](const Row& row) { return Values{row.record.kappa}; }}};
  for (const auto& [name, axes, of, rows] : deviations_of)
    add_measured<Row>(
        columns, std::string(name) + "_std", axes,
        std::string("standard deviation over runs of SGD of ") + of,
        [rows = rows](const Row& row) { return deviations(row.rows, rows, row.record.spreads); });
  if (covariance)
    columns.push_back({"covariance",
                       {"entry", "entry_b"},
                       "covariance over runs of SGD of m (row by row), the lower triangle of r "
                       "(row by row), b and v, as far as they are trained",
                       [](const Row& row) {
                         const Matrix& A = row.rows[0].order;
                         return flat(Matrix(A * row.record.spreads[0].covariance * A.transpose()));
                       }});
  return columns;
}

FluctuationsSeries::FluctuationsSeries(DataGroup& group, const Model& model, bool covariance)
    : group_(group), model_(model), columns_(columns(covariance)) {
  group.dimensions = {time_axis()};
  add_heads_and_features(group, model.shape);
  if (covariance) {
    const auto n = static_cast<std::int64_t>(order_parameter_count(model.shape, model.training));
    group.dimensions.push_back(counted("entry", n, "entry of (m, r, b, v)"));
    group.dimensions.push_back(counted("entry_b", n, "second entry of (m, r, b, v)"));
  }
  for (const auto& column : state_columns())
    group.variables.push_back(variable_of(column, {"time"}));
  for (const auto& column : columns_) group.variables.push_back(variable_of(column, {"time"}));
  group.variables.push_back(spike_gram(model));
}

void FluctuationsSeries::append(const FluctuationsRecord& record) {
  group_.dimensions[0].values.push_back(record.time);
  const Row row{record, sensitivities(model_, record.spreads)};
  auto variable = group_.variables.begin();
  for (const auto& column : state_columns())
    headflow::append((variable++)->data, column.values(record));
  for (const auto& column : columns_) headflow::append((variable++)->data, column.values(row));
}

}  // namespace headflow
