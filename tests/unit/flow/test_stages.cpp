// Stages, sides and plateaus of trajectories that are known in closed form.
#include <gtest/gtest.h>

#include <cmath>

#include "headflow/flow/plateaus.hpp"
#include "headflow/flow/stages.hpp"

namespace headflow {
namespace {

/// m(t): both heads rise as 2 (1 - e^-t) along feature 1, split as +-0.01 e^{t/2} along feature 2.
Matrix two_phases(double t) {
  Matrix m(2, 2);
  const double common = 2 * (1 - std::exp(-t));
  const double split = 0.01 * std::exp(0.5 * t);
  m << common, split, common, -split;
  return m;
}

TEST(StageFinder, findsAlignmentAndSplitInsideSteps) {
  StageFinder finder(flipping_spike(1, 1), 0.3);
  finder.start(0, two_phases(0));
  for (double t = 0; t < 9; t += 0.5) finder.step(t, t + 0.5, two_phases);
  const Stages stages = finder.stages();
  // the plateau is |mbar| in the step of the split, 2 (1 - e^-7) or so
  EXPECT_NEAR(stages.alignment_time, std::log(2.0), 2e-3);
  EXPECT_TRUE(std::isnan(stages.split_time[0]));
  EXPECT_NEAR(stages.split_time[1], 2 * std::log(30.0), 1e-9);
}

// A copy keeps what it has seen while the other goes on, and may go on itself from there.
TEST(StageFinder, aCopyStaysWhereItWasMade) {
  StageFinder whole(flipping_spike(1, 1), 0.3);
  whole.start(0, two_phases(0));
  std::vector<StageFinder> copies;
  for (double t = 0; t < 9; t += 0.5) {
    copies.push_back(whole);
    whole.step(t, t + 0.5, two_phases);
  }
  StageFinder again = copies[3];
  for (double t = 1.5; t < 9; t += 0.5) again.step(t, t + 0.5, two_phases);
  EXPECT_EQ(again.stages().alignment_time, whole.stages().alignment_time);
  EXPECT_EQ(again.stages().split_time[1], whole.stages().split_time[1]);
  Snapshot early, late;
  copies[3].save(early);
  again.save(late);
  EXPECT_EQ(early.list("stage_pieces")[0], 3);
  EXPECT_GT(late.list("stage_pieces")[0], 10);
}

TEST(StageFinder, reportsNothingWhereNothingHappens) {
  StageFinder finder(flipping_spike(1, 1), 0.3);
  const auto still = [](double) { return Matrix(Matrix::Constant(2, 2, 0.1)); };
  finder.start(0, still(0));
  finder.step(0, 1, still);
  EXPECT_TRUE(std::isnan(finder.stages().alignment_time));
  EXPECT_TRUE(std::isnan(finder.stages().split_time[0]));
  StageFinder centred(anisotropic_gaussian(2, 1, 1), 0.3);  // no mean signal, no common direction
  centred.start(0, two_phases(0));
  centred.step(0, 5, two_phases);
  EXPECT_TRUE(std::isnan(centred.stages().alignment_time));
}

TEST(StageFinder, headsThatStartApartAreSplitAtTheStart) {
  StageFinder finder(flipping_spike(1, 1), 0.005);
  finder.start(0, two_phases(0));
  EXPECT_EQ(finder.stages().split_time[1], 0.0);
}

/// Three heads: e^{t/2} apart along feature 2; head 1 turns from -1 to 1 along feature 1 at t = 6.
Matrix late_turn(double t) {
  Matrix m(3, 2);
  const double split = 1e-4 * std::exp(t);
  m << t - 6, split, 2, -split, -2, 0;
  return m;
}

TEST(StageFinder, measuresTheGrowthBeforeTheSplit) {
  StageFinder finder(anisotropic_gaussian(2, 1, 1), 0.5);
  finder.start(0, late_turn(0));
  for (double t = 0; t < 12; t += 0.25) finder.step(t, t + 0.25, late_turn);
  EXPECT_NEAR(finder.stages().growth_rate[1], 1, 1e-10);
  EXPECT_TRUE(std::isnan(finder.stages().growth_rate[0])) << "apart from the start";
}

// The side counts once the head is beyond the threshold again, and only after the feature has
// split.
TEST(StageFinder, countsExcursions) {
  StageFinder finder(anisotropic_gaussian(2, 1, 1), 0.5);
  finder.start(0, late_turn(0));
  double t = 0;
  for (; t < 6.4; t += 0.2) finder.step(t, t + 0.2, late_turn);
  EXPECT_EQ(finder.stages().excursions.sum(), 0);
  Snapshot snapshot;
  finder.save(snapshot);
  StageFinder restored(anisotropic_gaussian(2, 1, 1), 0.5);
  restored.start(0, late_turn(0));
  restored.restore(snapshot);
  for (StageFinder* one : {&finder, &restored}) {
    for (double s = t; s < 9; s += 0.2) one->step(s, s + 0.2, late_turn);
    Matrix expected = Matrix::Zero(3, 2);
    expected(0, 0) = 1;
    EXPECT_EQ(one->stages().excursions, expected);
    EXPECT_EQ(one->stages().growth_rate[1], finder.stages().growth_rate[1]);
  }
}

// Heads that go over to the other side together, before they have split, are on no excursion.
TEST(StageFinder, countsNoExcursionBeforeTheSplit) {
  const auto together = [](double t) { return Matrix(Matrix::Constant(3, 2, std::cos(t))); };
  StageFinder finder(anisotropic_gaussian(2, 1, 1), 0.5);
  finder.start(0, together(0));
  for (double t = 0; t < 6; t += 0.2) finder.step(t, t + 0.2, together);
  EXPECT_EQ(finder.stages().excursions.sum(), 0);
}

// Feature 1 of the flipping spike has one sign: heads that are alike are on no side of it.
TEST(SideRule, comparesWithTheMeanWhereTheSignIsNotFree) {
  Matrix m(4, 2);
  m << 2, 1, 2.1, -1, 1.9, 0.1, 3, 1;
  Matrix expected(4, 2);
  expected << 0, 1, 0, -1, 0, 0, 1, 1;
  const Matrix sides = SideRule(flipping_spike(2, 2), 0.5).sides(m);
  EXPECT_EQ(sides, expected);
  // Of feature 2 alone, in which head 3 is undecided; with both, three heads are.
  Combinations found = combinations(sides, Vector{{0.1, 0.9}}, 0.5);
  EXPECT_EQ(found.different, 2);
  EXPECT_EQ(found.undecided, 1);
  found = combinations(sides, Vector{{0.6, 0.9}}, 0.5);
  EXPECT_EQ(found.different, 1);
  EXPECT_EQ(found.undecided, 3);
  EXPECT_NEAR(evenness(sides)[1], 2.0 / 3, 1e-15);
  EXPECT_EQ(evenness(sides)[0], 0);
  EXPECT_EQ(combinations(Matrix::Zero(4, 2), Vector::Zero(2), 0.5).different, 1);
  // All signs of three features on eight heads and more: never more than 2^F.
  Matrix all(10, 3);
  for (int h = 0; h < 10; ++h)
    for (int f = 0; f < 3; ++f) all(h, f) = h >> f & 1 ? 1 : -1;
  EXPECT_EQ(combinations(all, Vector::Ones(3), 0.5).different, 8);
}

std::vector<double> times_of(const std::function<double(double)>& speed, double end) {
  PlateauFinder finder;
  for (double t = 0.1; t <= end; t += 0.1)
    finder.step(t, speed(t), [t] { return std::vector<double>{t}; });
  std::vector<double> times;
  for (const Plateau& plateau : finder.plateaus()) {
    EXPECT_EQ(plateau.state, std::vector<double>{plateau.time});
    times.push_back(plateau.time);
  }
  return times;
}

TEST(PlateauFinder, findsWhereAFlowLingers) {
  // Minima of the speed at pi, 3 pi, .. and the end of a run that slows down.
  const auto waves = times_of([](double t) { return 1.5 + std::cos(t); }, 22);
  ASSERT_EQ(waves.size(), 4u);
  for (std::size_t i = 0; i < 3; ++i)
    EXPECT_NEAR(waves[i], (2 * static_cast<double>(i) + 1) * M_PI, 0.06);
  EXPECT_NEAR(waves[3], 22, 0.1);
  // A start next to a saddle is one; a start that is merely slower than what follows is none.
  EXPECT_EQ(times_of([](double t) { return 1e-4 * std::exp(t); }, 8), std::vector<double>{0.1});
  EXPECT_TRUE(times_of([](double t) { return 1 + t; }, 3).empty());
  EXPECT_TRUE(times_of([](double t) { return 1 + t; }, 0.4).empty());
  // Ripples are no plateaus.
  EXPECT_EQ(times_of([](double t) { return std::exp(-t) * (1 + 0.2 * std::sin(9 * t)); }, 3).size(),
            1u);
}

TEST(PlateauFinder, goesOnFromASavedState) {
  const auto speed = [](double t) { return 1.5 + std::cos(t); };
  for (int cut = 5; cut < 200; cut += 13) {
    PlateauFinder whole, first, second;
    for (int i = 1; i < 200; ++i) {
      const auto state = [i] { return std::vector<double>{0.1 * i}; };
      whole.step(0.1 * i, speed(0.1 * i), state);
      if (i == cut) {
        Snapshot snapshot;
        first.save(snapshot);
        second.restore(snapshot);
      }
      (i < cut ? first : second).step(0.1 * i, speed(0.1 * i), state);
    }
    ASSERT_EQ(second.plateaus().size(), whole.plateaus().size());
    for (std::size_t i = 0; i < whole.plateaus().size(); ++i) {
      EXPECT_EQ(second.plateaus()[i].time, whole.plateaus()[i].time);
      EXPECT_EQ(second.plateaus()[i].fastest_after, whole.plateaus()[i].fastest_after);
    }
  }
}

}  // namespace
}  // namespace headflow
