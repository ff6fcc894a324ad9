#include <fmt/format.h>
#include <gtest/gtest.h>

#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <map>

#include "headflow/core/error.hpp"
#include "input/toml_text.hpp"
#include "sweep/member_result.hpp"
#include "sweep/range.hpp"
#include "sweep/sweep.hpp"
#include "sweep/sweep_store.hpp"

namespace headflow {
namespace {

const std::string base =
    "[model]\ntokens = 4\nprior = 'flipping-spike'\nsignal = [2.0, 1]\n[attention]\nheads = 2\n";

Sweep parse_and_read(const std::string& input) {
  const toml::table table = parse_input(input, "case.toml", {});
  Sections sections;
  sections.read(table, "case.toml");
  return read_sweep(table, "case.toml", sections);
}

Sweep sweep_of(const std::string& text) { return parse_and_read(base + text); }

TEST(Sweep, membersAreTheProductInTheOrderOfTheFile) {
  const Sweep sweep = sweep_of(
      "[sweep]\n'attention.heads' = [2, 4]\n'model.signal[2]' = { from = 1, to = 100, count = 3, "
      "spacing = 'log' }\n");
  ASSERT_EQ(sweep.size(), 6);
  EXPECT_EQ(sweep.axes[1].name, "model_signal_2");
  EXPECT_EQ(sweep.axes[1].coordinates, (std::vector<double>{1, 10, 100}));
  EXPECT_EQ(sweep.changes(0), (std::vector<std::string>{"attention.heads=2", "model.signal[2]=1"}));
  EXPECT_EQ(sweep.changes(4),
            (std::vector<std::string>{"attention.heads=4", "model.signal[2]=10"}));
  EXPECT_EQ(sweep_of(sweep.to_toml()).changes(5), sweep.changes(5)) << sweep.to_toml();
}

TEST(Sweep, zippedKeysVaryTogetherInThePlaceOfTheFirst) {
  const Sweep sweep = sweep_of(
      "[sweep]\n'model.tokens' = [3, 4]\n'attention.heads' = [2, 4]\n'start.noise' = [0.1, 0.2, "
      "0.3]\n"
      "'start.eta' = [1, 2]\nzip = [['attention.heads', 'model.tokens', 'start.eta']]\n");
  ASSERT_EQ(sweep.axes.size(), 2u);
  EXPECT_EQ(sweep.size(), 6);
  EXPECT_EQ(sweep.axes[0].keys,
            (std::vector<std::string>{"attention.heads", "model.tokens", "start.eta"}));
  EXPECT_EQ(sweep.axes[0].values[1], (std::vector<std::string>{"4", "4", "2"}));
  EXPECT_EQ(sweep_of(sweep.to_toml()).changes(5), sweep.changes(5)) << sweep.to_toml();
  EXPECT_THROW(sweep_of("[sweep]\n'start.eta' = [1, 2]\nzip = [['start.eta', 'start.eta']]\n"),
               InputError);
}

constexpr const char* sgd = "[sgd]\ndimension = 100\nbatch = 1\nlearning_rate = 0.1\nseed = 5\n";

/// What members change, by "key".
std::map<std::string, std::int64_t> seeds_of(const Sweep& sweep, std::int64_t member) {
  std::map<std::string, std::int64_t> seeds;
  for (const auto& change : sweep.changes(member)) {
    const auto equals = change.find('=');
    if (change.substr(0, equals).ends_with(".seed"))
      seeds[change.substr(0, equals)] = std::stoll(change.substr(equals + 1));
  }
  return seeds;
}

TEST(Sweep, repeatsAdvanceAllSeedsOfWhatIsGiven) {
  using Seeds = std::map<std::string, std::int64_t>;
  const Sweep sweep = sweep_of("[start]\nseed = 7\n[train]\nstarts = 3\n[maps]\nseed = 2\n" +
                               std::string(sgd) + "[sweep]\nrepeats = 2\n");
  ASSERT_EQ(sweep.size(), 2);
  EXPECT_EQ(seeds_of(sweep, 0),
            (Seeds{{"start.seed", 7}, {"sgd.seed", 5}, {"maps.seed", 2}, {"population.seed", 1}}));
  EXPECT_EQ(seeds_of(sweep, 1),
            (Seeds{{"start.seed", 10}, {"sgd.seed", 6}, {"maps.seed", 3}, {"population.seed", 2}}));
  EXPECT_EQ(seeds_of(sweep_of("[sweep]\nrepeats = 2\n"), 1),
            (Seeds{{"start.seed", 2}, {"population.seed", 2}}));
}

/// No seed is used twice, also where axes set seeds, or how many there are, or make a section.
TEST(Sweep, repeatsAreIndependentOfEveryAxis) {
  const std::string sections[] = {
      "[sweep]\n'start.seed' = [100, 200, 300]\nrepeats = 3\n",
      "[sweep]\nrepeats = 4\n'start.seed' = [3, 1, 2]\n",
      "[train]\n[sweep]\n'start.seed' = [1, 11]\n'train.starts' = [2, 9]\nrepeats = 3\n",
      std::string(sgd) +
          "starts = 'own'\n[sweep]\n'sgd.seed' = { from = 1, to = 5, count = 5 }\n"
          "'sgd.replicas' = [1, 4]\nrepeats = 2\n",
      "[sweep]\n'sgd.dimension' = [1e2, 1e3]\nrepeats = 2\n",
      "[sweep]\n'start.seed' = [1, 2]\n'population.seed' = [5, 7]\nrepeats = 2\n"
      "zip = [['start.seed', 'population.seed']]\n"};
  for (const auto& text : sections) {
    const Sweep sweep = sweep_of(text);
    // A repeat shares seeds with members of the same repeat alone.
    std::map<std::pair<std::string, std::int64_t>, std::int64_t> used;
    for (std::int64_t member = 0; member < sweep.size(); ++member) {
      const std::int64_t repeat = member % sweep.repeats();
      std::int64_t starts = 1;
      for (const auto& change : sweep.changes(member))
        if (change.starts_with("train.starts=") || change.starts_with("sgd.replicas="))
          starts = std::stoll(change.substr(change.find('=') + 1));
      const auto seeds = seeds_of(sweep, member);
      EXPECT_GE(seeds.size(), 2u);
      for (const auto& [key, first] : seeds)
        for (std::int64_t i = 0; i < (key == "start.seed" ? starts : 1); ++i)
          EXPECT_EQ(used.try_emplace({key, first + i}, repeat).first->second, repeat)
              << text << key << " = " << first + i;
    }
    EXPECT_EQ(sweep_of(text.substr(0, text.find("[sweep]")) + sweep.to_toml()).changes(3),
              sweep.changes(3));
  }
  EXPECT_EQ(seeds_of(sweep_of(sections[4]), 1).at("sgd.seed"), 2);
  EXPECT_EQ(seeds_of(sweep_of(sections[0]), 3 + 2).at("start.seed"), 200 + 2 * 201);
}

/// The message has that word, and the line of the file.
void refused(const std::string& text, const std::string& word) {
  try {
    sweep_of("[sweep]\n" + text);
    ADD_FAILURE() << text << " is taken";
  } catch (const InputError& error) {
    EXPECT_NE(std::string(error.what()).find(word), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("case.toml:"), std::string::npos) << error.what();
  }
}

TEST(Sweep, refusesWhatItCannotRead) {
  refused("'start.noise' = { from = 'a', to = 1, count = 2 }", "numbers from, to and a count");
  refused("'start.noise' = { from = 0, to = inf, count = 2 }", "numbers from, to and a count");
  refused("'start.noise' = { from = nan, to = 1, count = 2 }", "numbers from, to and a count");
  refused("'start.noise' = { from = 1, to = -1, count = 2, spacing = 'log' }", "from and to > 0");
  refused("'start.noise' = [1, 2]\n[sweep.start]\nnoise = [3]", "start.noise is there twice");
  for (const char* zip : {"3", "['start.noise', 'start.eta']", "[['start.noise']]", "[[]]"})
    refused(std::string("zip = ") + zip + "\n'start.noise' = [1]\n'start.eta' = [2]",
            "zip must be a list of lists of keys");
  refused("zip = [['start.noise', 3]]\n'start.noise' = [1]", "zip: \"\" is no axis");
  refused(
      "zip = [['start.noise', 'start.eta'], ['start.eta', 'start.noise']]\n"
      "'start.noise' = [1]\n'start.eta' = [2]",
      "zipped twice");
  EXPECT_THROW(parse_and_read("sweep = 3\n" + base), InputError);
  EXPECT_EQ(sweep_of("").size(), 0);
  EXPECT_EQ(sweep_of("").to_toml(), "");
}

TEST(Sweep, refusesTooMuchBeforeItIsMade) {
  refused("'start.noise' = { from = 0, to = 1, count = 1e10 }", "1000000");
  refused("'start.noise' = { from = 0, to = 1, count = 9000000000000000000 }", "1000000");
  refused(
      "'start.noise' = { from = 0, to = 1, count = 600000 }\n'start.eta' = { from = 1, to = 2, "
      "count = 600000 }",
      "1000000 values");
  refused("'start.noise' = { from = 0, to = 1, count = 0 }", ">= 1");
  refused("'start.noise' = { from = 0, to = 1, count = 2.5 }", "2.5");
  refused("repeats = 10000000000", "10000000");
  refused("repeats = 1e19", "10000000");
  refused("repeats = 2\nranks_per_member = 1e10", "10000000");
  std::string four;
  for (const char* key : {"start.noise", "start.eta", "flow.end_time", "flow.tolerance"})
    four += fmt::format("'{}' = {{ from = 1, to = 2, count = 65536 }}\n", key);
  refused(four, "65536 x 65536 x 65536 x 65536 members");
  refused("'start.seed' = [1, 9e15]\nrepeats = 2", "start.seed");
  refused("'start.seed' = [1, 1.5]\nrepeats = 2", "1.5");
  refused("'model.signal' = [[1, 2]]\n'model.signal[2]' = [3]", "model.signal[2]");
}

TEST(Sweep, anOverrideWithoutEffectIsRefused) {
  const Sweep sweep = sweep_of(
      "[sweep]\n'start.seed' = [1, 2]\n'start.noise' = [1, 2]\n'start.eta' = [1, 2]\n"
      "'model.signal[2]' = [1, 2]\n'train.starts' = [3]\nzip = [['start.noise', 'start.eta']]\n");
  for (const char* setting : {"start.seed=3", "start.noise=1", "start.eta=1", "model.signal[2]=5"})
    EXPECT_THROW(require_unswept(sweep, {"model.tokens=3", setting}), InputError) << setting;
  require_unswept(sweep, {"model.signal=[2, 2]", "model.signal[1]=5", "sweep.start.seed=[1]"});
  EXPECT_THROW(
      require_unswept(sweep_of("[sweep]\n'model.signal' = [[1, 2]]\n"), {"model.signal[1]=3"}),
      InputError);
}

TEST(Range, givesTheShortestDecimals) {
  const auto texts = [](double from, double to, std::int64_t count, bool log = false) {
    return fmt::format("{}", fmt::join(range_values(from, to, count, log), " "));
  };
  EXPECT_EQ(texts(0.1, 1, 10), "0.1 0.2 0.3 0.4 0.5 0.6 0.7 0.8 0.9 1");
  EXPECT_EQ(texts(1, 0.1, 10), "1 0.9 0.8 0.7 0.6 0.5 0.4 0.3 0.2 0.1");
  EXPECT_EQ(texts(-0.3, 0.3, 7), "-0.3 -0.2 -0.1 0 0.1 0.2 0.3");
  EXPECT_EQ(texts(0, 1, 4), "0 0.3333333333333333 0.6666666666666667 1");
  EXPECT_EQ(texts(1, 1 + 1e-12, 5),
            "1 1.00000000000025 1.0000000000005 1.00000000000075 1.000000000001");
  EXPECT_EQ(texts(1e15, 4e15, 4),
            "1000000000000000 2000000000000000 3000000000000000 4000000000000000");
  EXPECT_EQ(texts(-1e308, 1e308, 3), "-1e+308 0 1e+308");
  EXPECT_EQ(texts(1e-3, 1e3, 7, true), "0.001 0.01 0.1 1 10 100 1000");
  EXPECT_EQ(texts(1e300, 1e-300, 7, true), "1e+300 1e+200 1e+100 1 1e-100 1e-200 1e-300");
  EXPECT_EQ(texts(0.5, 8, 5, true), "0.5 1 2 4 8");
  EXPECT_EQ(texts(0.7, 0.7, 2), "0.7 0.7");
  EXPECT_EQ(texts(3, 9, 1), "3");
  for (const double x : range_values(10, 1000, 100, false)) EXPECT_EQ(x, std::round(x));
  for (const double x : range_values(1, 20000, 20000, false)) EXPECT_EQ(x, std::round(x));
}

/// A member's result: `numbers` of a variable over an axis with these values.
MemberResult member_result(std::int64_t member, std::vector<double> values,
                           std::vector<double> numbers) {
  return {.member = member,
          .seconds = 1,
          .groups = {
              {"saddle",
               {{.name = "dimension", .values = std::move(values), .long_name = "D"}},
               {{.name = "x", .axes = {"dimension"}, .data = std::move(numbers), .long_name = ""},
                {.name = "y", .axes = {}, .data = {double(member)}, .long_name = ""}}}}};
}

TEST(SweepStore, keepsTheValuesOfAnAxisOfItsMembers) {
  const Sweep sweep = sweep_of("[sweep]\n'start.seed' = [1, 2, 3]\n");
  std::deque<DataGroup> groups;
  SweepStore store(sweep, groups);
  store.add(member_result(2, {1e2, 1e4}, {5, 6}));
  EXPECT_EQ(groups[1].dimension("dimension").values, (std::vector<double>{1e2, 1e4}));
  store.add(member_result(0, {1e2, 1e4, 1e6}, {1, 2, 3}));
  EXPECT_EQ(groups[1].dimension("dimension").values, (std::vector<double>{1e2, 1e4, 1e6}));
  const auto& x = groups[1].variables[0].data;
  ASSERT_EQ(x.size(), 9u);
  EXPECT_EQ(x[0], 1);
  EXPECT_TRUE(std::isnan(x[3]));
  EXPECT_EQ(x[7], 6);
  EXPECT_TRUE(std::isnan(x[8]));
  EXPECT_EQ(groups[1].variables[1].data[2], 2);
  EXPECT_EQ(store.progress().text(), "2 of 3 members");
  store.add(member_result(1, {1e3}, {7}));
  EXPECT_EQ(groups[1].dimension("dimension").values, (std::vector<double>{1, 2, 3}));
  EXPECT_TRUE(store.progress().complete());
}

/// What a file has of other members is taken over, however long its axes are.
TEST(SweepStore, takesOverWhatAFileHas) {
  const Sweep sweep = sweep_of("[sweep]\n'start.seed' = [1, 2, 3, 4]\n");
  const auto path =
      (std::filesystem::temp_directory_path() / ("sweep." + std::to_string(getpid()))).string();
  const auto write = [&](const Sweep& of, const std::vector<MemberResult>& results) {
    DataFile content{.attributes = {}, .provenance = {{"sweep", of.text}}, .groups = {}};
    SweepStore store(of, content.groups);
    for (const auto& result : results) store.add(result);
    write_data_file(Communicator::self(), path, content);
  };
  MemberResult failed = member_result(3, {}, {});
  failed.groups.clear();
  failed.failure = "it diverged";
  write(sweep,
        {member_result(0, {1e2}, {8}), member_result(2, {1e2, 1e4, 1e6}, {1, 2, 3}), failed});
  std::deque<DataGroup> groups;
  SweepStore store(sweep, groups);
  store.add(member_result(0, {1e2, 1e4}, {5, 6}));
  store.read(DataReader(path));
  EXPECT_EQ(store.progress().text(), "3 of 4 members, 1 of them failed");
  EXPECT_EQ(store.done(), (std::vector<double>{1, 0, 1, -1}));
  EXPECT_EQ(store.failures().at(3), "it failed in an earlier run");
  EXPECT_FALSE(store.progress().complete());
  EXPECT_FALSE(store.progress().all_failed());
  const SweepProgress there = SweepProgress::of(DataReader(path));
  EXPECT_EQ(there.text(), "3 of 4 members, 1 of them failed");
  const DataGroup& group = groups[1];
  EXPECT_EQ(group.dimension("dimension").values, (std::vector<double>{1e2, 1e4, 1e6}));
  const auto& x = group.variables[0].data;
  ASSERT_EQ(x.size(), 12u);
  for (const auto& [place, value] :
       std::map<std::size_t, double>{{0, 5}, {1, 6}, {6, 1}, {7, 2}, {8, 3}})
    EXPECT_EQ(x[place], value) << "what was there before stays";
  for (const std::size_t place : {2, 3, 4, 5, 9, 10, 11}) EXPECT_TRUE(std::isnan(x[place]));
  EXPECT_EQ(group.variables[1].data[2], 2);
  EXPECT_EQ(groups[0].variables[1].data[2], 1) << "seconds";
  // A second time nothing is new.
  store.read(DataReader(path));
  EXPECT_EQ(store.progress().done, 3);
  const Sweep other = sweep_of("[sweep]\n'start.seed' = [5, 6, 7, 8]\n");
  write(other, {});
  EXPECT_THROW(store.read(DataReader(path)), InputError);
  std::filesystem::remove(path);
}

/// A file that somebody has changed: fewer members in a group, or in all, than the sweep has.
TEST(SweepStore, refusesAFileOfAnotherShape) {
  const Sweep sweep = sweep_of("[sweep]\n'start.seed' = [1, 2, 3, 4]\n");
  const auto path =
      (std::filesystem::temp_directory_path() / ("shape." + std::to_string(getpid()))).string();
  for (const std::string shorter : {"saddle", "sweep"}) {
    DataFile content{.attributes = {}, .provenance = {{"sweep", sweep.text}}, .groups = {}};
    SweepStore whole(sweep, content.groups);
    whole.add(member_result(0, {1e2}, {8}));
    whole.add(member_result(3, {1e2}, {9}));
    for (DataGroup& group : content.groups)
      if (group.name == shorter) {
        group.dimensions[0].values.resize(2);
        for (Variable& one : group.variables) one.data.resize(2);
      }
    write_data_file(Communicator::self(), path, content);
    std::deque<DataGroup> groups;
    SweepStore store(sweep, groups);
    EXPECT_THROW(store.read(DataReader(path)), InputError) << shorter;
  }
  std::filesystem::remove(path);
}

TEST(SweepStore, refusesWhatCannotFit) {
  const Sweep sweep = sweep_of("[sweep]\nrepeats = 10000000\n");
  std::deque<DataGroup> groups;
  SweepStore store(sweep, groups);
  const std::vector<double> many(10'000'000);
  EXPECT_THROW(store.add(member_result(0, many, many)), InputError);
}

/// Series lose their time, measured times are left out, all else stays.
TEST(Sweep, aMemberKeepsItsLastValues) {
  const auto run = [](std::vector<double> times, std::vector<double> m) {
    return std::deque<DataGroup>{
        {"flow",
         {{.name = "time",
           .values = std::move(times),
           .unlimited = true,
           .units = "t",
           .long_name = "time"},
          {.name = "head", .values = {1, 2}, .long_name = "head"}},
         {{.name = "m", .axes = {"time", "head"}, .data = std::move(m), .long_name = "m"},
          {.name = "split_time", .axes = {"head"}, .data = {7, 8}, .long_name = ""},
          {.name = "speed", .axes = {}, .data = {9}, .long_name = "", .wall_time = true}}},
        {"bayes", {}, {{.name = "risk", .axes = {}, .data = {0.5}, .long_name = ""}}}};
  };
  const auto groups = last_values(run({0, 0.5, 2}, {1, 2, 3, 4, 5, 6}));
  ASSERT_EQ(groups.size(), 2u);
  ASSERT_EQ(groups[0].dimensions.size(), 1u);
  EXPECT_EQ(groups[0].dimensions[0].name, "head");
  const auto& variables = groups[0].variables;
  ASSERT_EQ(variables.size(), 3u);
  EXPECT_EQ(variables[0].axes, (std::vector<std::string>{"head"}));
  EXPECT_EQ(variables[0].data, (std::vector<double>{5, 6}));
  EXPECT_EQ(variables[1].data, (std::vector<double>{7, 8}));
  EXPECT_EQ(variables[2].name, "end_time");
  EXPECT_EQ(variables[2].data, (std::vector<double>{2}));
  EXPECT_EQ(groups[1].variables[0].data, (std::vector<double>{0.5}));
  const auto none = last_values(run({}, {}));
  EXPECT_TRUE(none[0].variables[0].data.empty());
  EXPECT_TRUE(std::isnan(none[0].variables[2].data[0]));
}

TEST(Sweep, aResultIsPackedAndUnpacked) {
  const MemberResult result{
      .member = 3,
      .seconds = 0.25,
      .failure = "it \xc3\xa4 failed",
      .groups = {{"flow",
                  {{.name = "head", .values = {1, 2}, .long_name = "head h"}},
                  {{.name = "b", .axes = {"head"}, .data = {-0.0, 1e-300}, .long_name = "bias"}}}}};
  const MemberResult back = MemberResult::unpacked(result.packed());
  EXPECT_EQ(back.member, 3);
  EXPECT_EQ(back.failure, result.failure);
  ASSERT_EQ(back.groups.size(), 1u);
  EXPECT_EQ(back.groups[0].dimensions[0].name, "head");
  EXPECT_EQ(back.groups[0].dimensions[0].long_name, "head h");
  EXPECT_TRUE(std::signbit(back.groups[0].variables[0].data[0]));
  EXPECT_EQ(back.groups[0].variables[0].data[1], 1e-300);
  EXPECT_EQ(back.packed(), result.packed());
}

}  // namespace
}  // namespace headflow
