// Loss and gradient of 60 shapes, softmax, in cache: how near each comes to the core's peak of
// fused multiply-adds, by the count of flops.hpp, with samples stored in single precision ("mixed",
// the default) and in double. usage: bench_shapes [SECONDS [TOKENS HEADS FEATURES]] SECONDS (0.05)
// are the time of each shape and precision. It is cut into runs of half a millisecond, and the
// fastest counts: the machine may be shared. As many samples as fill a quarter of a second-level
// cache of 1 MiB, at most a block.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "flops.hpp"
#include "fma_peak.hpp"
#include "headflow/model/start.hpp"
#include "population/kernel.hpp"
#include "population/samples.hpp"

using namespace headflow;

namespace {

constexpr double seconds_of_run = 5e-4;
constexpr std::int64_t most_bytes = 256 * 1024;

/// Processor time of this thread.
double seconds_now() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

/// The least seconds of one `work()` among runs that take `seconds` together.
template <class Work>
double least_seconds(double seconds, Work&& work) {
  const double first = seconds_now();
  work();
  const double once = std::max(seconds_now() - first, 1e-9);
  const int each = std::max(1, static_cast<int>(seconds_of_run / once));
  double least = once;
  for (double begin = seconds_now(), end = begin; begin - first < seconds; begin = end) {
    for (int i = 0; i < each; ++i) work();
    end = seconds_now();
    least = std::min(least, (end - begin) / each);
  }
  return least;
}

/// Floating-point operations a second of multiply-adds alone.
double peak(double seconds) {
  constexpr std::int64_t rounds = 10000;
  volatile double factor = 0.5;
  volatile double sum = 0;
  return multiply_add_flops<double>(rounds) / least_seconds(seconds, [&] {
           sum = lane_sum<double>(multiply_adds<double>(rounds, factor, 1.0));
         });
}

template <class Stored>
double seconds_per_sample(const Shape& shape, double seconds) {
  const std::int64_t numbers = shape.tokens * shape.coordinates();
  constexpr std::int64_t together = 4 * lane_count<double>;
  const std::int64_t fitting = most_bytes / (numbers * static_cast<std::int64_t>(sizeof(Stored)));
  const std::int64_t count = std::clamp(fitting / together * together, together, block_size);
  const SampleGenerator generator(shape, canonical_spikes(shape.features, 2),
                                  {.samples = count, .replicates = 1});
  AlignedVector<Stored> x(static_cast<std::size_t>(count * numbers));
  generator.fill<Stored, lane_count<double>>(0, 0, count, x.data());
  const Parameters parameters = noisy_start(shape, 0.5, 1.0, 1).parameters;
  Kernel<double> kernel(shape, Softmax{});
  std::vector<double> sums(kernel.result_size());
  return least_seconds(seconds, [&] { kernel(parameters, x.data(), count, sums); }) /
         static_cast<double>(count);
}

const std::vector tokens = {2, 3, 4, 5, 7, 10, 13, 16, 23, 32};
const std::vector<std::pair<int, int>> heads_and_features = {{1, 8}, {2, 2},  {3, 1},
                                                             {6, 5}, {13, 3}, {32, 8}};

struct Measured {
  Shape shape;
  double seconds;  // a sample
};

/// A table, row by row for each number of tokens.
void print(std::string_view name, const std::vector<Measured>& cells, double peak) {
  const auto share = [&](const Measured& cell) {
    return flops_per_sample(cell.shape) / cell.seconds / peak;
  };
  const auto [least, best] = std::ranges::minmax(cells, {}, share);
  const Shape slow = least.shape, fast = best.shape;
  fmt::print(
      "{}: the best share of the peak is {:.2f}, at ({},{},{}), the least {:.2f} times that, "
      "at ({},{},{})\n\n",
      name, share(best), fast.tokens, fast.heads, fast.features, share(least) / share(best),
      slow.tokens, slow.heads, slow.features);
  std::string head = "| L |", line = "|---|";
  for (const Measured& cell : cells)
    if (cell.shape.tokens == cells[0].shape.tokens) {
      head += fmt::format(" H, F = {}, {} |", cell.shape.heads, cell.shape.features);
      line += "---|";
    }
  fmt::print("{}\n{}", head, line);
  int L = 0;
  for (const Measured& cell : cells) {
    if (cell.shape.tokens != L) fmt::print("\n| {} |", cell.shape.tokens);
    L = cell.shape.tokens;
    fmt::print(" {:.1f} ns, {:.2f} |", 1e9 * cell.seconds, share(cell));
  }
  fmt::print("\n\n");
}

}  // namespace

int main(int argc, char** argv) {
  const double seconds = argc > 1 ? std::atof(argv[1]) : 0.05;
  const auto number = [&](int i) { return std::max(1, std::atoi(argv[i])); };
  std::vector<Shape> shapes;
  if (argc > 4) {
    shapes.push_back({number(2), number(3), number(4)});
  } else {
    for (const int L : tokens)
      for (const auto& [H, F] : heads_and_features) shapes.push_back({L, H, F});
  }
  std::vector<Measured> mixed, full;
  double highest = 0;
  for (const Shape& shape : shapes) {
    highest = std::max(highest, peak(seconds / 10));
    mixed.push_back({shape, seconds_per_sample<float>(shape, seconds)});
    full.push_back({shape, seconds_per_sample<double>(shape, seconds)});
  }
  fmt::print("The peak is {:.1f} GFlop/s. Cells: time of a sample, share of the peak.\n\n",
             highest / 1e9);
  print("mixed", mixed, highest);
  print("double", full, highest);
}
