#include "sgd/overlap_kernel.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/normal.hpp"
#include "headflow/core/error.hpp"
#include "model/attention_formulas.hpp"

namespace headflow {
namespace {

using Real = OverlapKernel::Real;

/// Rows shorter than this count as zero: their squares would lose digits.
constexpr double least_norm = 1e-140;

constexpr int index(int row, int column) { return row * (row + 1) / 2 + column; }

/// Gram-Schmidt on the rows of X (rows x columns): X = triangle * (orthonormal rows), the triangle
/// lower and packed by rows; X becomes the orthonormal rows. Rows that depend on those before them
/// get a zero, or what rounding leaves of it, on the diagonal.
void factor_rows(Real* X, int rows, int columns, Real* triangle) {
  for (int i = 0; i < rows; ++i) {
    Real* row = X + i * columns;
    for (int j = 0; j < i; ++j) {
      const Real* other = X + j * columns;
      Real overlap{};
      for (int k = 0; k < columns; ++k) overlap += row[k] * other[k];
      for (int k = 0; k < columns; ++k) row[k] -= overlap * other[k];
      triangle[index(i, j)] = overlap;
    }
    Real square{};
    for (int k = 0; k < columns; ++k) square += row[k] * row[k];
    const Real norm = lane_sqrt(square);
    const Real inverse = norm > least_norm ? 1.0 / norm : Real{};
    for (int k = 0; k < columns; ++k) row[k] *= inverse;
    triangle[index(i, i)] = norm;
  }
}

}  // namespace

OverlapKernel::OverlapKernel(const SgdProblem& problem)
    : problem_(problem),
      L_(problem.model.shape.tokens),
      H_(problem.model.shape.heads),
      F_(problem.model.shape.features),
      n_(problem.model.shape.coordinates()),
      outside_(static_cast<double>(problem.dimension - n_)),
      uniforms_(static_cast<std::size_t>(problem_.model.signal.draw_dimension())),
      normals_(uniforms_.size()),
      theta_(static_cast<std::size_t>(F_)) {
  if (problem.dimension < problem.least_dimension())
    throw InputError(
        fmt::format("sgd.dimension must be at least features + 2 heads + tokens = {} for engine = "
                    "\"overlaps\", found {}",
                    problem.least_dimension(), problem.dimension));
  const auto size = [](int count) { return static_cast<std::size_t>(count); };
  const int longest = std::max({L_, n_, 2 * H_});
  chi_.resize(size(std::max(L_, H_)));
  fields_.resize(size(H_ * L_ + 3 * L_ + n_));
  work_.resize(size(2 * H_ * longest));
  triangle_.resize(size(H_ * (H_ + 1) / 2));
}

double OverlapKernel::bytes() const {
  const double draws = static_cast<double>(n_) * L_ + 0.5 * L_ * (L_ + 3);
  return (draws + static_cast<double>(chi_.size() + fields_.size() + work_.size())) * sizeof(Real);
}

void OverlapKernel::draw(const Address& address, Purpose purpose, std::int64_t count) {
  auto& keys = purpose == Purpose::overlaps ? sequence_keys_ : merge_keys_;
  for (std::size_t i = 0; i < lanes; ++i) {
    while (keys.size() <= address.replica[i])
      keys.push_back(LaneRandom::key_of(
          RandomStream(problem_.seed, purpose, static_cast<std::uint32_t>(keys.size()))));
    random_.key[i] = keys[address.replica[i]];
  }
  random_.step.fill(address.step);
  random_.item = address.item;
  const auto size = static_cast<std::size_t>((count + 1) * lanes);
  if (numbers_.size() < size) numbers_.resize(size);
  random_.fill(count, numbers_.data());
}

Real OverlapKernel::chi(double degrees, Real normals, Real uniforms, const Address& address,
                        Purpose retries, std::uint64_t which) const {
  return lane_chi(degrees, normals, uniforms, [&](int lane) {
    const auto i = static_cast<std::size_t>(lane);
    return RandomSequence(RandomStream(problem_.seed, retries, address.replica[i], address.step),
                          address.item[i] << 16 | which);
  });
}

void OverlapKernel::draw_signal() {
  const auto draws = static_cast<std::size_t>(problem_.model.signal.draw_dimension());
  double* parallel = &numbers_[draws * lanes];
  for (std::size_t lane = 0; lane < lanes; ++lane) {
    for (std::size_t i = 0; i < draws; ++i) uniforms_[i] = numbers_[i * lanes + lane];
    normals_ = uniforms_;
    normal_quantile(normals_);
    problem_.model.signal.draw(uniforms_, normals_, theta_);
    // To the coordinates of the relevant token, which is the first.
    for (std::size_t f = 0; f < theta_.size(); ++f)
      parallel[f * static_cast<std::size_t>(L_) * lanes + lane] += theta_[f];
  }
}

OverlapKernel::Tokens OverlapKernel::draw_tokens(const Address& address) {
  // What is drawn: theta, p, T, and normals and uniforms for the diagonal.
  const int below = L_ * (L_ - 1) / 2;
  const int theta_draws = problem_.model.signal.draw_dimension();
  const int gaussian = n_ * L_ + below + L_;
  draw(address, Purpose::overlaps, theta_draws + gaussian + L_);
  normal_quantile({&numbers_[static_cast<std::size_t>(theta_draws * lanes)],
                   static_cast<std::size_t>(gaussian * lanes)});
  draw_signal();
  const Real* p = reinterpret_cast<const Real*>(numbers_.data()) + theta_draws;
  const Real* T = p + n_ * L_;
  const Real* normals = T + below;
  for (int l = 0; l < L_; ++l)
    chi_[static_cast<std::size_t>(l)] =
        chi(outside_ - l, normals[l], normals[L_ + l], address, Purpose::overlap_retries,
            static_cast<std::uint64_t>(l));
  return {p, T, chi_.data()};
}

void OverlapKernel::fields(const Real* K, const Real* p, Real* chi) const {
  for (int h = 0; h < H_; ++h)
    for (int l = 0; l < L_; ++l) {
      Real field{};
      for (int i = 0; i < n_; ++i) field += K[h * n_ + i] * p[i * L_ + l];
      chi[h * L_ + l] = field;
    }
}

Real OverlapKernel::error(const Tokens& tokens, const Real* A, Real* a) {
  const auto& [p, T, diagonal] = tokens;
  Real* tail = a + L_;
  Real* y = tail + L_;
  for (int l = 0; l < L_; ++l) a[l] = -A[l];
  a[0] += 1.0;
  Real e{};
  for (int i = 0; i < n_; ++i) {
    y[i] = Real{};
    for (int l = 0; l < L_; ++l) y[i] += p[i * L_ + l] * a[l];
    e += y[i] * y[i];
  }
  for (int j = 0; j < L_; ++j) tail[j] = diagonal[j] * a[j];
  for (int l = 1; l < L_; ++l)
    for (int j = 0; j < l; ++j) tail[j] += T[l * (l - 1) / 2 + j] * a[l];
  for (int j = 0; j < L_; ++j) e += tail[j] * tail[j];
  const double over_D = 1 / static_cast<double>(problem_.dimension);
  e *= over_D;
  for (int l = 0; l < L_; ++l) {
    Real sum = diagonal[l] * tail[l];
    for (int i = 0; i < n_; ++i) sum += p[i * L_ + l] * y[i];
    for (int j = 0; j < l; ++j) sum += T[l * (l - 1) / 2 + j] * tail[j];
    a[l] = -2 * over_D * sum;
  }
  return e;
}

void OverlapKernel::project(const Tokens& tokens, const Real* g, const Term<Real>& term) {
  const auto& [p, T, diagonal] = tokens;
  Real* Z = work_.data();
  for (int h = 0; h < H_; ++h, g += L_) {
    for (int i = 0; i < n_; ++i) {
      Real sum{};
      for (int l = 0; l < L_; ++l) sum += g[l] * p[i * L_ + l];
      term.parallel[h * n_ + i] = sum;
    }
    for (int j = 0; j < L_; ++j) Z[h * L_ + j] = g[j] * diagonal[j];
    for (int l = 1; l < L_; ++l)
      for (int j = 0; j < l; ++j) Z[h * L_ + j] += g[l] * T[l * (l - 1) / 2 + j];
  }
  factor_rows(Z, H_, L_, term.C);
}

void OverlapKernel::sequence(const Address& address, const Real* replica, Real* term) {
  const Tokens tokens = draw_tokens(address);
  const Term<Real> result = parts(term);
  const Offsets<Real> offsets{replica + H_ * n_, replica[H_ * n_ + H_]};
  Real* s = fields_.data();  // chi, then the scores, then g = de/dchi
  Real* A = s + H_ * L_;
  Real* a = A + L_;
  fields(replica, tokens.p, s);
  *result.v = Real{};
  std::fill(result.b, result.b + H_, Real{});
  std::visit(
      [&]<class Formulas>(Formulas) {
        Formulas::forward(s, A, L_, H_, offsets);
        *result.e = error(tokens, A, a);
        Formulas::backward(s, A, a, L_, H_, offsets, OffsetGradient<Real>{result.b, result.v});
      },
      problem_.model.activation);
  project(tokens, s, result);
}

void OverlapKernel::draw_directions(const Address& address, Real* directions) {
  // [N | T] before they are made orthonormal: N normal, T the triangle of what is left in outside_
  // - H dimensions.
  const int below = H_ * (H_ - 1) / 2;
  const int gaussian = H_ * H_ + below + H_;
  draw(address, Purpose::merges, gaussian + H_);
  normal_quantile({numbers_.data(), static_cast<std::size_t>(gaussian * lanes)});
  const Real* N = reinterpret_cast<const Real*>(numbers_.data());
  const Real* T = N + H_ * H_;
  const Real* normals = T + below;
  const int wide = 2 * H_;
  for (int i = 0; i < H_; ++i) {
    Real* row = directions + i * wide;
    for (int j = 0; j < wide; ++j) row[j] = j < H_ ? N[i * H_ + j] : Real{};
    for (int j = 0; j <= i; ++j) {
      const double degrees = outside_ - H_ - j;  // of column j: none where there is no room
      if (degrees <= 0) continue;
      row[H_ + j] = j < i ? T[i * (i - 1) / 2 + j]
                          : chi(degrees, normals[i], normals[H_ + i], address,
                                Purpose::merge_retries, static_cast<std::uint64_t>(i));
    }
  }
  factor_rows(directions, H_, wide, triangle_.data());
}

void OverlapKernel::merge(const Address& address, const Real* first, const Real* second,
                          Real* term) {
  const int wide = 2 * H_;
  Real* directions = work_.data();
  Real* rows = directions + H_ * wide;
  draw_directions(address, directions);
  const Real* C1 = parts(first).C;
  const Real* C2 = parts(second).C;
  const auto sums = static_cast<int>(C1 - first);
  for (int i = 0; i < sums; ++i) term[i] = first[i] + second[i];
  for (int i = 0; i < H_; ++i)
    for (int k = 0; k < wide; ++k) {
      Real sum = k <= i ? C1[index(i, k)] : Real{};
      for (int j = 0; j <= i; ++j) sum += C2[index(i, j)] * directions[j * wide + k];
      rows[i * wide + k] = sum;
    }
  factor_rows(rows, H_, wide, parts(term).C);
}

void OverlapKernel::update(std::int64_t steps, const Real* term, Real* replica) {
  const Real scale = broadcast(problem_.rate(steps) / static_cast<double>(problem_.batch));
  const auto [e, v, b, parallel, C] = parts(term);
  const Training& training = problem_.model.training;
  if (training.k) update_heads(problem_.kept(steps), scale, parallel, C, replica);
  for (int h = 0; h < H_ && training.b > 0; ++h)
    replica[H_ * n_ + h] -= (training.b * scale) * b[h];
  if (training.v > 0) replica[H_ * n_ + H_] -= (training.v * scale) * *v;
}

void OverlapKernel::update_heads(double kept, Real scale, const Real* parallel, const Real* C,
                                 Real* K) {
  const int wide = 2 * H_;
  Real* rows = work_.data();  // [u | scale C]
  for (int h = 0; h < H_; ++h) {
    for (int f = 0; f < F_; ++f) {
      const int i = h * n_ + f;
      K[i] = kept * K[i] - scale * parallel[i];
    }
    for (int j = 0; j < H_; ++j) {
      const int i = h * n_ + F_ + j;
      rows[h * wide + j] = kept * K[i] - scale * parallel[i];
      rows[h * wide + H_ + j] = j <= h ? scale * C[index(h, j)] : Real{};
    }
  }
  factor_rows(rows, H_, wide, triangle_.data());
  for (int h = 0; h < H_; ++h)
    for (int j = 0; j < H_; ++j)
      K[h * n_ + F_ + j] = j <= h ? triangle_[static_cast<std::size_t>(index(h, j))] : Real{};
}

}  // namespace headflow
