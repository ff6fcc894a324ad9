#pragma once
#include <optional>
#include <string>
#include <vector>

#include "headflow/core/mpi.hpp"
#include "headflow/flow/flow.hpp"
#include "headflow/saddle/linear_growth.hpp"
#include "input/input_keys.hpp"
#include "sweep/sweep.hpp"
#include "headflow/sgd/run_sgd.hpp"
#include "headflow/train/minimise.hpp"

namespace headflow {

/// What the command line adds to an input file.
struct InputRequest {
  std::string input;                   ///< path of the TOML file
  std::vector<std::string> overrides;  ///< "section.key=value"
  std::string output;                  ///< path of the output, or empty
};

/// SGD as the input describes it.
struct SgdConfiguration {
  SgdProblem problem;
  SgdOptions options;
};

/// [saddle]: the flow on the unspecialized manifold, and for which D times are predicted from heads
/// of norm eta.
struct SaddleConfiguration {
  LinearGrowthOptions options;
  std::vector<double> dimensions;
  double eta;
};

/// [train]: minimisation from several starts, or from the end of the flow.
struct TrainConfiguration {
  bool from_flow;
  std::vector<Parameters> starts;
  MinimiseOptions options;
};

/// [bayes]: the Bayes risk to that standard error, with so many samples at most.
struct BayesConfiguration {
  double standard_error;
  std::int64_t samples;
};

/// [maps]: attention on so many sequences.
struct MapsConfiguration {
  std::int64_t sequences;
  std::uint64_t seed;
};

/// A checked input: everything that a computation needs, immutable and the same on every rank.
struct Configuration {
  Shape shape;
  Activation activation;
  Prior prior;  ///< law of theta
  Start start;
  std::string restarted_from;  ///< id of the run whose last state is the start, or empty
  Sampling sampling;
  Sampling test_sampling;           ///< fresh samples, for what has been trained
  std::optional<FlowOptions> flow;  ///< at least one of these five
  std::optional<SgdConfiguration> sgd;
  std::optional<SaddleConfiguration> saddle;
  std::optional<TrainConfiguration> train;
  std::optional<BayesConfiguration> bayes;
  bool prune;  ///< these two need flow or train
  std::optional<MapsConfiguration> maps;
  double split_threshold;   ///< spread of m_{.f} over heads at which feature f counts as split
  std::string output;       ///< path of the output file
  double output_every;      ///< seconds between its updates
  double checkpoint_every;  ///< seconds between checkpoints
  int checkpoints_kept;
  Sweep sweep;           ///< [sweep]: this input is the base of its members
  std::string resolved;  ///< every key with its value, as TOML

  /// Paths of the files that the run writes: the output, then those of SGD's weights.
  std::vector<std::string> files() const;
  /// OUTPUT.weights-STEP.h5.
  std::string weights_file(std::int64_t step) const;

  /// The law of the signal as the heads see it, S' theta.
  Prior signal() const { return prior.transformed(start.spike_factor.transpose()); }
};

/// The text of a file, read by rank 0. Collective. Throws InputError.
std::string read_text(const Communicator& comm, const std::string& path);

/// Checks the input whose file has that text. A `member` of a sweep has no [sweep] of its own; its
/// changes are among the overrides. Collective. Throws InputError.
Configuration configuration_of(const Communicator& comm, const InputRequest& request,
                               const std::string& text, bool member = false);

/// Reads and checks the whole input; the file is read by rank 0. Collective. Throws InputError.
Configuration read_configuration(const Communicator& comm, const InputRequest& request);

/// Throws InputError when the output exists (unless `force`), is the input or no file, or its
/// folder is not there or not writable. Collective.
void require_writable_output(const Communicator& comm, const std::string& path,
                             const std::string& input, bool force);

}  // namespace headflow
