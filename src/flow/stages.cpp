#include "headflow/flow/stages.hpp"

#include <algorithm>
#include <cmath>

#include "core/bisect.hpp"
#include "headflow/core/statistics.hpp"

namespace headflow {
namespace {

double common_component(const Matrix& m) { return m.colwise().mean().norm(); }

/// The polynomial of degree 4 through c[0..4] at s = 0, 1/4, .., 1.
double quartic(const double (&c)[5], double s) {
  double value = 0;
  for (int i = 0; i < 5; ++i) {
    double weight = c[i];
    for (int j = 0; j < 5; ++j)
      if (j != i) weight *= (4 * s - j) / (i - j);
    value += weight;
  }
  return value;
}

}  // namespace

Vector spread_over_heads(const Matrix& m) {
  const Matrix centred = m.rowwise() - m.colwise().mean();
  return (centred.colwise().squaredNorm() / static_cast<double>(m.rows())).cwiseSqrt();
}

StageFinder::StageFinder(const Prior& prior, double split_threshold)
    : has_mean_(prior.mean().norm() > 0),
      threshold_(split_threshold),
      rule_(prior, split_threshold),
      low_time_(static_cast<std::size_t>(prior.features()), never),
      high_time_(low_time_),
      split_time_(low_time_) {}

void StageFinder::start(double t, const Matrix& m) {
  last_common_ = common_component(m);
  spread_ = spread_over_heads(m);
  sides_ = rule_.sides(m);
  excursions_ = Matrix::Zero(m.rows(), m.cols());
  for (std::size_t f = 0; f < split_time_.size(); ++f)
    if (spread_[static_cast<Eigen::Index>(f)] >= threshold_) split_time_[f] = t;
}

void StageFinder::step(double t0, double t1, const std::function<Matrix(double)>& m_at) {
  const bool was_split =
      std::any_of(split_time_.begin(), split_time_.end(), [](double t) { return !std::isnan(t); });
  const Matrix m = m_at(t1);
  const Vector before = spread_;
  spread_ = spread_over_heads(m);
  for (std::size_t f = 0; f < split_time_.size(); ++f) {
    if (!std::isnan(split_time_[f])) continue;
    const auto column = static_cast<Eigen::Index>(f);
    const auto locate = [&](double level, double& time) {
      if (before[column] >= level || spread_[column] < level) return;
      time = bisect(t0, t1, [&](double t) { return spread_over_heads(m_at(t))[column] >= level; });
    };
    locate(0.01 * threshold_, low_time_[f]);
    locate(0.1 * threshold_, high_time_[f]);
    locate(threshold_, split_time_[f]);
  }
  count_excursions(m);
  if (was_split || !has_mean_) return;
  Piece piece{t0, t1, {}};
  for (int i = 0; i < 5; ++i) piece.c[i] = common_component(m_at(t0 + 0.25 * i * (t1 - t0)));
  pieces_->resize(piece_count_);
  pieces_->push_back(piece);
  ++piece_count_;
  last_common_ = piece.c[4];
}

void StageFinder::count_excursions(const Matrix& m) {
  const Matrix now = rule_.sides(m);
  for (Eigen::Index h = 0; h < m.rows(); ++h)
    for (Eigen::Index f = 0; f < m.cols(); ++f) {
      if (now(h, f) == 0) continue;
      if (now(h, f) == -sides_(h, f) && !std::isnan(split_time_[static_cast<std::size_t>(f)]))
        ++excursions_(h, f);
      sides_(h, f) = now(h, f);
    }
}

std::vector<double> StageFinder::growth_rates() const {
  std::vector<double> rates;
  for (std::size_t f = 0; f < low_time_.size(); ++f)
    rates.push_back(high_time_[f] > low_time_[f] ? std::log(10.0) / (high_time_[f] - low_time_[f])
                                                 : never);
  return rates;
}

double StageFinder::half_plateau_time() const {
  const double level = 0.5 * last_common_;
  if (piece_count_ == 0 || pieces_->front().c[0] >= level) return never;
  for (const Piece& piece : pieces()) {
    for (int i = 1; i < 5; ++i) {
      if (piece.c[i] < level) continue;
      const auto time = [&](double s) { return piece.t0 + s * (piece.t1 - piece.t0); };
      return time(
          bisect(0.25 * (i - 1), 0.25 * i, [&](double s) { return quartic(piece.c, s) >= level; }));
    }
  }
  return never;
}

void StageFinder::save(Snapshot& snapshot) const {
  std::vector<double> pieces = {static_cast<double>(piece_count_)};
  for (const Piece& piece : this->pieces()) {
    pieces.insert(pieces.end(), {piece.t0, piece.t1});
    pieces.insert(pieces.end(), std::begin(piece.c), std::end(piece.c));
  }
  snapshot.put("stage_pieces", pieces);
  const auto list = [](const auto& values) {
    return std::vector<double>(values.data(), values.data() + values.size());
  };
  snapshot.put("split_time", split_time_);
  snapshot.put("low_time", low_time_);
  snapshot.put("high_time", high_time_);
  snapshot.put("spread", list(spread_));
  snapshot.put("sides", list(sides_));
  snapshot.put("excursions", list(excursions_));
  snapshot.put("last_common", last_common_);
}

void StageFinder::restore(const Snapshot& snapshot) {
  const auto& pieces = snapshot.list("stage_pieces");
  pieces_ = std::make_shared<std::vector<Piece>>();
  for (std::size_t i = 1; i + 7 <= pieces.size(); i += 7) {
    Piece piece{pieces[i], pieces[i + 1], {}};
    std::copy_n(&pieces[i + 2], 5, piece.c);
    pieces_->push_back(piece);
  }
  piece_count_ = pieces_->size();
  split_time_ = snapshot.list("split_time");
  low_time_ = snapshot.list("low_time");
  high_time_ = snapshot.list("high_time");
  const auto fill = [&](const char* name, auto& values) {
    std::copy_n(snapshot.list(name).begin(), values.size(), values.data());
  };
  fill("spread", spread_);
  fill("sides", sides_);
  fill("excursions", excursions_);
  last_common_ = snapshot.number("last_common");
}

Stages StageFinder::stages() const {
  return {.alignment_time = has_mean_ ? half_plateau_time() : never,
          .split_time = split_time_,
          .growth_rate = growth_rates(),
          .excursions = excursions_};
}

}  // namespace headflow
