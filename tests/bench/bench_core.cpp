// What surrounds the kernel: exact sums, drawing samples, writing the output.
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <filesystem>
#include <vector>

#include "core/exact_sum.hpp"
#include "output/output_file.hpp"
#include "population/samples.hpp"
#include "sections/flow_series.hpp"

namespace {

using namespace headflow;
using benchmark::Counter;

void set_time_per(benchmark::State& state, const char* item, double items) {
  state.counters[std::string("seconds_per_") + item] =
      Counter(items, Counter::kIsIterationInvariantRate | Counter::kInvert);
}

std::vector<double> terms() {
  std::vector<double> values(4096);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = 1e3 / (1.0 + static_cast<double>(i));
  return values;
}

void exact_sum(benchmark::State& state) {
  const std::vector<double> values = terms();
  ExactSums sums(1);
  for (auto _ : state) {
    sums.clear();
    for (const double value : values) sums.add(0, value);
    benchmark::DoNotOptimize(sums.value(0));
  }
  set_time_per(state, "term", static_cast<double>(values.size()));
}
BENCHMARK(exact_sum);

void plain_sum(benchmark::State& state) {
  const std::vector<double> values = terms();
  for (auto _ : state) {
    double sum = 0;
    for (const double value : values) sum += value;
    benchmark::DoNotOptimize(sum);
  }
  set_time_per(state, "term", static_cast<double>(values.size()));
}
BENCHMARK(plain_sum);

void draw_samples(benchmark::State& state, SamplingMethod method) {
  const Shape shape{4, 2, 2};
  const SampleGenerator generator(shape, flipping_spike(2, 2),
                                  {.samples = 1 << 20, .method = method, .replicates = 1});
  AlignedVector<double> x(
      static_cast<std::size_t>(block_size * shape.tokens * shape.coordinates()));
  std::int64_t first = 0;
  for (auto _ : state) {
    generator.fill(0, first, block_size, x.data());
    benchmark::ClobberMemory();
    first = (first + block_size) % (1 << 20);
  }
  set_time_per(state, "coordinate", static_cast<double>(block_size * generator.dimension()));
}
BENCHMARK_CAPTURE(draw_samples, sobol, SamplingMethod::sobol);
BENCHMARK_CAPTURE(draw_samples, monte_carlo, SamplingMethod::monte_carlo);

/// One update of the file of a flow with 300 records, on the disk when it returns.
void write_output(benchmark::State& state) {
  const Model model({4, 2, 2}, Softmax{}, flipping_spike(2, 2));
  const Communicator comm = Communicator::self();
  const auto path =
      std::filesystem::temp_directory_path() / ("bench_core." + std::to_string(getpid()) + ".h5");
  OutputFile output(comm, path, 1e9, {{"title", "benchmark"}});
  FlowSeries series(output.content().add_group("flow"), model, 0.3);
  const Parameters parameters = Parameters::zero(model.shape);
  const FlowRecord record{{parameters, order_parameters(parameters.K, Matrix::Identity(2, 2)), {}}};
  for (int i = 0; i < 300; ++i)
    series.append(record,
                  {.split_time = {0, 0}, .growth_rate = {0, 0}, .excursions = Matrix::Zero(2, 2)});
  for (auto _ : state) output.write();
  std::filesystem::remove(path);
}
BENCHMARK(write_output)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace

int main(int argc, char** argv) {
  const MpiSession mpi(argc, argv);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
}
