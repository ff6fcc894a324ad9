#pragma once
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "core/memory.hpp"
#include "headflow/flow/flow.hpp"
#include "headflow/population/population_loss.hpp"
#include "sections/configuration.hpp"

namespace headflow {

/// Seconds that `calls` reductions, of `bytes` bytes in all, take on so many ranks of a cluster: a
/// latency for each doubling of the ranks, and each byte sent and received once. The network is
/// that of network_text.
double seconds_of_messages(int ranks, double calls, double bytes);
inline constexpr const char* network_text = "2 us and 10 GB/s";
inline constexpr int most_ranks = 1'000'000;
/// The number of ranks, at most most_ranks, that is fastest among those of which at least half of
/// the time is work, ranks seconds(ranks) <= 2 seconds(1).
int ranks_of_use(const std::function<double(int)>& seconds);

/// What a flow needs: its steps and right-hand sides.
struct FlowPilot {
  double steps = 0;
  double right_hand_sides = 0;
  bool extrapolated = false;  ///< the pilot was cut short, after 3 s
};
/// The flow with few samples: its steps are close to those of the full flow, its right-hand sides
/// cheap.
FlowPilot pilot_flow(PopulationLoss& loss, const Parameters& start, FlowOptions options);

/// What `headflow check` measures with a few samples on this process, for the sections' estimates,
/// and the memory that they tell.
class CostReport {
 public:
  /// Of a run on so many ranks; measures and prints on the calling rank alone.
  CostReport(int ranks, const Configuration& input) : ranks_(ranks), input_(input) {}

  /// Memory in bytes that every rank needs, and what rank 0 needs besides, until the run ends; or
  /// `passing` while the section computes.
  struct Memory {
    std::string what;
    double each = 0, root = 0;
    bool passing = false;
  };
  void add_memory(Memory memory) { memory_.push_back(std::move(memory)); }
  /// Of the numbers that a section writes at so many outputs: memory of rank 0, and disk.
  void add_outputs(const std::string& section, const DataGroup& group, std::size_t outputs);
  /// Bytes on disk: in the output, in each checkpoint besides, and in other files.
  struct Disk {
    double output = 0, state = 0, others = 0;
  };
  void add_disk(const Disk& disk);
  /// That of the samples of [population], once; `fresh`: also of the test samples, and passing.
  void add_samples();
  void add_fresh_samples();
  /// That of means of so many numbers over fresh samples, drawn block by block.
  void add_block(double means);
  /// About how long a section takes on the ranks of the run, where it can tell.
  void add_seconds(const std::string& section, double seconds) { seconds_[section] += seconds; }
  /// Prints what so many members of a sweep take together, if each takes as long as this one.
  void print_members(std::int64_t members) const;
  /// Prints the peak, of rank 0, which needs the most, and of all ranks together.
  void print_memory() const;
  /// Prints how large the output and each of so many checkpoints become.
  void print_disk(int checkpoints) const;
  /// Prints ranks_of_use of a section, whose work and messages take `seconds` on so many
  /// ranks.
  static void print_ranks_of_use(const std::string& section,
                                 const std::function<double(int)>& seconds);

  int ranks() const { return ranks_; }
  /// This process alone.
  const Communicator& self() const { return self_; }
  const Configuration& input() const { return input_; }
  /// Seconds for one evaluation of loss and gradient, or one of fresh samples.
  double seconds_per_evaluation(const Sampling& sampling);
  /// What a pilot tells about samples.
  struct Pilot {
    double per_sample = 0;  ///< seconds of one right-hand side
    double to_draw = 0;     ///< seconds to draw one sample
  };
  const Pilot& pilot();
  /// The loss on one block of samples, on this process alone.
  PopulationLoss one_block() const;

 private:
  int ranks_;
  const Configuration& input_;
  Communicator self_ = Communicator::self();
  std::optional<Pilot> pilot_;
  double program_ = resident_bytes();  // before anything is measured
  std::vector<Memory> memory_;
  Disk disk_{.output = 0.1e6};  // what the file has of any run
  std::map<std::string, double> seconds_;
  bool samples_added_ = false;
};

}  // namespace headflow
