#include "core/normal.hpp"

#include <algorithm>
#include <cstring>

#include "core/lane_masks.hpp"

namespace headflow {
namespace {

using Vector = Lanes<double>;

template <std::size_t N>
inline Vector horner(const double (&c)[N], Vector x) {
  Vector p = broadcast(c[N - 1]);
  for (std::size_t i = N - 1; i-- > 0;) p = p * x + c[i];
  return p;
}

constexpr double centre_over[] = {3.3871328727963666080e0,  1.3314166789178437745e+2,
                                  1.9715909503065514427e+3, 1.3731693765509461125e+4,
                                  4.5921953931549871457e+4, 6.7265770927008700853e+4,
                                  3.3430575583588128105e+4, 2.5090809287301226727e+3};
constexpr double centre_under[] = {1.0,
                                   4.2313330701600911252e+1,
                                   6.8718700749205790830e+2,
                                   5.3941960214247511077e+3,
                                   2.1213794301586595867e+4,
                                   3.9307895800092710610e+4,
                                   2.8729085735721942674e+4,
                                   5.2264952788528545610e+3};
constexpr double tail_over[] = {1.42343711074968357734e0,  4.63033784615654529590e0,
                                5.76949722146069140550e0,  3.64784832476320460504e0,
                                1.27045825245236838258e0,  2.41780725177450611770e-1,
                                2.27238449892691845833e-2, 7.74545014278341407640e-4};
constexpr double tail_under[] = {1.0,
                                 2.05319162663775882187e0,
                                 1.67638483018380384940e0,
                                 6.89767334985100004550e-1,
                                 1.48103976427480074590e-1,
                                 1.51986665636164571966e-2,
                                 5.47593808499534494600e-4,
                                 1.05075007164441684324e-9};
constexpr double far_over[] = {6.65790464350110377720e0,  5.46378491116411436990e0,
                               1.78482653991729133580e0,  2.96560571828504891230e-1,
                               2.65321895265761230930e-2, 1.24266094738807843860e-3,
                               2.71155556874348757815e-5, 2.01033439929228813265e-7};
constexpr double far_under[] = {1.0,
                                5.99832206555887937690e-1,
                                1.36929880922735805310e-1,
                                1.48753612908506148525e-2,
                                7.86869131145613259100e-4,
                                1.84631831751005468180e-5,
                                1.42151175831644588870e-7,
                                2.04426310338993978564e-15};
constexpr double centre_width = 0.425;

inline Vector centre(Vector q) {
  const Vector r = centre_width * centre_width - q * q;
  return q * (horner(centre_over, r) * reciprocal(horner(centre_under, r)));
}

/// The magnitude from r = sqrt(-log(mass of the tail)).
inline Vector tail(Vector r) {
  const Vector x = r - 1.6;
  return horner(tail_over, x) * reciprocal(horner(tail_under, x));
}
inline Vector far_tail(Vector r) {
  const Vector x = r - 5.0;
  return horner(far_over, x) * reciprocal(horner(far_under, x));
}

constexpr std::size_t lanes = lane_count<double>;
constexpr std::size_t chunk = 8;  // vectors

/// Of `count` <= chunk vectors. The centre holds 85 % of the mass; the tails are collected.
void quantiles(Vector* u, std::size_t count) {
  alignas(Vector) double tails[(chunk + 1) * lanes];
  LaneMask outside[chunk];
  Vector x[chunk];
  std::size_t found = 0;
  for (std::size_t i = 0; i < count; ++i) {
    x[i] = u[i] - 0.5;
    outside[i] = lane_max(x[i], -x[i]) > centre_width;
    found += gather_lanes(outside[i], u[i] < 0.5 ? u[i] : 1.0 - u[i], tails + found);
    u[i] = centre(x[i]);
  }
  if (found == 0) return;
  std::fill_n(tails + found, lanes, 0.5);
  for (std::size_t k = 0; k < found; k += lanes) {
    Vector& magnitude = *reinterpret_cast<Vector*>(tails + k);
    const Vector r = lane_sqrt(-lane_log(magnitude));
    magnitude = tail(r);
    const LaneMask far = r > 5.0;
    if (any_lane(far)) magnitude = far ? far_tail(r) : magnitude;
  }
  const double* from = tails;
  for (std::size_t i = 0; i < count; ++i) {
    Vector magnitude{};
    from += scatter_lanes(outside[i], from, magnitude);
    u[i] = outside[i] ? (x[i] < 0.0 ? -magnitude : magnitude) : u[i];
  }
}

}  // namespace

double normal_quantile(double u) {
  normal_quantile(std::span(&u, 1));
  return u;
}

void normal_quantile(std::span<double> u) {
  for (std::size_t begin = 0; begin < u.size(); begin += chunk * lanes) {
    const std::size_t count = std::min(chunk * lanes, u.size() - begin);
    const std::size_t vectors = (count + lanes - 1) / lanes;
    Vector numbers[chunk];
    numbers[vectors - 1] = broadcast(0.5);
    std::memcpy(numbers, u.data() + begin, count * sizeof(double));
    quantiles(numbers, vectors);
    std::memcpy(u.data() + begin, numbers, count * sizeof(double));
  }
}

}  // namespace headflow
