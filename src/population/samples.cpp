#include "population/samples.hpp"

#include <algorithm>
#include <bit>
#include <boost/random/sobol.hpp>
#include <functional>
#include <stdexcept>
#include <string>

#include "core/normal.hpp"
#include "headflow/core/error.hpp"

namespace headflow {
namespace {

constexpr int sobol_bits = 32;
constexpr int sobol_index_bits = sobol_bits - 1;  // Boost has direction numbers for these

std::uint32_t reversed(std::uint32_t x) {
  x = x << 16 | x >> 16;  // shifts and masks alone, so that loops over it vectorise
  x = (x & 0x00ff00ff) << 8 | (x & 0xff00ff00) >> 8;
  x = (x & 0x0f0f0f0f) << 4 | (x & 0xf0f0f0f0) >> 4;
  x = (x & 0x33333333) << 2 | (x & 0xcccccccc) >> 2;
  return (x & 0x55555555) << 1 | (x & 0xaaaaaaaa) >> 1;
}

/// Nested uniform scrambling of a bit-reversed number: bit k is flipped by a hash of the bits below
/// it. The multiplications by even numbers let information move upwards only (Laine-Karras,
/// constants of Vegdahl).
std::uint32_t nested_hash(std::uint32_t x, std::uint32_t seed) {
  x ^= x * 0x3d20adeau;
  x += seed;
  x *= (seed >> 16) | 1u;
  x ^= x * 0x05526c56u;
  x ^= x * 0x53a22864u;
  return x;
}

/// The digits past the 32nd: under nested scrambling they are independent of everything; a hash of
/// what is above.
std::uint32_t lower_digits(std::uint32_t x, std::uint32_t seed) {
  x = (x ^ seed) * 0x9e3779b1u;
  x = (x ^ x >> 15) * 0x85ebca77u;
  x = (x ^ x >> 13) * 0xc2b2ae3du;
  return x ^ x >> 16;
}

/// Bit-reversed Sobol' direction numbers, [bit][dimension], read off the points of Boost's engine:
/// its point 2^k is direction k combined with point 2^k - 1 (Gray code order; the engine's own
/// sequence leaves out point 0).
std::vector<std::uint32_t> sobol_directions(int dimension) {
  using Engine = boost::random::sobol_engine<std::uint32_t, sobol_bits>;
  const auto count = static_cast<std::size_t>(dimension);
  std::vector<std::uint32_t> directions(sobol_index_bits * count);
  Engine engine(count);
  const auto point = [&](std::uint32_t i) {
    std::vector<std::uint32_t> x(count, 0);
    if (i == 0) return x;
    engine.seed(i - 1);
    std::generate(x.begin(), x.end(), std::ref(engine));
    return x;
  };
  for (int bit = 0; bit < sobol_index_bits; ++bit) {
    const auto here = point(1u << bit);
    const auto before = point((1u << bit) - 1);
    for (std::size_t d = 0; d < count; ++d)
      directions[static_cast<std::size_t>(bit) * count + d] = reversed(here[d] ^ before[d]);
  }
  return directions;
}

/// Of the first points, [dimension][index], bit-reversed.
std::vector<std::array<std::uint32_t, SampleGenerator::chunk>> first_points(
    const std::vector<std::uint32_t>& directions, int dimension) {
  std::vector<std::array<std::uint32_t, SampleGenerator::chunk>> points(
      static_cast<std::size_t>(dimension));
  for (std::size_t d = 0; d < points.size(); ++d)
    for (std::size_t k = 1; k < SampleGenerator::chunk; ++k)
      points[d][k] = points[d][k & (k - 1)] ^
                     directions[static_cast<std::size_t>(std::countr_zero(k)) * points.size() + d];
  return points;
}

}  // namespace

SampleGenerator::SampleGenerator(const Shape& shape, const Prior& prior, const Sampling& sampling)
    : shape_(shape), prior_(prior), sampling_(sampling) {
  dimension_ = dimension_of(shape, prior, sampling);
  if (sampling.method == SamplingMethod::sobol) {
    directions_ = sobol_directions(dimension_);
    within_chunk_ = first_points(directions_, dimension_);
  }
  set_epoch(0);
}

int SampleGenerator::dimension_of(const Shape& shape, const Prior& prior,
                                  const Sampling& sampling) {
  const int dimension = prior.draw_dimension() + shape.tokens * shape.coordinates();
  if (sampling.method == SamplingMethod::sobol && dimension > max_sobol_dimension)
    throw InputError("Sobol points have at most " + std::to_string(max_sobol_dimension) +
                     " dimensions, this model needs " + std::to_string(dimension) +
                     "; use population.sampling = \"monte-carlo\"");
  constexpr std::int64_t most = std::int64_t{1} << sobol_index_bits;
  if (sampling.method == SamplingMethod::sobol && sampling.samples_per_replicate() > most)
    throw InputError("a replicate of Sobol points has at most 2^31 = " + std::to_string(most) +
                     ", here it has " + std::to_string(sampling.samples_per_replicate()) +
                     "; use more population.replicates, or population.sampling = "
                     "\"monte-carlo\"");
  return dimension;
}

void SampleGenerator::set_epoch(std::uint64_t epoch) {
  streams_.clear();
  scramblings_.clear();
  for (int replicate = 0; replicate < sampling_.replicates; ++replicate) {
    const auto number = static_cast<std::uint32_t>(sampling_.first_replicate + replicate);
    streams_.emplace_back(sampling_.seed, Purpose::samples, number, epoch);
    const RandomStream seeds(sampling_.seed, Purpose::scrambling, number, epoch);
    Scrambling& scrambling = scramblings_.emplace_back();
    for (int d = 0; d < dimension(); ++d) {
      const auto words = seeds.bits(static_cast<std::uint64_t>(d), 0);
      scrambling.first.push_back(words[0]);
      scrambling.second.push_back(words[1]);
    }
  }
}

void SampleGenerator::uniforms(int replicate, std::int64_t index, int d, Chunk& u,
                               Chunk& next) const {
  const auto r = static_cast<std::size_t>(replicate);
  const auto item = static_cast<std::uint64_t>(index);
  if (sampling_.method == SamplingMethod::monte_carlo) {
    if (d % 2 == 1)
      u = next;
    else
      streams_[r].uniforms(item, static_cast<std::uint32_t>(d / 2), u, next);
    return;
  }
  const auto dimension = static_cast<std::size_t>(dimension_);
  const auto place = static_cast<std::size_t>(d);
  std::uint32_t point = 0;
  for (std::uint64_t bits = item; bits != 0; bits &= bits - 1)
    point ^= directions_[static_cast<std::size_t>(std::countr_zero(bits)) * dimension + place];
  const std::uint32_t first = scramblings_[r].first[place];
  const std::uint32_t second = scramblings_[r].second[place];
  const auto& steps = within_chunk_[place];
  for (std::size_t k = 0; k < chunk; ++k) {
    const std::uint32_t x = reversed(nested_hash(nested_hash(point ^ steps[k], first), second));
    u[k] = to_unit_interval(static_cast<std::uint64_t>(x) << 32 | lower_digits(x, first));
  }
}

template <class Stored, int lanes>
void SampleGenerator::fill(int replicate, std::int64_t first, std::int64_t count, Stored* x) const {
  const int per_sample = shape_.tokens * shape_.coordinates();
  const auto draws = static_cast<std::size_t>(prior_.draw_dimension());
  std::vector<Chunk> u(draws), normals(draws), theta(static_cast<std::size_t>(shape_.features));
  Chunk next;
  if (first % chunk != 0)
    throw std::logic_error("samples are filled from a multiple of a chunk on");
  for (std::int64_t done = 0; done < count; done += chunk, x += per_sample * chunk) {
    const std::int64_t begin = first + done;
    const std::int64_t here = std::min<std::int64_t>(count - done, chunk);
    for (std::size_t d = 0; d < draws; ++d) {
      uniforms(replicate, begin, static_cast<int>(d), u[d], next);
      normals[d] = u[d];
      normal_quantile(normals[d]);
    }
    draw_theta(u, normals, theta);
    int d = static_cast<int>(draws);
    const auto put = [&](int place, const Chunk* shift) {
      Chunk numbers;
      uniforms(replicate, begin, d++, numbers, next);
      normal_quantile(numbers);
      if (shift != nullptr)
        for (std::size_t k = 0; k < chunk; ++k) numbers[k] += (*shift)[k];
      if (sampling_.precision != Precision::double_)
        for (double& number : numbers) number = static_cast<double>(static_cast<float>(number));
      std::fill(numbers.begin() + here, numbers.end(), 0.0);
      Stored* out = x + place * lanes;
      for (std::int64_t k = 0; k < here; k += lanes, out += per_sample * lanes)
        for (int lane = 0; lane < lanes; ++lane)
          out[lane] = static_cast<Stored>(numbers[static_cast<std::size_t>(k + lane)]);
    };
    for (int l = 0; l < shape_.tokens; ++l)
      for (int f = 0; f < shape_.features; ++f)
        put(l * shape_.coordinates() + f, l == 0 ? &theta[static_cast<std::size_t>(f)] : nullptr);
    for (int l = 0; l < shape_.tokens; ++l)
      for (int h = 0; h < shape_.heads; ++h)
        put(l * shape_.coordinates() + shape_.features + h, nullptr);
  }
}

void SampleGenerator::draw_theta(const std::vector<Chunk>& u, const std::vector<Chunk>& normals,
                                 std::vector<Chunk>& theta) const {
  std::vector<double> own_u(u.size()), own_normals(u.size()), own_theta(theta.size());
  for (std::size_t k = 0; k < chunk; ++k) {
    for (std::size_t d = 0; d < u.size(); ++d) {
      own_u[d] = u[d][k];
      own_normals[d] = normals[d][k];
    }
    prior_.draw(own_u, own_normals, own_theta);
    for (std::size_t f = 0; f < theta.size(); ++f) theta[f][k] = own_theta[f];
  }
}

template void SampleGenerator::fill<double>(int, std::int64_t, std::int64_t, double*) const;
template void SampleGenerator::fill<float>(int, std::int64_t, std::int64_t, float*) const;
template void SampleGenerator::fill<float, lane_count<double>>(int, std::int64_t, std::int64_t,
                                                               float*) const;

}  // namespace headflow
