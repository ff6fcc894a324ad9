// The loss-and-gradient kernel on one block of samples, which stays in cache, and the peak of the
// core it runs on.
#include <benchmark/benchmark.h>

#include <string>
#include <type_traits>
#include <vector>

#include "flops.hpp"
#include "fma_peak.hpp"
#include "headflow/model/start.hpp"
#include "population/kernel.hpp"
#include "population/samples.hpp"
#include "population/tangent_kernel.hpp"

namespace {

using namespace headflow;

Prior prior_for(int features) {
  return features == 2 ? flipping_spike(2, 2) : canonical_spikes(features, 2);
}

/// A block's loss and gradient, or with TangentKernel a product with its Hessian.
template <class Real, template <class> class AnyKernel, class Stored>
void one_block(benchmark::State& state, const Shape& shape, const Activation& activation) {
  const SampleGenerator generator(shape, prior_for(shape.features),
                                  {.samples = block_size, .replicates = 1});
  AlignedVector<Stored> x(
      static_cast<std::size_t>(block_size * shape.tokens * shape.coordinates()));
  generator.fill<Stored, lane_count<Real>>(0, 0, block_size, x.data());
  const Parameters parameters = noisy_start(shape, 0.5, 1.0, 1).parameters;
  AnyKernel<Real> kernel(shape, activation);
  std::vector<double> sums(Kernel<Real>::result_size(shape));
  for (auto _ : state) {
    if constexpr (std::is_same_v<AnyKernel<Real>, Kernel<Real>>)
      kernel(parameters, x.data(), block_size, sums);
    else
      kernel(parameters, parameters, x.data(), block_size, sums);
    benchmark::DoNotOptimize(sums.data());
    benchmark::ClobberMemory();
  }
  using benchmark::Counter;
  const auto samples = static_cast<double>(block_size);
  state.counters["seconds_per_sample"] =
      Counter(samples, Counter::kIsIterationInvariantRate | Counter::kInvert);
  if (sizeof(Real) == sizeof(double) && std::holds_alternative<Softmax>(activation))
    state.counters["flops"] =
        Counter(samples * flops_per_sample(shape), Counter::kIsIterationInvariantRate);
}

template <class Real>
void fma_peak(benchmark::State& state) {
  constexpr std::int64_t rounds = 10000;
  Real factor = Real(0.5);
  Real term = Real(1);
  for (auto _ : state) {
    benchmark::DoNotOptimize(factor);
    auto sum = multiply_adds<Real>(rounds, factor, term);
    benchmark::DoNotOptimize(sum);
  }
  state.counters["flops"] = benchmark::Counter(multiply_add_flops<Real>(rounds),
                                               benchmark::Counter::kIsIterationInvariantRate);
}

template <class Real, template <class> class AnyKernel = Kernel, class Stored = Real>
void register_kernel(const Shape& shape, const Activation& activation, const std::string& precision,
                     const std::string& kind = "kernel/") {
  const std::string name = kind + std::string(name_of(activation)) + "/" +
                           std::to_string(shape.tokens) + "," + std::to_string(shape.heads) + "," +
                           std::to_string(shape.features) + "/" + precision;
  benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) {
    one_block<Real, AnyKernel, Stored>(state, shape, activation);
  });
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::RegisterBenchmark("fma_peak/double", fma_peak<double>);
  benchmark::RegisterBenchmark("fma_peak/single", fma_peak<float>);
  for (const Shape& shape :
       {Shape{4, 2, 2}, Shape{10, 2, 2}, Shape{5, 4, 2}, Shape{5, 8, 3}, Shape{5, 16, 4}}) {
    register_kernel<double>(shape, Softmax{}, "double");
    register_kernel<double, Kernel, float>(shape, Softmax{}, "mixed");
    register_kernel<float>(shape, Softmax{}, "single");
    register_kernel<double, TangentKernel>(shape, Softmax{}, "double", "tangent/");
  }
  register_kernel<double>({4, 2, 2}, SoftmaxOne{}, "double");
  register_kernel<double>({4, 2, 2}, BayesSoftmax{}, "double");
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
}
