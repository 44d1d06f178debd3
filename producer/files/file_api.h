// The routes of /v1/files.
//
// Handlers run on the server's handler threads and are safe for concurrent use. Everything in FileApiParts
// must outlive the server that serves the routes.
#pragma once

#include <chrono>

#include "common/base/clock.h"
#include "common/http/body_sink.h"
#include "common/http/router.h"
#include "common/ids/ids.h"
#include "common/store/file_store.h"
#include "producer/api/authenticator.h"
#include "producer/files/file_upload.h"
#include "producer/files/upload_slots.h"
#include "producer/metrics/producer_metrics.h"

namespace sluice::producer {

struct FileApiConfig {
  FileUploadConfig upload;
  int uploads_max = 16;           // At a time; more are 503. Each may hold 3 MiB.
  int uploads_of_tenant_max = 4;  // Each also holds a handler thread while its chunk is written.
  std::chrono::milliseconds call_timeout{5'000};
};

struct FileApiParts {
  FileStore& files;
  Authenticator& authenticator;
  const RequestClaims& claims;
  IdMaker& ids;
  Clock& clock;
};

class FileApi {
 public:
  FileApi(FileApiParts parts, FileApiConfig config, FileMetrics metrics);
  FileApi(const FileApi&) = delete;
  FileApi& operator=(const FileApi&) = delete;

  // The routes refer to this object.
  void add_routes(http::Router& router);

 private:
  http::OpenedBody open_upload(const http::RequestHead& head);
  http::Response list(const http::Request& request);
  http::Response get(const http::Request& request);
  http::Response remove(const http::Request& request);
  void content(const http::Request& request, const http::Responder& responder);

  Deadline call_deadline() const { return Deadline::in(parts_.clock, config_.call_timeout); }

  const FileApiParts parts_;
  const FileApiConfig config_;
  const FileMetrics metrics_;
  UploadSlots slots_;
};

}  // namespace sluice::producer
