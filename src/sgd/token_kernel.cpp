#include "sgd/token_kernel.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace headflow {
namespace {

using V = Lanes<float>;
constexpr int lanes = lane_count<float>;

V* vectors(float* x) { return reinterpret_cast<V*>(x); }
const V* vectors(const float* x) { return reinterpret_cast<const V*>(x); }

/// out(i, j) += scale sum_d a_{i,d} b_{j,d} for I by J rows of `count` vectors.
template <int I, int J>
void products(const float* a, const float* b, std::int64_t count, double scale, Matrix& out,
              int row, int column) {
  const V* __restrict left[I];
  const V* __restrict right[J];
  for (int i = 0; i < I; ++i) left[i] = vectors(a + i * TileLayout::stride);
  for (int j = 0; j < J; ++j) right[j] = vectors(b + j * TileLayout::stride);
  V sum[I][J] = {};
  for (std::int64_t d = 0; d < count; ++d) {
    V column_vector[J];
    for (int j = 0; j < J; ++j) column_vector[j] = right[j][d];
    for (int i = 0; i < I; ++i) {
      const V row_vector = left[i][d];
      for (int j = 0; j < J; ++j) sum[i][j] += row_vector * column_vector[j];
    }
  }
  for (int i = 0; i < I; ++i)
    for (int j = 0; j < J; ++j)
      out(row + i, column + j) += scale * static_cast<double>(lane_sum<float>(sum[i][j]));
}

/// Most rows that products() takes on a side: 16 sums and 8 vectors stay in registers.
constexpr int most = 4;

template <int I>
void products_of(int J, const float* a, const float* b, std::int64_t count, double scale,
                 Matrix& out, int row, int column) {
  switch (J) {
    case 1:
      return products<I, 1>(a, b, count, scale, out, row, column);
    case 2:
      return products<I, 2>(a, b, count, scale, out, row, column);
    case 3:
      return products<I, 3>(a, b, count, scale, out, row, column);
    default:
      return products<I, 4>(a, b, count, scale, out, row, column);
  }
}

void products(int I, int J, const float* a, const float* b, std::int64_t count, double scale,
              Matrix& out, int row, int column) {
  switch (I) {
    case 1:
      return products_of<1>(J, a, b, count, scale, out, row, column);
    case 2:
      return products_of<2>(J, a, b, count, scale, out, row, column);
    case 3:
      return products_of<3>(J, a, b, count, scale, out, row, column);
    default:
      return products_of<4>(J, a, b, count, scale, out, row, column);
  }
}

/// Adds one vector of terms as whole multiples of 1 / per_unit: adding 1.5 2^52 leaves the rounded
/// multiple in the low bits of a double, for magnitudes under 2^51.
void deposit(const V& terms, double per_unit, std::int64_t* sums) {
  using Doubles = double __attribute__((vector_size(8 * lanes)));
  using Integers =
      std::uint64_t __attribute__((vector_size(8 * lanes)));  // terms past the limit wrap
  constexpr double magic = 0x1.8p52;
  const Doubles shifted = __builtin_convertvector(terms, Doubles) * per_unit + magic;
  const Integers whole = reinterpret_cast<Integers>(shifted) - std::bit_cast<std::uint64_t>(magic);
  *reinterpret_cast<Integers*>(sums) += whole;
}

void deposit(const V& terms, double, float* sums) { *vectors(sums) += terms; }

}  // namespace

TokenKernel::TokenKernel(const Shape& shape, std::int64_t dimension)
    : shape_(shape),
      tokens_{dimension, shape.tokens},
      x_(static_cast<std::size_t>(tokens_.size())),
      g_(static_cast<std::size_t>(shape.heads * shape.tokens)) {}

void TokenKernel::draw_tile(std::int64_t t, const FloatNormals& normals, std::uint32_t sequence,
                            std::span<const double> theta, const float* spikes) {
  constexpr std::int64_t blocks = TileLayout::tile / FloatNormals::block;
  const std::int64_t width = tokens_.width(t);
  const std::int64_t used = std::min(tokens_.dimension - t * TileLayout::tile, width);
  for (int l = 0; l < shape_.tokens; ++l) {
    float* row = &x_[static_cast<std::size_t>(tokens_.offset(l, t))];
    normals.fill(sequence, static_cast<std::uint32_t>(l), static_cast<std::uint32_t>(t * blocks),
                 static_cast<std::uint32_t>(width / FloatNormals::block), row);
    std::fill(row + used, row + width, 0.0f);
  }
  float* relevant = &x_[static_cast<std::size_t>(tokens_.offset(0, t))];
  for (int f = 0; f < shape_.features; ++f) {
    const float* spike = spikes + spikes_layout().offset(f, t);
    const auto weight = static_cast<float>(theta[static_cast<std::size_t>(f)]);
    for (std::int64_t d = 0; d < width; ++d) relevant[d] += weight * spike[d];
  }
}

