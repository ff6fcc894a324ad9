#include "sgd/overlap_sgd.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>

#include "headflow/core/error.hpp"

namespace headflow {
namespace {

constexpr int block_level = 6;  // sequences that are merged before the next are computed: 64

/// The level of the root of a tree with that many leaves.
int root_level(std::int64_t leaves) {
  return static_cast<int>(std::bit_width(static_cast<std::uint64_t>(leaves - 1)));
}

/// The level of the blocks that ranks share: small enough to feed all of them; the root's where
/// talking would take longer than computing, and every rank does it all.
int level_of_blocks(std::int64_t batch, int ranks, int replicas) {
  constexpr std::int64_t least_items = 32;  // sequences times replicas for each rank
  const int root = std::min(root_level(batch), block_level);
  if (ranks == 1) return root;
  if (batch * replicas < least_items * ranks) return root_level(batch);
  const auto fair = static_cast<std::uint64_t>(std::max<std::int64_t>(1, batch / (4 * ranks)));
  return std::min(root, static_cast<int>(std::bit_width(fair)) - 1);
}

/// The most levels above its own that a node may have which begins at `first` and ends by `end`.
int aligned_level(std::int64_t first, std::int64_t end) {
  int level = 0;
  while (first % (std::int64_t{2} << level) == 0 && first + (std::int64_t{2} << level) <= end)
    ++level;
  return level;
}

}  // namespace

OverlapSgd::OverlapSgd(const Communicator& comm, const SgdProblem& problem,
                       const std::vector<Parameters>& first, IndexRange replicas)
    : SgdEngine(problem, replicas), comm_(comm), kernel_(problem) {
  const auto fields = static_cast<std::size_t>(kernel_.replica_size());
  for (std::int64_t i = 0; i < replicas.size(); i += lanes)
    packs_.push_back({.first = i,
                      .count = static_cast<int>(std::min<std::int64_t>(lanes, replicas.size() - i)),
                      .state = AlignedVector<Real>(fields)});
  for (std::int64_t i = 0; i < replicas.size(); ++i) {
    const auto& own = first[first.size() > 1 ? static_cast<std::size_t>(replicas.begin + i) : 0];
    restore(static_cast<std::size_t>(i), 0, own.numbers(), {});
    limits_.push_back(problem.weight_limit(own));
  }
}

double& OverlapSgd::state(std::size_t i, int number) {
  auto& pack = packs_[i / lanes];
  return reinterpret_cast<double*>(
      pack.state.data())[static_cast<std::size_t>(number) * lanes + i % lanes];
}

double OverlapSgd::state(std::size_t i, int number) const {
  return packs_[i / lanes].state[static_cast<std::size_t>(number)][i % lanes];
}

std::vector<double> OverlapSgd::numbers(std::size_t i) const {
  std::vector<double> numbers;
  for (int k = 0; k < kernel_.replica_size(); ++k) numbers.push_back(state(i, k));
  return numbers;
}

void OverlapSgd::restore(std::size_t i, std::int64_t step, std::span<const double> numbers,
                         const SavedWeights&) {
  for (int k = 0; k < kernel_.replica_size(); ++k)
    state(i, k) = numbers[static_cast<std::size_t>(k)];
  runs_[i].steps = packs_[i / lanes].steps = step;
}

Parameters OverlapSgd::parameters(std::size_t i) const {
  const Shape& shape = problem_.model.shape;
  Parameters parameters = Parameters::from_numbers(numbers(i), shape);
  // From the triangle to the symmetric root, which is what SGD in R^D gives.
  const Matrix u = parameters.K.rightCols(shape.heads);
  parameters.K.rightCols(shape.heads) = symmetric_root(u * u.transpose());
  return parameters;
}

void OverlapSgd::compute_leaves(const Pack& pack, std::int64_t first, std::int64_t count) {
  const std::int64_t vectors = divided_up(count * pack.count, lanes);
  const auto fields = static_cast<std::size_t>(kernel_.replica_size());
  const auto term = static_cast<std::size_t>(kernel_.term_size());
  nodes_.first = first;
  nodes_.count = count;
  nodes_.terms.resize(static_cast<std::size_t>(vectors) * term);
  gathered_.resize(fields);
  OverlapKernel::Address address;
  address.step = static_cast<std::uint64_t>(pack.steps);
  for (std::int64_t vector = 0; vector < vectors; ++vector) {
    for (int lane = 0; lane < lanes; ++lane) {
      const std::int64_t item = std::min(vector * lanes + lane, count * pack.count - 1);
      const auto own = static_cast<std::size_t>(lane);
      const auto replica = item % pack.count;
      address.replica[own] = static_cast<std::uint32_t>(replicas_.begin + pack.first + replica);
      address.item[own] = static_cast<std::uint64_t>(first + item / pack.count);
      if (pack.count == lanes) continue;
      for (std::size_t k = 0; k < fields; ++k) gathered_[k][lane] = pack.state[k][replica];
    }
    kernel_.sequence(address, pack.count == lanes ? pack.state.data() : gathered_.data(),
                     &nodes_.terms[static_cast<std::size_t>(vector) * term]);
  }
}

void OverlapSgd::merge_level(const Pack& pack, int level) {
  const auto term = static_cast<std::size_t>(kernel_.term_size());
  above_.first = nodes_.first / 2;
  above_.count = divided_up(nodes_.count, 2);
  const std::int64_t items = above_.count * pack.count;
  const std::int64_t vectors = divided_up(items, lanes);
  above_.terms.resize(static_cast<std::size_t>(vectors) * term);
  gathered_.resize(2 * term);
  OverlapKernel::Address address;
  address.step = static_cast<std::uint64_t>(pack.steps);
  for (std::int64_t vector = 0; vector < vectors; ++vector) {
    for (int lane = 0; lane < lanes; ++lane) {
      const std::int64_t item = std::min(vector * lanes + lane, items - 1);
      const auto own = static_cast<std::size_t>(lane);
      const std::int64_t replica = item % pack.count;
      const std::int64_t node = item / pack.count;
      address.replica[own] = static_cast<std::uint32_t>(replicas_.begin + pack.first + replica);
      address.item[own] = static_cast<std::uint64_t>(level + 1) << 32 |
                          static_cast<std::uint64_t>(above_.first + node);
      for (const std::int64_t child : {2 * node, 2 * node + 1}) {
        Real* to = &gathered_[static_cast<std::size_t>(child % 2) * term];
        if (child == nodes_.count) {  // the last node of a level is then merged with nothing
          for (std::size_t k = 0; k < term; ++k) to[k][lane] = 0;
          continue;
        }
        const std::int64_t from = child * pack.count + replica;
        const Real* terms = &nodes_.terms[static_cast<std::size_t>(from / lanes) * term];
        for (std::size_t k = 0; k < term; ++k) to[k][lane] = terms[k][from % lanes];
      }
    }
    kernel_.merge(address, gathered_.data(), &gathered_[term],
                  &above_.terms[static_cast<std::size_t>(vector) * term]);
  }
  std::swap(nodes_, above_);
}

void OverlapSgd::merge_last(const Pack& pack, bool alone) {
  const std::size_t first = tree_.size() - (alone ? 1 : 2);
  Node& node = tree_[first];
  OverlapKernel::Address address;
  address.step = static_cast<std::uint64_t>(pack.steps);
  ++node.level;
  node.index /= 2;
  for (int lane = 0; lane < lanes; ++lane) {
    const auto own = static_cast<std::size_t>(lane);
    address.replica[own] =
        static_cast<std::uint32_t>(replicas_.begin + pack.first + std::min(lane, pack.count - 1));
    address.item[own] =
        static_cast<std::uint64_t>(node.level) << 32 | static_cast<std::uint64_t>(node.index);
  }
  gathered_ = node.term;
  nothing_.assign(node.term.size(), Real{});
  kernel_.merge(address, gathered_.data(), alone ? nothing_.data() : tree_.back().term.data(),
                node.term.data());
  if (!alone) tree_.pop_back();
}

void OverlapSgd::add(const Pack& pack, Node node) {
  tree_.push_back(std::move(node));
  const auto siblings = [&] {
    if (tree_.size() < 2) return false;
    const Node& last = tree_.back();
    const Node& before = tree_[tree_.size() - 2];
    return last.level == before.level && last.index % 2 == 1 && before.index == last.index - 1;
  };
  while (siblings()) merge_last(pack, false);
}

void OverlapSgd::share(const Pack& pack, std::int64_t blocks, int level) {
  std::vector<double> mine;
  for (const Node& node : tree_)
    for (const Real& value : node.term)
      for (int lane = 0; lane < pack.count; ++lane) mine.push_back(value[lane]);
  const std::vector<double> all = comm_.all_gather(mine);
  tree_.clear();
  const double* from = all.data();
  for (int rank = 0; rank < comm_.size(); ++rank) {
    const IndexRange range = local_range(rank, blocks, comm_.size());
    for (std::int64_t first = range.begin; first < range.end;) {
      const int above = aligned_level(first, range.end);
      Node node{.level = level + above,
                .index = first >> above,
                .term = AlignedVector<Real>(static_cast<std::size_t>(kernel_.term_size()))};
      for (Real& value : node.term)
        for (int lane = 0; lane < pack.count; ++lane) value[lane] = *from++;
      add(pack, std::move(node));
      first += std::int64_t{1} << above;
    }
  }
}

void OverlapSgd::step(Pack& pack, StepQuestions& questions) {
  const std::int64_t batch = problem_.batch;
  const int level = level_of_blocks(batch, comm_.size(), pack.count);
  const std::int64_t size = std::int64_t{1} << level;
  const std::int64_t blocks = divided_up(batch, size);
  const bool alone = comm_.size() == 1 || blocks == 1;
  const IndexRange mine =
      alone ? IndexRange{0, blocks} : local_range(comm_.rank(), blocks, comm_.size());
  const std::int64_t at_once = std::int64_t{1} << block_level;
  tree_.clear();
  for (std::int64_t first = mine.begin * size; first < std::min(batch, mine.end * size);) {
    const std::int64_t count = std::min({at_once, size, batch - first});
    compute_leaves(pack, first, count);
    const int reached = std::min(level, block_level);
    for (int below = 0; below < reached; ++below) merge_level(pack, below);
    const auto term = nodes_.terms.begin();
    add(pack, {.level = reached,
               .index = nodes_.first,
               .term = AlignedVector<Real>(term, term + kernel_.term_size())});
    first += count;
    questions.worked(count);
  }
  questions.end_step();
  if (!alone) share(pack, blocks, level);
  while (tree_.size() > 1 || tree_[0].level < root_level(batch)) {
    merge_last(pack, true);
    if (tree_.size() < 2) continue;
    Node last = std::move(tree_.back());
    tree_.pop_back();
    add(pack, std::move(last));
  }
  finish(pack, tree_[0].term.data());
  ++pack.steps;
}

void OverlapSgd::finish(Pack& pack, const Real* term) {
  const Shape& shape = problem_.model.shape;
  before_ = pack.state;
  const auto batch = static_cast<double>(problem_.batch);
  kernel_.update(pack.steps, term, pack.state.data());
  for (int lane = 0; lane < pack.count; ++lane) {
    const auto i = static_cast<std::size_t>(pack.first + lane);
    Progress& run = runs_[i];
    double largest = 0;
    double sum = term[0][lane];  // of all numbers: not finite if one of them is not
    for (int h = 0; h < shape.heads; ++h) {
      double square = 0;
      for (int c = 0; c < shape.coordinates(); ++c) {
        const double x = state(i, h * shape.coordinates() + c);
        square += x * x;
      }
      largest = std::max(largest, std::sqrt(square));
      sum += square + state(i, shape.heads * shape.coordinates() + h);
    }
    sum += state(i, kernel_.replica_size() - 1);
    if (run.failure.empty() && std::isfinite(sum) && largest <= limits_[i]) {
      run.batch_loss = term[0][lane] / batch;
      run.loss_sum += run.batch_loss;
      ++run.steps;
      continue;
    }
    for (std::size_t k = 0; k < before_.size(); ++k) pack.state[k][lane] = before_[k][lane];
    if (!run.failure.empty()) continue;
    fail(i, std::isfinite(sum) ? fmt::format("|k| = {:.3g} is beyond {:.3g}", largest, limits_[i])
                               : "the gradient of a batch is not finite");
  }
}

void OverlapSgd::advance(std::int64_t step, const std::function<void(const SgdProgress&)>& report,
                         StepQuestions& questions) {
  for (Pack& pack : packs_) {
    const auto begin = runs_.begin() + pack.first;
    while (pack.steps < step) {
      const auto run = std::find_if(begin, begin + pack.count,
                                    [](const Progress& p) { return p.failure.empty(); });
      if (run == begin + pack.count) break;
      this->step(pack, questions);
      report({problem_.time(run->steps), run->batch_loss, run->steps});
    }
  }
}

SgdMessages OverlapSgd::messages(const SgdProblem& problem, std::int64_t replicas, int ranks) {
  if (level_of_blocks(problem.batch, ranks,
                      static_cast<int>(std::min<std::int64_t>(replicas, lanes))) ==
      root_level(problem.batch))
    return {};
  // The sizes, then the largest nodes of this rank's share: one or two.
  const double term = 8.0 * OverlapKernel(problem).term_size();
  const auto packs = static_cast<double>(divided_up(replicas, lanes));
  return {.calls = 2 * packs, .bytes = ranks * (8 * packs + term * static_cast<double>(replicas))};
}

double OverlapSgd::bytes(const SgdProblem& problem, std::int64_t replicas) {
  const OverlapKernel kernel(problem);
  const std::int64_t leaves = std::min(problem.batch, std::int64_t{1} << block_level) *
                              std::min<std::int64_t>(replicas, lanes);
  return kernel.bytes() +
         8.0 * kernel.term_size() *
             static_cast<double>(2 * leaves + lanes * (4 + root_level(problem.batch))) +
         (8.0 * kernel.replica_size() + 64) * static_cast<double>(replicas + lanes);
}

}  // namespace headflow
