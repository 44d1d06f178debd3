// A model file made ready: its memory map, its text side (vocabulary, template), its weights, and the threads
// that compute with it.
//
// prepare(), text(), tokenizer() and weight_type() may be used from any thread; model() and context() belong
// to one thread at a time.
#pragma once

#include <memory>
#include <string>

#include "common/base/result.h"
#include "common/text/gguf.h"
#include "common/text/model_file.h"
#include "worker/engine/engine.h"
#include "worker/model/model.h"
#include "worker/ops/context.h"

namespace sluice {

struct ModelOptions {
  std::string path;
  std::size_t threads = 0;  // Threads that compute, the owner's included; 0: one for each usable CPU.
  std::string kernels;      // Those of this name (kernels::kernel_sets()); empty: the fastest for this CPU.
};

// The names that ModelOptions::kernels can have on this CPU, the fastest first: "avx2, portable".
std::string usable_kernels();

class LoadedModel {
 public:
  // kNotFound, kUnavailable: the file can't be read. kInvalid: something in it isn't supported, or the
  // options are wrong. kCorrupt: it contradicts itself. The message begins with the path.
  static Result<std::unique_ptr<LoadedModel>> load(const ModelOptions& options);
  // Another file of `first`'s model, to be computed with the same threads and kernels, by turns: both belong
  // to the same thread. May outlive `first`. kInvalid also: it is another model, or has another vocabulary.
  static Result<std::unique_ptr<LoadedModel>> load_beside(const LoadedModel& first, const std::string& path);
  ~LoadedModel();
  LoadedModel(const LoadedModel&) = delete;
  LoadedModel& operator=(const LoadedModel&) = delete;

  const GgufFile& file() const { return file_; }
  const ModelText& text() const { return text_; }
  const Tokenizer& tokenizer() const { return text_.tokenizer(); }
  model::Model& model() const { return *model_; }
  const ops::Context& context() const { return context_; }

  std::string weight_type() const;  // The type that most of the weights' bytes have.

  // As Engine::prepare, but without a limit on the length.
  Result<Prompt> prepare(const PromptInput& input) const;

 private:
  LoadedModel(GgufFile file, ModelText text, const kernels::KernelSet& kernels,
              std::shared_ptr<ops::ThreadPool> pool);
  static Result<std::unique_ptr<LoadedModel>> load(const std::string& path, const kernels::KernelSet& kernels,
                                                   std::shared_ptr<ops::ThreadPool> pool);

  GgufFile file_;
  ModelText text_;
  const std::shared_ptr<ops::ThreadPool> pool_;
  ops::Context context_;
  std::unique_ptr<model::Model> model_;
};

}  // namespace sluice
