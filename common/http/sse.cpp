#include "common/http/sse.h"

#include <utility>

namespace sluice::http {

namespace {

constexpr std::string_view kHeartbeat = ": \n\n";

std::string_view one_line(std::string_view text) {
  constexpr std::string_view kEnds("\r\n\0", 3);
  return text.substr(0, text.find_first_of(kEnds));
}

void append_data(std::string_view data, std::string& out) {
  for (;;) {
    const std::size_t end = data.find_first_of("\r\n");
    out.append("data: ").append(data.substr(0, end)).append("\n");
    if (end == std::string_view::npos) return;
    const bool pair = data[end] == '\r' && end + 1 < data.size() && data[end + 1] == '\n';
    data.remove_prefix(end + (pair ? 2 : 1));
  }
}

}  // namespace

Response sse_head() {
  Response head{.status = 200, .headers = {}, .body = {}};
  head.headers.add("Content-Type", "text/event-stream");
  head.headers.add("Cache-Control", "no-cache");
  head.headers.add("X-Accel-Buffering", "no");
  return head;
}

std::optional<ResponseStream> open_sse(const Responder& responder, Response head,
                                       std::size_t queue_bytes_max) {
  return responder.stream(std::move(head),
                          {.queue_bytes_max = queue_bytes_max, .heartbeat = std::string(kHeartbeat)});
}

std::string sse_event(const SseEvent& event) {
  std::string out;
  out.reserve(event.data.size() + event.id.size() + event.event.size() + 32);
  if (const std::string_view id = one_line(event.id); !id.empty()) out.append("id: ").append(id).append("\n");
  if (const std::string_view name = one_line(event.event); !name.empty()) {
    out.append("event: ").append(name).append("\n");
  }
  append_data(event.data, out);
  out.append("\n");
  return out;
}

}  // namespace sluice::http
