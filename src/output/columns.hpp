#pragma once
#include <functional>
#include <string>
#include <vector>

#include "core/data_file.hpp"
#include "headflow/core/statistics.hpp"

namespace headflow {

using Values = std::vector<double>;

/// One variable of a group of the output, as it is made from a Record: a table of them describes a
/// group, and a new variable is one row.
template <class Record>
struct Column {
  std::string name;
  std::vector<std::string> axes;
  std::string long_name;
  std::function<Values(const Record&)> values;  ///< in the order of the axes, the last one fastest
  const char* units = "1";
  bool wall_time = false;  ///< a measured time, which no two runs share
};

/// An empty variable of that column, with `leading` axes before its own.
template <class Record>
Variable variable_of(const Column<Record>& column, std::vector<std::string> leading = {}) {
  leading.insert(leading.end(), column.axes.begin(), column.axes.end());
  return {.name = column.name,
          .axes = std::move(leading),
          .data = {},
          .units = column.units,
          .long_name = column.long_name,
          .wall_time = column.wall_time};
}

/// Adds a variable for each column, with the values that it has in `record`.
template <class Record>
void add_variables(DataGroup& group, const std::vector<Column<Record>>& columns,
                   const Record& record) {
  for (const auto& column : columns) {
    group.variables.push_back(variable_of(column));
    group.variables.back().data = column.values(record);
  }
}

/// Columns NAME and NAME_stderr for numbers with standard errors.
template <class Record>
void add_measured(std::vector<Column<Record>>& columns, const std::string& name,
                  const std::vector<std::string>& axes, const std::string& long_name,
                  std::function<std::vector<Measured>(const Record&)> numbers) {
  const auto part = [numbers](double Measured::*member) {
    return [numbers, member](const Record& record) {
      Values values;
      for (const Measured& one : numbers(record)) values.push_back(one.*member);
      return values;
    };
  };
  columns.push_back({name, axes, long_name, part(&Measured::value)});
  columns.push_back({name + "_stderr", axes,
                     long_name + ": standard error, from replicates of the samples",
                     part(&Measured::error)});
}

/// The numbers of a matrix, row by row, or of a vector.
Values flat(const auto& x) { return {x.data(), x.data() + x.size()}; }

inline void append(Values& to, const Values& values) {
  to.insert(to.end(), values.begin(), values.end());
}

/// An axis 1, 2, .., count.
Dimension counted(const std::string& name, std::int64_t count, const std::string& long_name);

}  // namespace headflow