void TokenKernel::project(const FloatNormals& normals, std::uint32_t sequence,
                          std::span<const double> theta, const float* spikes, const float* heads,
                          Matrix& chi, Matrix& gram) {
  const int L = shape_.tokens;
  const int H = shape_.heads;
  const double scale = 1 / static_cast<double>(tokens_.dimension);
  chi.setZero();
  gram.setZero();
  for (std::int64_t t = 0; t < tokens_.tiles(); ++t) {
    draw_tile(t, normals, sequence, theta, spikes);
    const float* x = &x_[static_cast<std::size_t>(tokens_.offset(0, t))];
    const float* k = heads + heads_layout().offset(0, t);
    const std::int64_t count = tokens_.width(t) / lanes;
    for (int l = 0; l < L; l += most) {
      const int I = std::min(most, L - l);
      const float* rows = x + l * TileLayout::stride;
      for (int h = 0; h < H; h += most)
        products(std::min(most, H - h), I, k + h * TileLayout::stride, rows, count, 1, chi, h, l);
      for (int j = 0; j <= l; j += most)
        products(I, std::min(most, L - j), rows, x + j * TileLayout::stride, count, scale, gram, l,
                 j);
    }
  }
  gram.triangularView<Eigen::StrictlyUpper>() = gram.transpose();
}

template <int heads, class Sum>
void TokenKernel::add_gradient_tile(std::int64_t t, int h, double per_unit, Sum* sums,
                                    Lanes<float>& largest) const {
  constexpr int wide = 4;  // vectors side by side, so that a factor is loaded once for all of them
  const V* x = vectors(&x_[static_cast<std::size_t>(tokens_.offset(0, t))]);
  const float* g = &g_[static_cast<std::size_t>(h * shape_.tokens)];
  for (std::int64_t d = 0; d < tokens_.width(t) / lanes; d += wide) {
    V terms[heads][wide] = {};
    for (int l = 0; l < shape_.tokens; ++l)
      for (int i = 0; i < heads; ++i)
        for (int w = 0; w < wide; ++w)
          terms[i][w] +=
              broadcast(g[i * shape_.tokens + l]) * x[l * (TileLayout::stride / lanes) + d + w];
    for (int i = 0; i < heads; ++i)
      for (int w = 0; w < wide; ++w) {
        largest = lane_max(largest, lane_max(terms[i][w], -terms[i][w]));
        deposit(terms[i][w], per_unit, sums + heads_layout().offset(h + i, t) + (d + w) * lanes);
      }
  }
}

template <class Sum>
float TokenKernel::add_gradient_to(const Matrix& g, double per_unit, Sum* sums) {
  std::transform(g.data(), g.data() + g.size(), g_.begin(),
                 [](double x) { return static_cast<float>(x); });
  V largest{};
  for (std::int64_t t = 0; t < tokens_.tiles(); ++t) {
    int h = 0;
    for (; h + 2 <= shape_.heads; h += 2) add_gradient_tile<2>(t, h, per_unit, sums, largest);
    if (h < shape_.heads) add_gradient_tile<1>(t, h, per_unit, sums, largest);
  }
  float limit = 0;
  for (int i = 0; i < lanes; ++i) limit = std::max(limit, largest[i]);
  return limit;
}

float TokenKernel::add_gradient(const Matrix& g, double per_unit, std::int64_t* sums) {
  return add_gradient_to(g, per_unit, sums);
}
float TokenKernel::add_gradient(const Matrix& g, double per_unit, float* sums) {
  return add_gradient_to(g, per_unit, sums);
}

double TokenKernel::units_for(std::int64_t count) {
  // count * 2^10 * per_unit < 2^63
  const int bits = static_cast<int>(std::bit_width(static_cast<std::uint64_t>(count)));
  return std::ldexp(1.0, std::min(40, 62 - 10 - bits));
}

}  // namespace headflow
