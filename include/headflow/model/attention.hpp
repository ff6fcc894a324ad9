#pragma once
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

namespace headflow {

// The activations. Each is one struct here, listed once in `Activation` below; the bodies of its
// two functions are in src/model/attention_formulas.hpp. The program needs nothing else of it.
// Equations: theory.md, sections 2 and 3.
//
// The members of such a struct:
// name        the word for it in an input.
// trained     which of b and v it has. It must not read the others, which may be anything.
// joint       whether heads are normalised together. Then a head that is pruned changes the others.
// head_scale  turns its scores into the attention of a single head, which pruning and maps of
//             trained heads need: sigma_{h,l} = head_scale(H, v) s_{h,l}.
// forward     finds the fields chi_{h,l} in s. It replaces them by the scores s_{h,l}, which are
//             sigma / H here (softmax-1: sigma / (H v)). It sets A_l = (1/H) sum_h sigma_{h,l}.
// backward    finds these s and A, and a_l = de/dA_l. It replaces s by g_{h,l} = de/dchi_{h,l}, and
//             adds de/db_h and de/dv to `gradient`.
//
// When backward is called the fields are gone: its derivative has to follow from s and A.
// Both take B sequences at a time, for speed: sequence i = 0..B-1 has s[(h * B + i) * L + l],
// A[i * L + l] and a[i * L + l]; offsets and gradient are those of all. L, H and B are int, or
// integral constants that the compiler knows (Tokens, Heads, Groups are their types).
// Real is a number, a vector of lanes, or a Dual of lanes (core/dual.hpp), which carries a
// derivative. It has Real{} = 0, +, -, *, /, +=, -=, *= with Reals and numbers, lane_max(x, y),
// reciprocal(x) = 1 / x, and exp_nonpositive(x) = exp(x) for x <= 0; exp_each(s, n) is the latter
// of n numbers in place. Constants are Element<Real>(2). Subtract the largest field before exp:
// then any finite field is safe.

/// Which parameters besides K an activation has to train.
struct TrainedParts {
  bool b = false;
  bool v = false;
};

/// Biases and scale as the kernels see them: numbers, or lanes where samples differ in them.
template <class Scalar>
struct Offsets {
  const Scalar* b;
  Scalar v;
};

/// de/db (H numbers) and de/dv to add to.
template <class Real>
struct OffsetGradient {
  Real* b;
  Real* v;
};

/// Head by head normalisation shared by softmax and softmax-1; `sink` says whether the denominator
/// has the 1: s_{h,l} = exp(f_{h,l}) / (1 + sum_j exp(f_{h,j})) / H, f = chi + b_h.
template <bool sink, class Real, class Scalar, class Tokens, class Heads, class Groups>
inline void normalise_each_head(Real* s, Tokens L, Heads H, const Scalar* b, Groups B);

/// sigma_{h,l} = exp(chi_{h,l}) / sum_j exp(chi_{h,j}); b and v unused.
struct Softmax {
  static constexpr std::string_view name = "softmax";
  static constexpr bool joint = false;
  static constexpr TrainedParts trained{};
  static constexpr double head_scale(int heads, double) { return heads; }

  template <class Real, class Scalar, class Tokens, class Heads,
            class Groups = std::integral_constant<int, 1>>
  static void forward(Real* s, Real* A, Tokens L, Heads H, const Offsets<Scalar>&, Groups B = {});
  template <class Real, class Scalar, class Tokens, class Heads,
            class Groups = std::integral_constant<int, 1>>
  static void backward(Real* s, const Real* A, const Real* a, Tokens L, Heads H,
                       const Offsets<Scalar>&, OffsetGradient<Real>, Groups B = {});
};

/// sigma_{h,l} = v exp(chi_{h,l} + b_h) / (1 + sum_j exp(chi_{h,j} + b_h)): a head can switch
/// itself off.
struct SoftmaxOne {
  static constexpr std::string_view name = "softmax-1";
  static constexpr bool joint = false;
  static constexpr TrainedParts trained{.b = true, .v = true};
  static constexpr double head_scale(int heads, double v) { return heads * v; }

  template <class Real, class Scalar, class Tokens, class Heads,
            class Groups = std::integral_constant<int, 1>>
  static void forward(Real* s, Real* A, Tokens L, Heads H, const Offsets<Scalar>& offsets,
                      Groups B = {});
  template <class Real, class Scalar, class Tokens, class Heads,
            class Groups = std::integral_constant<int, 1>>
  static void backward(Real* s, const Real* A, const Real* a, Tokens L, Heads H,
                       const Offsets<Scalar>& offsets, OffsetGradient<Real> gradient,
                       Groups B = {});
};

/// sigma_{h,l} = H exp(chi_{h,l} + b_h) / sum_{g,j} exp(chi_{g,j} + b_g); v unused.
struct BayesSoftmax {
  static constexpr std::string_view name = "bayes-softmax";
  static constexpr bool joint = true;
  static constexpr TrainedParts trained{.b = true};
  static constexpr double head_scale(int heads, double) { return heads; }

  template <class Real, class Scalar, class Tokens, class Heads,
            class Groups = std::integral_constant<int, 1>>
  static void forward(Real* s, Real* A, Tokens L, Heads H, const Offsets<Scalar>& offsets,
                      Groups B = {});
  template <class Real, class Scalar, class Tokens, class Heads,
            class Groups = std::integral_constant<int, 1>>
  static void backward(Real* s, const Real* A, const Real* a, Tokens L, Heads H,
                       const Offsets<Scalar>&, OffsetGradient<Real> gradient, Groups B = {});
};

/// One of the activations; std::visit picks the formulas, name_of and trained_by describe it.
using Activation = std::variant<Softmax, SoftmaxOne, BayesSoftmax>;

inline std::string_view name_of(const Activation& activation) {
  return std::visit([](auto a) { return decltype(a)::name; }, activation);
}
inline std::vector<std::string> activation_names() {
  return []<class... A>(std::variant<A...>*) {
    return std::vector<std::string>{std::string(A::name)...};
  }(static_cast<Activation*>(nullptr));
}
/// The activation of that name, which must be one of activation_names().
inline Activation activation_named(std::string_view name) {
  Activation found;
  [&]<class... A>(std::variant<A...>*) {
    ((A::name == name ? void(found = A{}) : void()), ...);
  }(static_cast<Activation*>(nullptr));
  return found;
}
inline bool normalised_jointly(const Activation& activation) {
  return std::visit([](auto a) { return decltype(a)::joint; }, activation);
}
inline TrainedParts trained_by(const Activation& activation) {
  return std::visit([](auto a) { return decltype(a)::trained; }, activation);
}

}  // namespace headflow
