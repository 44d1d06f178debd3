// The models that this producer takes jobs for, and how long a prompt is for each.
//
// Filled at start, then only read: safe for concurrent use.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/job/request.h"

namespace sluice::producer {

class ServedModel {
 public:
  virtual ~ServedModel() = default;
  virtual const std::string& name() const = 0;
  virtual std::int64_t context_tokens() const = 0;  // Prompt and answer together.
  // What of the model, beside its name, decides over its answers.
  virtual const std::string& revision() const = 0;
  // Obeys `parameters.fault`: the echo engine alone does.
  virtual bool takes_faults() const { return false; }
  // So many tokens the prompt has at least, told from its length alone: what is far too long needn't be cut
  // into tokens to be refused.
  virtual std::int64_t prompt_tokens_least(const JobRequest&) const { return 0; }
  // kInvalid: the model's chat template refuses the messages; the message says why.
  virtual Result<std::int64_t> count_prompt_tokens(const JobRequest& request) const = 0;
};

class ModelCatalog {
 public:
  // The first one added is the default.
  void add(std::unique_ptr<ServedModel> model) { models_.push_back(std::move(model)); }
  const ServedModel& default_model() const { return *models_.front(); }
  // Null: there is no such model.
  const ServedModel* find(std::string_view name) const;
  const std::vector<std::unique_ptr<ServedModel>>& all() const { return models_; }

 private:
  std::vector<std::unique_ptr<ServedModel>> models_;
};

// Answers with the prompt. Counts words, as its engine does.
std::unique_ptr<ServedModel> make_echo_model(std::string name = "echo");
// Name, context, tokenizer and chat template of a model file. Errors as ModelText::open.
Result<std::unique_ptr<ServedModel>> open_model_file(const std::string& path);

}  // namespace sluice::producer
