#pragma once
#include "headflow/population/population_loss.hpp"
#include "output/columns.hpp"

namespace headflow {

/// What is written of a state, wherever there is one: in flow, sgd, train and plateaus.
struct StateColumn : Column<State> {
  bool averaged = true;   ///< whether its mean and standard deviation over replicas are written
  bool compared = false;  ///< whether SGD is compared with the flow in it
};
const std::vector<StateColumn>& state_columns();

/// The axes of heads and features.
void add_heads_and_features(DataGroup& group, const Shape& shape);

/// Time, as an axis that grows.
Dimension time_axis();

/// Takes the memory for the variables of `group` over time, of so many records.
void reserve_records(DataGroup& group, std::size_t records);
/// Bytes of its variables with so many records.
double bytes_of_records(const DataGroup& group, std::size_t records);
/// Bytes that they take in a file, with their names and units.
double bytes_on_disk(const DataGroup& group, std::size_t records);
/// Bytes of a State and of what is computed from it for the output.
double bytes_of_state(const Shape& shape);

/// The Gram matrix of the spikes, k* . k*'.
Variable spike_gram(const Model& model);

/// Fills `group` anew with the variables of states along an axis of that name.
void fill_states(DataGroup& group, const Shape& shape, const std::string& axis,
                 const std::vector<State>& states);

/// How numbers of a state change with time, for those that are compared: of the flow, or the mean
/// and standard deviation over SGD's replicas.
struct Trajectory {
  struct Line {
    std::string name;
    Values mean, deviation{};  ///< (time, entries)
  };
  std::vector<double> times;
  std::vector<Line> lines;
};

/// How far the mean over `replicas` of SGD gets from the flow: the largest deviation of each line
/// over all common times after the start, also in units of the replicas' spread (the root mean
/// square of the standard deviation over entries and times). A line of text for each, or nothing
/// without common times. `advice` follows where one is more than ten spreads off.
std::string compare(const Trajectory& flow, const Trajectory& sgd, std::int64_t replicas,
                    const std::string& advice);

}  // namespace headflow
