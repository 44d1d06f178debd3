#include "producer/files/file_api.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "common/http/error_response.h"
#include "common/http/multipart.h"
#include "producer/api/answers.h"
#include "producer/api/webhook_answers.h"
#include "producer/files/byte_range.h"
#include "producer/files/file_names.h"
#include "producer/files/file_query.h"

namespace sluice::producer {

namespace {

using nlohmann::json;

// Of a form beside its file.
constexpr std::size_t kFormBytes = 64 * 1024;
constexpr int kBusyRetryS = 5;

json file_json(const FileInfo& file) {
  return {{"id", file.id.value},
          {"object", "file"},
          {"bytes", file.bytes},
          {"created_at", seconds_or_null(file.created_us)},
          {"expires_at", seconds_or_null(file.expires_us)},
          {"filename", file.filename},
          {"purpose", file.purpose},
          {"status", "processed"},
          {"status_details", nullptr}};
}

// The same for an unknown id and one of somebody else.
http::Response no_such_file() {
  return http::error_response(404, http::error_type::kNotFound, "file_not_found", "There is no such file.",
                              "id");
}

http::Response file_failure(const Error& error) {
  return error.code == ErrorCode::kNotFound ? no_such_file() : store_failure(error);
}

std::optional<FileId> file_id_of(const http::RequestHead& head) {
  const std::string_view id = head.path_param("id");
  if (!is_well_formed_id(id, FileIdTag::kPrefix)) return std::nullopt;
  return FileId{std::string(id)};
}

// A request's body on its way through the parser of forms into an upload.
class UploadSink final : public http::BodySink {
 public:
  UploadSink(std::string_view boundary, FileUpload upload, UploadSlots::Slot slot, const FileMetrics& metrics)
      : upload_(std::move(upload)), parser_(boundary, upload_), slot_(std::move(slot)), metrics_(metrics) {}

  std::optional<http::Response> take(std::string_view piece) override {
    metrics_.upload_bytes.add(piece.size());
    const Status taken = parser_.push(piece);
    if (taken) return std::nullopt;
    return refuse(upload_.refusal(taken.error()));
  }

  void finish(http::Request, http::Responder responder) override {
    if (const Status whole = parser_.finish(); !whole) {
      http::Response answer = refuse(upload_.refusal(whole.error()));
      upload_.abandon();
      responder.send(std::move(answer));
      return;
    }
    auto done = upload_.finish();
    if (!done) {
      responder.send(refuse(done.error()));
      return;
    }
    metrics_.uploads.with({"stored"}).add();
    responder.send(http::json_response(200, file_json(*done)));
  }

  void aborted() override {
    if (!refused_) metrics_.uploads.with({"aborted"}).add();
    upload_.abandon();
  }

 private:
  http::Response refuse(UploadRefusal refusal) {
    refused_ = true;
    metrics_.uploads.with({"refused"}).add();
    metrics_.upload_refusals.with({refusal.code}).add();
    return std::move(refusal.response);
  }

