// Questions within the steps of SGD: so many in each step, spread over its sequences.
#include "sgd/step_questions.hpp"

#include "support.hpp"

namespace headflow {
namespace {

using namespace testing_support;

/// Three questions in a step of 9 sequences, on a rank that has them in one piece, one by one, in
/// part, or has none.
TEST(StepQuestions, areEquallyManyInEachStepOfEachRank) {
  for (const auto& pieces :
       std::vector<std::vector<int>>{{9}, std::vector<int>(9, 1), {4, 1}, {}}) {
    StopAt control = never_stop();
    StepQuestions questions(control, 3, 9);
    for (int step = 0; step < 4; ++step) {
      int done = 0;
      for (const int piece : pieces) {
        questions.worked(piece);
        EXPECT_EQ(control.asked(), 3 * step + (done += piece) / 3);
      }
      questions.end_step();
      EXPECT_EQ(control.asked(), 3 * (step + 1));
    }
    questions.finish(6);
    EXPECT_EQ(control.asked(), 18) << "as often as the ranks with six steps";
  }
}

TEST(StepQuestions, areNoneWhereStepsAreShort) {
  StopAt control = never_stop();
  StepQuestions questions(control, 0, 9);
  questions.worked(9);
  questions.end_step();
  questions.finish(5);
  EXPECT_EQ(control.asked(), 0);
}

}  // namespace
}  // namespace headflow
