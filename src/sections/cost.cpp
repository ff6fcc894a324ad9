#include "sections/cost.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <utility>

#include "core/progress.hpp"
#include "core/stopwatch.hpp"
#include "sections/population_section.hpp"
#include "sections/start_section.hpp"
#include "sections/state_columns.hpp"

namespace headflow {
namespace {

double seconds_of(auto&& work) {
  const Stopwatch watch;
  work();
  return watch.seconds();
}

/// The least of several, unless that takes long: other programs on this machine interrupt some of
/// them.
double least_seconds_of(auto&& work) {
  double least = seconds_of(work), all = least;
  for (int i = 1; i < 5 && all < 0.2; ++i) {
    const double seconds = seconds_of(work);
    least = std::min(least, seconds);
    all += seconds;
  }
  return least;
}

}  // namespace

double seconds_of_messages(int ranks, double calls, double bytes) {
  constexpr double latency = 2e-6, seconds_per_byte = 1e-10;
  const double stages = std::bit_width(static_cast<unsigned>(ranks - 1));
  return calls * latency * stages + (ranks > 1 ? 2 * bytes * seconds_per_byte : 0);
}

int ranks_of_use(const std::function<double(int)>& seconds) {
  const double alone = seconds(1);
  double fastest = alone;
  int best = 1;
  for (int ranks = 2; ranks <= most_ranks; ranks += 1 + ranks / 32) {
    const double time = seconds(ranks);
    if (time >= fastest || ranks * time > 2 * alone) continue;
    fastest = time;
    best = ranks;
  }
  return best;
}

void CostReport::print_ranks_of_use(const std::string& section,
                                    const std::function<double(int)>& seconds) {
  fmt::print(
      "# ranks that are of use      up to {} for [{}]: more would wait more than half of the time "
      "(network: {})\n",
      ranks_of_use(seconds), section, network_text);
}

/// One block of samples on this process.
PopulationLoss CostReport::one_block() const {
  Sampling sampling = input_.section<PopulationSection>().sampling;
  sampling.samples = std::min(sampling.samples, block_size);
  sampling.replicates = 1;
  return PopulationLoss(self_, input_.model(), sampling);
}

const CostReport::Pilot& CostReport::pilot() {
  if (pilot_) return *pilot_;
  const Parameters& start = input_.section<StartSection>().parameters();
  const Sampling& sampling = input_.section<PopulationSection>().sampling;
  const auto samples = static_cast<double>(std::min(sampling.samples, block_size));
  const auto images = static_cast<double>(PopulationLoss::cost(input_.model(), sampling, 1).images);
  std::optional<PopulationLoss> loss;
  const double drawn = least_seconds_of([&] {
    loss.reset();
    loss.emplace(one_block());
  });
  loss->evaluate(start);
  const double evaluated = least_seconds_of([&] { loss->evaluate(start); });
  return pilot_.emplace(Pilot{evaluated / (samples * images), drawn / samples});
}

/// Samples on one rank, kept or one block of them, and the sums over all replicates.
static double bytes_of(const Model& model, const Sampling& sampling, int ranks) {
  const PopulationCost cost = PopulationLoss::cost(model, sampling, ranks);
  const Shape& shape = model.shape;
  const double H = shape.heads;
  const double block = static_cast<double>(std::min(block_size, sampling.samples_per_replicate())) *
                       shape.tokens * shape.coordinates() * sampling.stored_bytes();
  constexpr double sums = 66;  // bytes for a number of each replicate: exact sums and means
  return (cost.kept ? cost.sample_gib * 0x1p30 : block) +
         sums * sampling.replicates * (H * shape.coordinates() + H + 2);
}

void CostReport::add_samples() {
  if (std::exchange(samples_added_, true)) return;
  const Sampling& sampling = input_.section<PopulationSection>().sampling;
  add_memory({.what = "samples", .each = bytes_of(input_.model(), sampling, ranks())});
}

void CostReport::add_fresh_samples() {
  const Sampling& sampling = input_.section<PopulationSection>().test_sampling;
  add_memory({.what = "fresh samples",
              .each = bytes_of(input_.model(), sampling, ranks()),
              .passing = true});
}

void CostReport::add_block(double means) {
  const Sampling& sampling = input_.section<PopulationSection>().test_sampling;
  const Shape& shape = input_.model().shape;
  constexpr double sums = 72;  // bytes of the exact sum of a number and of its mean
  add_memory({.what = "blocks of fresh samples",
              .each = sizeof(double) * static_cast<double>(block_size) * shape.tokens *
                          shape.coordinates() +
                      sums * means * (sampling.replicates + 1),
              .passing = true});
}

void CostReport::print_members(std::int64_t members) const {
  double all = 0;
  std::vector<std::string> names;
  for (const auto& [section, seconds] : seconds_) {
    all += seconds;
    names.push_back("[" + section + "]");
  }
  if (names.empty()) return;
  fmt::print("# all {:<22} about {} for {} on {}, if each costs as much as this one\n",
             fmt::format("{} members", members), clock_text(static_cast<double>(members) * all),
             fmt::join(names, ", "), with_noun(ranks_, "rank"));
}

void CostReport::add_outputs(const std::string& section, const DataGroup& group,
                             std::size_t outputs) {
  add_memory(
      {.what = fmt::format("outputs of [{}]", section), .root = bytes_of_records(group, outputs)});
  add_disk({.output = bytes_on_disk(group, outputs)});
}

void CostReport::add_disk(const Disk& disk) {
  disk_.output += disk.output;
  disk_.state += disk.state;
  disk_.others += disk.others;
}

void CostReport::print_disk(int checkpoints) const {
  fmt::print(
      "# disk                       {:.2g} MB or less for the output, {:.2g} MB for each of {}",
      1e-6 * disk_.output, 1e-6 * (disk_.output + disk_.state),
      with_noun(checkpoints, "checkpoint"));
  if (disk_.others > 0) fmt::print(", {:.2g} MB for weights of SGD", 1e-6 * disk_.others);
  fmt::print("\n");
}

void CostReport::print_memory() const {
  constexpr double writing = 12e6;  // of PETSc, HDF5 and buffers, once they are used
  double each = program_ + writing, root = 0, passing_each = 0, passing_root = 0;
  for (const Memory& one : memory_) {
    if (one.passing && one.each + one.root > passing_each + passing_root) {
      passing_each = one.each;
      passing_root = one.root;
    } else if (!one.passing) {
      each += one.each;
      root += one.root;
    }
  }
  each += passing_each;
  root += passing_root;
  fmt::print("# memory                     {:.3g} GiB on rank 0", (each + root) / 0x1p30);
  if (ranks() > 1)
    fmt::print(", {:.3g} GiB on all {} ranks", (ranks() * each + root) / 0x1p30, ranks());
  fmt::print(": the program {:.2g}", (program_ + writing) / 0x1p30);
  for (const Memory& one : memory_)
    if (one.each + one.root > 0.01 * (each + root))
      fmt::print(", {} {:.2g}", one.what, (one.each + one.root) / 0x1p30);
  fmt::print("\n");
}

namespace {

/// Cuts a pilot short.
class Patience : public Control {
 public:
  Request between_steps() override { return watch_.seconds() > 3 ? Request::stop : Request::none; }

 private:
  Stopwatch watch_;
};

}  // namespace

FlowPilot pilot_flow(PopulationLoss& loss, const Parameters& start, FlowOptions options) {
  options.kappa = 0;  // which changes the cost little
  options.output_times.clear();
  Patience patience;
  const FlowResult result =
      run_flow(loss, start, options, {.record = [](const FlowRecord&, const Stages&) {}}, patience);
  const auto steps = static_cast<double>(result.steps);
  if (result.end != FlowEnd::requested)
    return {steps, static_cast<double>(result.right_hand_sides), false};
  const double stages = options.stepper.method == "euler" ? 1 : 6;
  const double all = steps * options.end_time / result.time;
  return {all, stages * all, true};
}

double CostReport::seconds_per_evaluation(const Sampling& sampling) {
  const PopulationCost cost = PopulationLoss::cost(input_.model(), sampling, ranks_);
  return pilot().per_sample *
         static_cast<double>(cost.samples_per_rank * static_cast<std::int64_t>(cost.images));
}

}  // namespace headflow