  FileUpload upload_;
  http::MultipartParser parser_;
  UploadSlots::Slot slot_;
  const FileMetrics& metrics_;
  bool refused_ = false;
};

}  // namespace

FileApi::FileApi(FileApiParts parts, FileApiConfig config, FileMetrics metrics)
    : parts_(parts),
      config_(config),
      metrics_(std::move(metrics)),
      slots_(config.uploads_max, config.uploads_of_tenant_max, metrics_.uploads_running) {}

void FileApi::add_routes(http::Router& router) {
  using http::Method;
  const auto route = [this](Scope scope) {
    http::Route route;
    route.authenticate = parts_.authenticator.require(scope);
    return route;
  };
  const auto add = webhook_routes(router, parts_.authenticator, this);
  http::Route upload = route(kScopeSubmit);
  upload.body_max = config_.upload.bytes_max + kFormBytes;
  upload.content_type = "multipart/form-data";
  upload.open_body = [this](const http::RequestHead& head) { return open_upload(head); };
  router.add(Method::kPost, "/v1/files", std::move(upload));
  add(Method::kGet, "/v1/files", kScopeRead, 0, &FileApi::list, true);
  add(Method::kGet, "/v1/files/{id}", kScopeRead, 0, &FileApi::get);
  add(Method::kDelete, "/v1/files/{id}", kScopeSubmit, 0, &FileApi::remove);
  http::Route contents = route(kScopeRead);
  contents.handler = [this](http::Request request, http::Responder responder) {
    if (const auto query = read_no_query(request); !query) {
      responder.send(bad_query(query.error()));
      return;
    }
    content(request, responder);
  };
  router.add(Method::kGet, "/v1/files/{id}/content", std::move(contents));
}

http::OpenedBody FileApi::open_upload(const http::RequestHead& head) {
  const auto refuse = [this](std::string code, http::Response response) {
    metrics_.uploads.with({"refused"}).add();
    metrics_.upload_refusals.with({std::move(code)}).add();
    return tl::unexpected<http::Response>(std::move(response));
  };
  if (const auto query = read_no_query(head); !query) {
    return refuse("invalid_query_parameter", bad_query(query.error()));
  }
  const auto type = head.headers.get("Content-Type");
  const auto boundary = http::multipart_boundary(type.value_or(""));
  if (!boundary) {
    return refuse("invalid_multipart",
                  http::error_response(400, http::error_type::kInvalidRequest, "invalid_multipart",
                                       "The Content-Type must be multipart/form-data with a boundary: " +
                                           boundary.error().message + "."));
  }
  auto key = parts_.claims.named(head);
  if (!key) return refuse("invalid_idempotency_key", std::move(key.error()));
  std::optional<FileUpload::Claim> claim;
  if (*key) claim = FileUpload::Claim{std::move(**key), &parts_.claims};
  const TenantId& tenant = tenant_of(head);
  auto slot = slots_.take(tenant);
  if (!slot) {
    return refuse("too_many_uploads",
                  http::busy_response(503, "too_many_uploads", "Too many files are being uploaded just now.",
                                      kBusyRetryS));
  }
  return std::make_unique<UploadSink>(
      *boundary,
      FileUpload(parts_.files, parts_.ids.make<FileId>(shard_of_tenant(tenant)), tenant, config_.upload,
                 parts_.clock, std::move(claim)),
      std::move(*slot), metrics_);
}

http::Response FileApi::list(const http::Request& request) {
  auto filter = read_file_query(request);
  if (!filter) return bad_query(filter.error());
  filter->tenant = tenant_of(request);
  const int limit = filter->limit++;  // One more tells whether there are more.
  const auto found = parts_.files.list(*filter, call_deadline());
  if (!found) return file_failure(found.error());
  return list_of<FileInfo>(*found, limit, file_json);
}

http::Response FileApi::get(const http::Request& request) {
  const auto id = file_id_of(request);
  if (!id) return no_such_file();
  const auto file = parts_.files.get(tenant_of(request), *id, call_deadline());
  if (!file) return file_failure(file.error());
  return http::json_response(200, file_json(*file));
}

http::Response FileApi::remove(const http::Request& request) {
  const auto id = file_id_of(request);
  if (!id) return no_such_file();
  const Status removed = parts_.files.remove(tenant_of(request), *id, call_deadline());
  if (!removed) return file_failure(removed.error());
  return http::json_response(200, {{"id", id->value}, {"object", "file"}, {"deleted", true}});
}

void FileApi::content(const http::Request& request, const http::Responder& responder) {
  const auto id = file_id_of(request);
  const auto file = id ? parts_.files.get(tenant_of(request), *id, call_deadline())
                       : Result<FileInfo>(fail(ErrorCode::kNotFound, ""));
  if (!file) {
    responder.send(file_failure(file.error()));
    return;
  }
  // Contents never change, so the id is the version.
  const std::string etag = "\"" + id->value + "\"";
  http::Response head;
  if (has_version(request.headers, etag)) {
    head.status = 304;
    head.headers.set("ETag", etag);
    responder.send(std::move(head));
    return;
  }
  const RangeAnswer chosen = choose_range(request, file->bytes, etag);
  if (chosen.status == 416) {
    head = http::error_response(416, http::error_type::kInvalidRequest, "range_not_satisfiable",
                                "The file ends before the range that was asked for.");
    head.headers.set("Content-Range", chosen.header);
    responder.send(std::move(head));
    return;
  }
  head.status = chosen.status;
  head.headers.set("Content-Type", "application/octet-stream");
  head.headers.set("X-Content-Type-Options", "nosniff");
  head.headers.set("Content-Disposition", content_disposition(file->filename));
  head.headers.set("Accept-Ranges", "bytes");
  head.headers.set("Cache-Control", "private, no-cache");
  head.headers.set("ETag", etag);
  if (!chosen.header.empty()) head.headers.set("Content-Range", chosen.header);
  responder.send_from(
      std::move(head),
      [this, file = *file, at = chosen.range.offset,
       end = chosen.range.offset + chosen.range.length](std::size_t wanted) mutable -> Result<std::string> {
        if (at >= end) return std::string();
        const std::size_t length = std::min<std::uint64_t>(wanted, end - at);
        SLUICE_ASSIGN(std::string bytes,
                      parts_.files.read(file.tenant, file.id, at, length, call_deadline()));
        at += bytes.size();
        metrics_.content_bytes.add(bytes.size());
        return bytes;
      },
      chosen.range.length);
}

}  // namespace sluice::producer
