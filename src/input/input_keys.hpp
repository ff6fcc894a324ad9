#pragma once
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "headflow/model/shape.hpp"

namespace headflow {

// The words of the input file. Each section is one struct, and each key is declared once, in
// visit_keys below, with its range and its line of help: reading, checking, --help and the resolved
// input all walk through that declaration.

struct ModelKeys {
  std::int64_t tokens = 0;
  std::int64_t features = 0;
  std::string prior;
  std::optional<std::vector<double>> signal;
  std::optional<Matrix> atoms;
  std::optional<std::vector<double>> weights;
  std::optional<std::vector<double>> mean;
  std::optional<Matrix> covariance;
};

struct AttentionKeys {
  std::int64_t heads = 0;
  std::string activation = "softmax";
};

struct StartKeys {
  std::optional<double> dimension;
  std::string spikes = "finite";
  std::optional<double> noise;
  double eta = 1;
  std::optional<Matrix> m;
  std::optional<Matrix> r;
  std::optional<std::vector<double>> b;
  std::optional<double> v;
  std::optional<std::string> file;
  bool bayes = false;
  std::int64_t seed = 1;
};

struct PopulationKeys {
  std::int64_t samples = 65536;
  std::string sampling = "sobol";
  std::int64_t replicates = 8;
  std::int64_t seed = 1;
  std::optional<std::int64_t> test_samples;
  bool symmetric = false;
  std::string precision = "double";
  double memory = 4;
  std::int64_t resample = 0;
};

/// A number, or a word that stands for one.
using NumberOrWord = std::variant<double, std::string>;

struct FlowKeys {
  bool given = false;  ///< whether the input has the section
  std::optional<double> end_time;
  std::string method = "5dp";
  double tolerance = 1e-6;
  double step = 0.1;
  std::int64_t outputs = 200;
  std::string spacing = "linear";
  std::optional<std::vector<double>> output_times;
  NumberOrWord learning_rate_noise = 0.0;
  double split_threshold = 0.3;
  double stop_gradient_norm = 0;
};

struct SgdKeys {
  bool given = false;
  std::string engine = "auto";
  std::int64_t dimension = 0;
  std::int64_t batch = 0;
  double learning_rate = 0;
  std::optional<double> end_time;
  std::optional<std::int64_t> steps;
  std::int64_t replicas = 1;
  std::string starts = "shared";
  std::string reduction = "exact";
  std::int64_t outputs = 100;
  std::string spacing = "linear";
  std::optional<std::vector<double>> output_times;
  std::int64_t seed = 1;
  bool save_weights = false;
  std::optional<std::vector<double>> weights_times;
};

struct SaddleKeys {
  bool given = false;
  std::optional<double> end_time;
  double gradient_tolerance = 1e-5;
  std::optional<std::vector<double>> dimensions;
};

struct TrainKeys {
  bool given = false;
  std::string from = "start";
  std::int64_t starts = 5;
  double gradient_tolerance = 1e-6;
  std::int64_t evaluations = 20000;
};

struct BayesKeys {
  bool given = false;
  double standard_error = 1e-5;
  std::int64_t samples = std::int64_t{1} << 26;
};

struct PruneKeys {
  bool given = false;
};

struct MapsKeys {
  bool given = false;
  std::int64_t sequences = 4;
  std::int64_t seed = 1;
};

struct OutputKeys {
  std::optional<std::string> file;
  double every = 5;
  double checkpoint_every = 600;
  std::int64_t checkpoints_kept = 2;
};

struct InputKeys {
  ModelKeys model;
  AttentionKeys attention;
  StartKeys start;
  PopulationKeys population;
  FlowKeys flow;
  SgdKeys sgd;
  SaddleKeys saddle;
  TrainKeys train;
  BayesKeys bayes;
  PruneKeys prune;
  MapsKeys maps;
  OutputKeys output;
};

/// A key's place in the file and what the user should know of it.
struct Key {
  const char* name;
  const char* help;
  bool required = false;
};

/// Allowed numbers; an open end excludes the bound itself.
struct Range {
  double least = -std::numeric_limits<double>::infinity();
  double most = std::numeric_limits<double>::infinity();
  bool open_below = false;
};

using Choices = std::vector<std::string>;

/// One walk over all keys. `section` comes before the keys of a section; a section that may be left
/// out has a flag that says whether it is there.
class KeyVisitor {
 public:
  virtual ~KeyVisitor() = default;
  virtual void section(const char* name, const char* help, bool* given = nullptr) = 0;
  virtual void key(const Key&, bool&) = 0;
  virtual void key(const Key&, std::int64_t&, const Range&) = 0;
  virtual void key(const Key&, std::optional<std::int64_t>&, const Range&) = 0;
  virtual void key(const Key&, double&, const Range&) = 0;
  virtual void key(const Key&, NumberOrWord&, const Range&, const Choices& words) = 0;
  virtual void key(const Key&, std::optional<double>&, const Range&) = 0;
  virtual void key(const Key&, std::string&, const Choices&) = 0;
  virtual void key(const Key&, std::optional<std::string>&) = 0;
  virtual void key(const Key&, std::optional<std::vector<double>>&, const Range&) = 0;
  virtual void key(const Key&, std::optional<Matrix>&) = 0;
};

/// Shows every section and key of `keys` to `visitor`.
void visit_keys(InputKeys& keys, KeyVisitor& visitor);

/// Reads TOML `text`, with `overrides` like "flow.end_time=50" on top. `name` is the file's name
/// for messages. Throws InputError: syntax with line, unknown section or key with the nearest known
/// one, wrong type, value out of range.
InputKeys read_keys(const std::string& text, const std::string& name,
                    const std::vector<std::string>& overrides);

/// All keys that have a value, as TOML.
std::string to_toml(InputKeys keys);

/// The reference of all keys: type, default, range, help.
std::string describe_keys();

}  // namespace headflow
