#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include "core/lane_random.hpp"
#include "headflow/sgd/sgd_problem.hpp"

namespace headflow {

/// SGD in R^D seen through overlaps alone, exactly in law, at a cost that does not depend on D
/// (theory.md, section 9). All numbers are lanes: lane by lane another sequence, of the same or of
/// another replica.
///
/// A replica is K = [K_F | u] (H x n, n = F + H) in the coordinates of an orthonormal frame whose
/// first F directions span the spikes, b and v. The gradient of some sequences is a term:
///   parallel (H x n), its part in the frame;
///   C (H x H, lower triangular), C C' the Gram matrix of its part P outside the frame;
/// and the sums of e, de/db and de/dv. P itself is C times an H-frame of uniformly random direction
/// in the D - n dimensions outside, independent of those of other sequences, so nothing more needs
/// to be known. No Gram matrix is ever formed: C and u are triangles of row-wise Gram-Schmidt, so
/// r = u u' is positive semi-definite whatever is added, with full relative precision also where
/// heads are collinear or r goes to zero (down to 1e-280).
class OverlapKernel {
 public:
  using Real = Lanes<double>;
  static constexpr int lanes = lane_count<double>;

  /// Where the numbers of each lane come from.
  struct Address {
    std::array<std::uint32_t, lanes> replica{};
    std::uint64_t step = 0;
    std::array<std::uint64_t, lanes> item{};
  };

  /// Throws InputError when D < F + 2H + L.
  explicit OverlapKernel(const SgdProblem& problem);

  /// K (row by row), b, v.
  int replica_size() const { return H_ * n_ + H_ + 1; }
  /// e, de/dv, de/db, parallel (row by row), C (its lower triangle, row by row).
  int term_size() const { return 2 + H_ + H_ * n_ + H_ * (H_ + 1) / 2; }

  /// The terms of the fresh sequences at `address`.
  void sequence(const Address& address, const Real* replica, Real* term);
  /// The term of two sets of sequences. The direction of the second frame as seen from the first is
  /// drawn at `address`.
  void merge(const Address& address, const Real* first, const Real* second, Real* term);
  /// The step after so many: the replica's kept K, b, v, minus rate / B * term, as far as they are
  /// trained; the part outside the frame goes into u.
  void update(std::int64_t steps, const Real* term, Real* replica);

  /// Bytes of the working memory.
  double bytes() const;

 private:
  /// The parts of a term by their names.
  template <class R>
  struct Term {
    R *e, *v, *b, *parallel, *C;
  };
  template <class R>
  Term<R> parts(R* term) const {
    return {term, term + 1, term + 2, term + 2 + H_, term + 2 + H_ + H_ * n_};
  }
  /// The tokens of a sequence: their coordinates p (n x L) in the frame, and the lower triangle of
  /// their remainders, T below its diagonal (row l begins at l (l - 1) / 2).
  struct Tokens {
    const Real *p, *T, *diagonal;
  };

  void draw(const Address& address, Purpose purpose, std::int64_t count);
  /// sqrt(chi^2 with `degrees` degrees of freedom) from normals and uniforms that were drawn.
  Real chi(double degrees, Real normals, Real uniforms, const Address& address, Purpose retries,
           std::uint64_t which) const;
  Tokens draw_tokens(const Address& address);
  void draw_signal();
  /// chi = K p.
  void fields(const Real* K, const Real* p, Real* chi) const;
  /// e = |X c|^2 / D with c_l = delta_{l,1} - A_l, and a = de/dA = -2 X' (X c) / D.
  Real error(const Tokens& tokens, const Real* A, Real* a);
  /// The parts of g X in the frame and outside it.
  void project(const Tokens& tokens, const Real* g, const Term<Real>& term);
  /// The part of update() in K.
  void update_heads(double kept, Real scale, const Real* parallel, const Real* C, Real* K);
  /// The second frame's H directions (H x 2H) in terms of the first frame's and H others.
  void draw_directions(const Address& address, Real* directions);

  SgdProblem problem_;
  int L_, H_, F_, n_;
  double outside_;  // dimensions outside the frame
  LaneRandom random_;
  std::vector<LaneRandom::Key> sequence_keys_, merge_keys_;  // by replica, as they are asked for
  AlignedVector<double> numbers_;
  AlignedVector<Real> chi_, fields_, work_, triangle_;
  std::vector<double> uniforms_, normals_, theta_;
};

}  // namespace headflow
