// Internal to the sender: one POST on one libcurl handle, from its options to its report.
#pragma once

#include <curl/curl.h>

#include <memory>
#include <string>

#include "callback/sender/curl_sender.h"

namespace sluice::callback {

// Used by the sender's thread alone.
class Transfer {
 public:
  Transfer(SendRequest request, Sender::Done done, const SenderConfig& config, const Clock& clock)
      : request_(std::move(request)), done_(std::move(done)), config_(config), clock_(clock) {}
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;

  // Makes the handle ready. kInvalid: this can't be sent at all. kNotFound: the host has no address. Others:
  // ours.
  Status prepare(Resolver& resolver);
  CURL* handle() const { return easy_.get(); }
  // Reports how it went; call once.
  void finish(CURLcode code);
  void finish(AttemptFailure failure, const std::string& error);

 private:
  struct FreeEasy {
    void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
  };
  struct FreeList {
    void operator()(curl_slist* list) const { curl_slist_free_all(list); }
  };
  using ListPtr = std::unique_ptr<curl_slist, FreeList>;

  static std::size_t on_body(char* data, std::size_t size, std::size_t count, void* self);
  static std::size_t on_header(char* data, std::size_t size, std::size_t count, void* self);
  static curl_socket_t on_socket(void* self, curlsocktype purpose, curl_sockaddr* address);
  static Status append(ListPtr& list, const std::string& text);
  Status pin(Resolver& resolver);
  AttemptReport report(CURLcode code) const;

  SendRequest request_;
  Sender::Done done_;
  const SenderConfig& config_;
  const Clock& clock_;
  SteadyTime started_{};
  // The lists must outlive the handle that uses them.
  ListPtr headers_;
  ListPtr pinned_;
  std::unique_ptr<CURL, FreeEasy> easy_;

  std::string response_;
  std::string retry_after_;
  std::size_t response_bytes_ = 0;
  std::size_t header_bytes_ = 0;
  bool response_cut_ = false;
  bool header_too_long_ = false;
  int sockets_opened_ = 0;
  std::string_view refusal_;  // Why the last address was refused; empty: none was.
};

}  // namespace sluice::callback
