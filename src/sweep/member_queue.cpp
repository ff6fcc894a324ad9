#include "sweep/member_queue.hpp"

#include <chrono>
#include <string>
#include <thread>
#include <utility>

namespace headflow {
namespace {

/// What a message is about is its first letter. To rank 0:
constexpr char want = 'w', result = 'r', please_stop = 's', out_of_work = 'o', closed = 'c';
/// To a leader: a member or none, for each `want`; and, once, the end.
constexpr char member = 'm', none = 'n', stop_now = 'S', all_done = 'D';

void wait_a_moment() { std::this_thread::sleep_for(std::chrono::microseconds(200)); }

}  // namespace

MemberQueue::MemberQueue(const Communicator& world, const Communicator& group, std::int64_t count,
                         std::function<void(const MemberResult&)> take)
    : world_(world), leads_(group.root()), count_(count), take_(std::move(take)), mailbox_(world) {
  const std::vector<double> leads = world.all_gather(std::vector<double>{leads_ ? 1.0 : 0.0});
  for (std::size_t rank = 1; rank < leads.size(); ++rank)
    if (leads[rank] != 0) leaders_.push_back(static_cast<int>(rank));
}

std::optional<std::int64_t> MemberQueue::next(const std::function<bool()>& must_stop) {
  if (world_.root()) {
    serve();
    if (ended_ != 0 || given_ == count_) return std::nullopt;
    return given_++;
  }
  if (!leads_ || ended_ != 0) return std::nullopt;
  mailbox_.send({want});
  while (true) {
    hear();
    if (ended_ != 0) return std::nullopt;
    if (const auto text = std::exchange(answer_, std::nullopt)) {
      if (text->at(0) == none) return std::nullopt;
      return std::stoll(text->substr(1));
    }
    if (must_stop()) stop();
    wait_a_moment();
  }
}

void MemberQueue::deliver(const MemberResult& done) {
  if (world_.root())
    take_(done);
  else if (leads_)
    mailbox_.send(result + done.packed());
}

void MemberQueue::serve() {
  if (leaders_.empty() || !world_.root()) return;  // asking MPI for mail costs as much as a step
  while (const auto message = mailbox_.receive()) handle(*message);
}

void MemberQueue::handle(const Mailbox::Message& message) {
  switch (message.text.at(0)) {
    case want:
      if (ended_ == 0)  // else the end is its answer
        mailbox_.send(given_ < count_ ? member + std::to_string(given_) : std::string{none},
                      message.from);
      if (ended_ == 0 && given_ < count_) ++given_;
      break;
    case result:
      take_(MemberResult::unpacked(message.text.substr(1)));
      break;
    case please_stop:
      end_all(stop_now);
      break;
    case out_of_work:
      ++out_;
      break;
    case closed:
      ++closed_;
      break;
  }
}

void MemberQueue::end_all(char how) {
  if (ended_ != 0) return;
  ended_ = how;
  for (const int leader : leaders_) mailbox_.send({how}, leader);
}

/// Of a leader: takes what has come, the end or the answer to its last `want`. An answer is kept
/// for next(), whoever hears it: `must_stop` may ask stopped() while next() waits.
void MemberQueue::hear() {
  while (const auto message = mailbox_.receive()) {
    if (message->text[0] == member || message->text[0] == none)
      answer_ = message->text;
    else
      ended_ = message->text[0];
  }
}

void MemberQueue::stop() {
  if (world_.root())
    end_all(stop_now);
  else if (leads_ && !std::exchange(asked_to_stop_, true))
    mailbox_.send({please_stop});
}

bool MemberQueue::stopped() {
  if (leads_elsewhere()) hear();
  return ended_ == 0 ? asked_to_stop_ : ended_ == stop_now;
}

void MemberQueue::close(const std::function<bool()>& must_stop) {
  if (leads_elsewhere()) {
    mailbox_.send({out_of_work});
    while (ended_ == 0) {
      hear();
      if (must_stop()) stop();
      wait_a_moment();
    }
    mailbox_.send({closed});
  } else if (world_.root()) {
    while (ended_ == 0 || closed_ < leaders_.size()) {
      serve();
      if (out_ == leaders_.size()) end_all(all_done);
      if (must_stop()) end_all(stop_now);
      wait_a_moment();
    }
  }
}

}  // namespace headflow
