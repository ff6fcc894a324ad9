#include "sections/run.hpp"

#include <fmt/format.h>

#include <cmath>
#include <span>
#include <utility>

#include "core/report.hpp"
#include "sections/population_section.hpp"

namespace headflow {
namespace {

std::string state_name(const std::string& section) { return section + "_state"; }

}  // namespace

Run::Run(const Communicator& comm, Configuration& input, DataFile& content, RunHost& host,
         const std::optional<Checkpoint>& from)
    : comm_(comm), input_(input), content_(content), host_(host), from_(from) {}

void Run::resume() {
  for (const auto& section : input_.sections()) {
    if (!section->given) continue;
    if (const Snapshot saved = saved_state(section->name()); !saved.empty()) {
      save(state_group(state_name(section->name()), saved));
      if (const double t = section->time_of(saved); !std::isnan(t))
        reached_.push_back(fmt::format("{} at t = {:.4g}", section->name(), t));
    }
    section->resume(*this);
  }
}

std::string Run::times_reached() const {
  return reached_.empty() ? "" : fmt::format(": {}", fmt::join(reached_, ", "));
}

bool Run::execute() {
  try {
    resume();
    if (from_ && talks())
      fmt::print("going on from {} (checkpoint number {}){}\n", from_->path, from_->number,
                 times_reached());
    for (const auto& section : input_.sections())
      if (section->given) section->run(*this);
    return true;
  } catch (const Interrupt&) {
    answer();
    return false;
  }
}

std::vector<DataGroup> Run::states() const {
  std::vector<DataGroup> states;
  for (const auto& section : input_.sections())
    if (const auto found = states_.find(state_name(section->name())); found != states_.end())
      states.push_back(found->second);
  return states;
}

Request Run::between_steps() { return pending_ = host_.between_steps(); }

void Run::within_step() {
  try {
    host_.within_step();
  } catch (const Interrupt&) {
    pending_ = Request::stop;
    throw;
  }
}

Request Run::WithoutState::between_steps() {
  const Request request = run_.between_steps();
  run_.answer();
  return request;
}

void Run::WithoutState::within_step() {
  if (between_steps() == Request::stop) throw Interrupt{};
}

void Run::save(DataGroup state) {
  const std::string name = state.name;
  states_[name] = std::move(state);
  answer();
}

void Run::warn(const std::string& text) {
  if (!comm_.root()) return;
  std::string& all = content_.provenance["warnings"];
  all += (all.empty() ? "" : "\n") + text;
  if (talks()) headflow::warn(text);
}

void Run::forget(const std::string& section) { states_.erase(state_name(section)); }

void Run::answer() {
  if (std::exchange(pending_, Request::none) != Request::none) host_.checkpoint(states());
}

PopulationLoss& Run::loss() {
  const auto& population = section<PopulationSection>();
  if (!loss_) loss_.emplace(comm_, model(), population.sampling, population.step_moments, *this);
  loss_->resample(0);
  return *loss_;
}

Snapshot Run::saved_state(const std::string& section) const {
  if (!from_) return {};
  Snapshot state;  // read by rank 0 alone: a thousand ranks would keep a disk busy
  comm_.on_root([&] { state = from_->snapshot(state_name(section)); });
  const std::size_t lists = comm_.broadcast(state.lists().size());
  auto own = state.lists().begin();
  for (std::size_t i = 0; i < lists; ++i) {
    const std::string name = comm_.broadcast(comm_.root() ? own->first : "");
    std::vector<double> values;
    if (comm_.root()) values = (own++)->second;
    values.resize(comm_.broadcast(values.size()));
    comm_.broadcast(std::span(values));
    if (!comm_.root()) state.put(name, std::move(values));
  }
  return state;
}

}  // namespace headflow
