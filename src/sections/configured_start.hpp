#pragma once
#include <string>
#include <vector>

#include "headflow/core/mpi.hpp"
#include "headflow/model/prior.hpp"
#include "headflow/model/start.hpp"
#include "input/input_keys.hpp"

namespace headflow {

/// A start and, where it is the last state of another output, that run's id.
struct EarlierRun {
  Start start;
  std::string run_id;
};

/// The start that [start] describes. Collective. Throws InputError.
EarlierRun start_of(const Communicator& comm, const StartKeys& keys, const Shape& shape,
                    const Prior& prior);

/// K, b, v of `count` random starts with consecutive seeds, for the key `who`. Collective. Throws
/// InputError when [start] is not random, or its spikes differ from seed to seed.
std::vector<Parameters> random_starts(const Communicator& comm, const InputKeys& keys,
                                      const Shape& shape, const Prior& prior, std::int64_t count,
                                      const char* who);

}  // namespace headflow
