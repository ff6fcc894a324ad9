#include <gtest/gtest.h>
#include <petsc/private/petscimpl.h>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#endif

#include <initializer_list>
#include <stdexcept>
#include <type_traits>

#include "core/callback_guard.hpp"
#include "core/hash.hpp"
#include "core/named.hpp"
#include "headflow/core/error.hpp"
#include "headflow/core/petsc.hpp"
#include "headflow/flow/time_stepper.hpp"

namespace headflow {
namespace {

/// How many PETSc objects of this process live: each holds a reference to PETSc's copy of its
/// communicator.
PetscInt living_objects() {
  const PetscVector probe(1);
  const MPI_Comm comm = PetscObjectComm(reinterpret_cast<PetscObject>(probe.handle()));
  PetscCommCounter* counter = nullptr;
  int there = 0;
  MPI_Comm_get_attr(comm, Petsc_Counter_keyval, &counter, &there);
  return there != 0 ? counter->refcount - 1 : -1;
}

void constant(double, std::span<const double>, std::span<double> f) { f[0] = 1; }

TEST(PetscOwner, countIsOfLivingObjects) {
  const PetscInt before = living_objects();
  {
    const PetscVector one(1), other(1);
    EXPECT_EQ(living_objects(), before + 2);
  }
  EXPECT_EQ(living_objects(), before);
}

TEST(PetscOwner, aTimeStepperThatThrowsLeavesNothing) {
  const double y0[] = {1.0};
  { TimeStepper first({}, constant, y0, 1); }  // what PETSc sets up once
  const PetscInt before = living_objects();
  for (const auto& [name, value] : std::initializer_list<std::pair<const char*, const char*>>{
           {"-flow_nonsense", "3"}, {"-flow_ts_type", "bogus"}, {"-flow_ts_type", "beuler"}}) {
    set_petsc_option(name, value);
    {
#ifdef __SANITIZE_ADDRESS__
      const __lsan::ScopedDisabler of_petsc;  // PetscOptionsBegin frees its texts only at its end
#endif
      EXPECT_THROW(TimeStepper({}, constant, y0, 1), InputError) << name;
    }
    petsc_check(PetscOptionsClearValue(nullptr, name), "PetscOptionsClearValue");
    EXPECT_EQ(living_objects(), before) << name << " " << value;
  }
  TimeStepper stepper(
      {.method = "3bs"}, [](double, auto, auto) { throw 1; }, y0, 1);
  EXPECT_THROW(stepper.step(), int);
}

TEST(PetscOwner, assignmentSwaps) {
  PetscVector a(2), b(3);
  const Vec first = a.handle(), second = b.handle();
  a = std::move(b);
  EXPECT_EQ(a.handle(), second);
  EXPECT_EQ(b.handle(), first);
  static_assert(!std::is_copy_constructible_v<PetscVector>);
  static_assert(std::is_nothrow_move_constructible_v<PetscVector>);
}

TEST(CallbackGuard, carriesAnExceptionOnce) {
  CallbackGuard guard;
  EXPECT_EQ(guard.run(-1, [] { return 5; }), 5);
  EXPECT_NO_THROW(guard.rethrow());
  EXPECT_EQ(guard.run(-1, []() -> int { throw InputError("from inside"); }), -1);
  EXPECT_THROW(guard.rethrow(), InputError);
  EXPECT_NO_THROW(guard.rethrow());
}

TEST(Unwinding, isSeenFromTheDestructorAlone) {
  struct Owner {
    bool& seen;
    Unwinding unwinding{};
    ~Owner() { seen = unwinding.now(); }
  };
  bool seen = true;
  { const Owner owner{seen}; }
  EXPECT_FALSE(seen);
  try {
    const Owner owner{seen};
    throw 1;
  } catch (int) {
  }
  EXPECT_TRUE(seen);
  // An owner that lives and ends inside a clean-up is not unwound itself.
  struct Outer {
    bool& seen;
    ~Outer() { const Owner inner{seen}; }
  };
  try {
    const Outer outer{seen};
    throw 1;
  } catch (int) {
  }
  EXPECT_FALSE(seen);
}

TEST(Named, saysWhatIsMissing) {
  struct One {
    std::string name;
    int value;
  };
  std::vector<One> list = {{"a", 1}, {"b", 2}};
  at(list, "b", "the list has no") = {"b", 3};
  EXPECT_EQ(at(std::as_const(list), "b", "the list has no").value, 3);
  try {
    at(list, "foo", "group flow has no variable");
    FAIL() << "no error";
  } catch (const std::logic_error& error) {
    EXPECT_STREQ(error.what(), "group flow has no variable foo");
  }
}

TEST(Hash, keepsTheValuesThatFilesHold) {
  Hash hash;
  EXPECT_EQ(hash.value(), 0x9e3779b97f4a7c15u);
  std::uint64_t expected = hash.value();
  for (const std::uint64_t word : {1u, 2u, 3u}) {
    hash.add(word);
    expected ^= word;
    expected *= 0xff51afd7ed558ccd;
    expected ^= expected >> 32;
  }
  EXPECT_EQ(hash.value(), expected);
}

}  // namespace
}  // namespace headflow
