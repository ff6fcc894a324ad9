#pragma once
#include "sgd/overlap_kernel.hpp"
#include "sgd/sgd_engine.hpp"

namespace headflow {

/// SGD by OverlapKernel. Up to lane_count replicas form a pack and advance together, lane by lane.
/// The sequences of a batch are leaves of a binary tree: node i of level l holds the sequences [i
/// 2^l, (i + 1) 2^l), and is the merge of nodes 2i and 2i + 1 of the level below (of the last node
/// of a level, if it has no sibling, with nothing), with random numbers of its own address. Ranks
/// take blocks of sequences, merge what they can, and share the few nodes that are left; so neither
/// ranks nor packs change any bit. Memory grows with the logarithm of the batch.
class OverlapSgd : public SgdEngine {
 public:
  /// As make_sgd_engine.
  OverlapSgd(const Communicator& comm, const SgdProblem& problem,
             const std::vector<Parameters>& first, IndexRange replicas);

  using SgdEngine::advance;
  void advance(std::int64_t step, const std::function<void(const SgdProgress&)>& report,
               StepQuestions& questions) override;
  Parameters parameters(std::size_t i) const override;
  /// K, b, v.
  std::vector<double> numbers(std::size_t i) const override;
  void restore(std::size_t i, std::int64_t step, std::span<const double> numbers,
               const SavedWeights&) override;

  /// As sgd_messages.
  static SgdMessages messages(const SgdProblem& problem, std::int64_t replicas, int ranks);
  /// Bytes for `replicas` replicas of `problem`.
  static double bytes(const SgdProblem& problem, std::int64_t replicas);

 private:
  using Real = OverlapKernel::Real;
  static constexpr int lanes = OverlapKernel::lanes;

  /// Some replicas, one in each lane: number `first` and those after it, from this rank's first.
  struct Pack {
    std::int64_t first = 0;
    int count = 0;
    std::int64_t steps = 0;
    AlignedVector<Real> state{};
  };
  /// Terms of `count` consecutive nodes of a level, for each replica of a pack: node i of replica r
  /// is item (i - first) * replicas + r, and lies in lane item % lanes of vector item / lanes.
  struct Level {
    std::int64_t first = 0;
    std::int64_t count = 0;
    AlignedVector<Real> terms{};
  };
  /// One node, a replica in each lane.
  struct Node {
    int level = 0;
    std::int64_t index = 0;
    AlignedVector<Real> term{};
  };

  void step(Pack& pack, StepQuestions& questions);
  void compute_leaves(const Pack& pack, std::int64_t first, std::int64_t count);
  /// nodes_ becomes the level above `level`.
  void merge_level(const Pack& pack, int level);
  /// Adds a node to those in tree_, which come in the order of their sequences, and merges
  /// siblings.
  void add(const Pack& pack, Node node);
  /// Merges the last node with the one before it, its sibling, or (`alone`) with nothing.
  void merge_last(const Pack& pack, bool alone);
  /// Exchanges the largest nodes of each rank's share of `blocks` nodes of that level: on entry
  /// tree_ holds those of this rank, on return all, in the order of their sequences.
  void share(const Pack& pack, std::int64_t blocks, int level);
  void finish(Pack& pack, const Real* term);
  double& state(std::size_t i, int number);
  double state(std::size_t i, int number) const;

  const Communicator& comm_;
  OverlapKernel kernel_;
  std::vector<double> limits_;  // of |k_h|, by run
  std::vector<Pack> packs_;
  Level nodes_, above_;
  std::vector<Node> tree_;
  AlignedVector<Real> gathered_, before_, nothing_;
};

}  // namespace headflow
