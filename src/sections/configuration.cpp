#include "sections/configuration.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <vector>

#include "headflow/core/error.hpp"
#include "input/printer.hpp"
#include "sections/attention_section.hpp"
#include "sections/model_section.hpp"
#include "sections/output_section.hpp"
#include "sections/start_section.hpp"

namespace headflow {

Configuration::Configuration(const Communicator& comm, const InputRequest& request,
                             const toml::table& table)
    : comm_(comm), request_(request) {
  sections_.read(table, request.input);
  const auto alone = [](const auto& section) { return section->stands_alone(); };
  if (std::none_of(sections_.begin(), sections_.end(),
                   [&](const auto& section) { return alone(section) && section->given; }))
    (*std::find_if(sections_.begin(), sections_.end(), alone))->given = true;
  for (const auto& section : sections_) prepare(*section);
  model();
}

void Configuration::prepare(Section& section) {
  if (std::find(prepared_.begin(), prepared_.end(), &section) != prepared_.end()) return;
  prepared_.push_back(&section);
  section.prepare(*this);
}

const Model& Configuration::model() {
  if (model_) return *model_;
  const auto& attention = prepared<AttentionSection>();
  const Prior& prior = prepared<ModelSection>().prior();
  model_.emplace(attention.shape, attention.activation, prior,
                 prepared<StartSection>().start().spike_factor);
  model_->training = attention.training;
  model_->weight_decay = attention.weight_decay;
  return *model_;
}

std::string Configuration::resolved() const { return to_toml(sections_.views()); }

std::vector<std::string> Configuration::warnings() const {
  std::vector<std::string> warnings;
  for (const auto& section : sections_)
    if (auto warning = section->warning(); section->given && !warning.empty())
      warnings.push_back(std::move(warning));
  return warnings;
}

std::vector<std::string> Configuration::files() const {
  const std::string& output = this->output().path();
  std::vector<std::string> files = {output};
  for (const auto& section : sections_) {
    const auto own = section->files(output);
    if (section->given) files.insert(files.end(), own.begin(), own.end());
  }
  return files;
}

std::string read_text(const Communicator& comm, const std::string& path) {
  namespace fs = std::filesystem;
  std::string text;
  comm.on_root([&] {
    std::error_code error;
    if (!fs::exists(path, error))
      throw InputError("input file " + path +
                       (error ? " cannot be read: " + error.message() : " does not exist"));
    std::ifstream file(path);
    constexpr std::size_t most = std::size_t{1} << 28;  // a device may have no end
    std::vector<char> piece(1 << 16);
    while (
        text.size() <= most &&
        (file.read(piece.data(), static_cast<std::streamsize>(piece.size())) || file.gcount() > 0))
      text.append(piece.data(), static_cast<std::size_t>(file.gcount()));
    if (!file.eof() || fs::is_directory(path, error))
      throw InputError("input file " + path +
                       (text.size() > most ? " is larger than 256 MiB" : " cannot be read"));
  });
  return comm.broadcast(text);
}

}  // namespace headflow
