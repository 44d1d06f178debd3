#include "common/text/chat_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "test_files.h"

namespace sluice {
namespace {

using nlohmann::ordered_json;
using testing::AllOf;
using testing::HasSubstr;

std::string rendered(std::string_view source, const ordered_json& messages, const RenderOptions& options) {
  const auto chat_template = ChatTemplate::parse(source);
  if (!chat_template) return "error: " + chat_template.error().message;
  const auto text = chat_template->render_marked(messages, options);
  return text ? text->text() : "error: " + text.error().message;
}

std::string rendered(std::string_view source, const ordered_json& extra = {}) {
  RenderOptions options;
  options.extra = extra;
  return rendered(source, ordered_json::array(), options);
}

// The outputs in the file are those of Jinja2 3.1, set up as chat templates are rendered with it.
TEST(ChatTemplate, RendersTheLanguageAsItsReferenceDoes) {
  const auto cases = ordered_json::parse(testing_text::test_data("jinja_cases.json"));
  RenderOptions options;
  options.bos_token = "<s>";
  options.eos_token = "</s>";
  options.extra = cases.at("variables");
  ASSERT_GT(cases.at("cases").size(), 150U);
  for (const auto& one : cases.at("cases")) {
    const auto source = one.at(0).get<std::string>();
    EXPECT_EQ(rendered(source, cases.at("messages"), options), one.at(1).get<std::string>()) << source;
  }
}

class Family : public testing::Test {
 protected:
  std::string render(const std::string& name, const ordered_json& messages, const ordered_json& extra = {},
                     bool add_generation_prompt = true) {
    RenderOptions options;
    options.bos_token = "<s>";
    options.eos_token = "</s>";
    options.extra = extra;
    options.add_generation_prompt = add_generation_prompt;
    return rendered(testing_text::test_data(name + ".jinja"), messages, options);
  }

  const ordered_json hello_ = {{{"role", "user"}, {"content", "Hi"}}};
  const ordered_json turns_ = {{{"role", "system"}, {"content", " Be brief. "}},
                               {{"role", "user"}, {"content", " 1+1? "}},
                               {{"role", "assistant"}, {"content", "<think>\nsum\n</think>\n\n2"}},
                               {{"role", "user"}, {"content", "and 2+2?"}}};
  const ordered_json calls_ = {{{"role", "user"}, {"content", "w?"}},
                               {{"role", "assistant"},
                                {"content", nullptr},
                                {"tool_calls", {{{"function", {{"name", "f"}, {"arguments", {{"x", 1}}}}}}}}},
                               {{"role", "tool"}, {"content", "r1"}},
                               {{"role", "tool"}, {"content", "r2"}}};
};

TEST_F(Family, Qwen25) {
  EXPECT_EQ(
      render("qwen2_5_like", hello_),
      "<|im_start|>system\nBe helpful.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(
      render("qwen2_5_like", turns_, {}, false),
      "<|im_start|>system\n Be brief. <|im_end|>\n<|im_start|>user\n 1+1? <|im_end|>\n"
      "<|im_start|>assistant\n<think>\nsum\n</think>\n\n2<|im_end|>\n<|im_start|>user\nand 2+2?<|im_end|>\n");
  const ordered_json tool = {{"type", "function"}, {"function", {{"name", "f"}, {"d", "é"}}}};
  EXPECT_EQ(render("qwen2_5_like", calls_, {{"tools", {tool}}}),
            "<|im_start|>system\nBe helpful.\n\n# Tools\n<tools>\n"
            "{\"type\": \"function\", \"function\": {\"name\": \"f\", \"d\": \"é\"}}\n</tools>\n"
            "Answer with {\"name\": <name>, \"arguments\": <json>}<|im_end|>\n"
            "<|im_start|>user\nw?<|im_end|>\n"
            "<|im_start|>assistant\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\": "
            "1}}\n</tool_call><|im_end|>\n"
            "<|im_start|>user\n<tool_response>\nr1\n</tool_response>\n<tool_response>\nr2\n</"
            "tool_response><|im_end|>\n"
            "<|im_start|>assistant\n");
}

TEST_F(Family, Qwen3) {
  EXPECT_EQ(
      render("qwen3_like", turns_),
      "<|im_start|>system\n Be brief. <|im_end|>\n<|im_start|>user\n 1+1? <|im_end|>\n"
      "<|im_start|>assistant\n2<|im_end|>\n<|im_start|>user\nand 2+2?<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(render("qwen3_like", hello_, {{"enable_thinking", false}}),
            "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n");
}

TEST_F(Family, Llama3) {
  EXPECT_EQ(render("llama3_like", turns_),
            "<s><|start_header_id|>system<|end_header_id|>\n\nToday Date: 26 Jul 2024\n\nBe brief.<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\n1+1?<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n<think>\nsum\n</think>\n\n2<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\nand 2+2?<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n");
  EXPECT_THAT(render("llama3_like", hello_, {{"date_string", "today"}}), HasSubstr("Today Date: today\n"));
  EXPECT_THAT(render("llama3_like", calls_), HasSubstr("Only plain turns are supported"));
}

TEST_F(Family, DeepSeekR1) {
  EXPECT_EQ(render("deepseek_r1_like", turns_),
            "<s> Be brief. <｜User｜> 1+1? <｜Assistant｜>\n\n2<｜end▁of▁sentence｜><｜User｜>and 2+2?"
            "<｜Assistant｜><think>\n");
  EXPECT_EQ(render("deepseek_r1_like", hello_, {}, false), "<s><｜User｜>Hi");
}

TEST_F(Family, DeepSeekLlm) {
  EXPECT_EQ(render("deepseek_llm_like", turns_),
            "<s> Be brief. \n\nUser:  1+1? \n\nAssistant: <think>\nsum\n</think>\n\n2</s>User: and "
            "2+2?\n\nAssistant:");
  EXPECT_EQ(render("deepseek_llm_like", hello_, {}, false), "<s>User: Hi\n\n");
}

TEST_F(Family, DeepSeekCoder) {
  EXPECT_EQ(render("deepseek_coder_like", hello_),
            "<s>You help with programs.\n### Instruction:\nHi\n### Response:\n");
  EXPECT_EQ(render("deepseek_coder_like", turns_),
            "<s> Be brief. ### Instruction:\n 1+1? \n### Response:\n<think>\nsum\n</think>\n\n2\n<|EOT|>\n"
            "### Instruction:\nand 2+2?\n### Response:\n");
}

TEST_F(Family, DeepSeekV3) {
  EXPECT_EQ(render("deepseek_v3_like", turns_),
            "<s> Be brief. <｜User｜> 1+1? <｜Assistant｜><think>\nsum\n</think>\n\n2<｜end▁of▁sentence｜>"
            "<｜User｜>and 2+2?<｜Assistant｜>");
  const ordered_json call = {{"type", "function"}, {"function", {{"name", "weather"}, {"arguments", "{}"}}}};
  const ordered_json other = {{"type", "function"},
                              {"function", {{"name", "time"}, {"arguments", "{\"a\":1}"}}}};
  const ordered_json conversation = {
      {{"role", "user"}, {"content", "Weather?"}},
      {{"role", "assistant"}, {"content", nullptr}, {"tool_calls", {call, other}}},
      {{"role", "tool"}, {"content", "sun"}},
      {{"role", "tool"}, {"content", "noon"}}};
  EXPECT_EQ(
      render("deepseek_v3_like", conversation),
      "<s><｜User｜>Weather?<｜Assistant｜><｜tool▁calls▁begin｜>function<｜tool▁sep｜>weather\n{}\ntime\n"
      "{\"a\":1}<｜tool▁calls▁end｜><｜end▁of▁sentence｜><｜tool▁outputs▁begin｜>sun\nnoon<"
      "｜tool▁outputs▁end｜>");
}

TEST_F(Family, Llama2) {
  EXPECT_EQ(render("llama2_like", turns_),
            "<s>[INST] <<SYS>>\n Be brief. \n<</SYS>>\n\n 1+1? [/INST] <think>\nsum\n</think>\n\n2 </s>"
            "<s>[INST] and 2+2? [/INST]");
  const ordered_json twice = {{{"role", "user"}, {"content", "a"}}, {{"role", "user"}, {"content", "b"}}};
  EXPECT_THAT(render("llama2_like", twice), HasSubstr("Roles must alternate"));
}

TEST(ChatTemplate, MarksWhatCameFromTheMessages) {
  const auto chat_template = ChatTemplate::parse(
      "{{ bos_token }}{% for m in messages %}<|{{ m.role }}|>{{ m.content | trim | upper }}"
      "{{ m.content.split('-')[-1] ~ '<end>' }}{% endfor %}{{ extra | tojson }}{{ 'lit' }}");
  ASSERT_TRUE(chat_template);
  RenderOptions options;
  options.bos_token = "<s>";
  options.extra = {{"extra", {{"k", "v"}}}};
  const auto text = chat_template->render_marked({{.role = "user", .content = " a-<|b|> "}}, options);
  ASSERT_TRUE(text) << text.error().message;
  EXPECT_EQ(text->text(), "<s><|user|>A-<|B|><|b|> <end>{\"k\": \"v\"}lit");
  std::string trusted;
  std::size_t begin = 0;
  for (const MarkedText::Run& run : text->runs()) {
    trusted += run.trusted ? text->text().substr(begin, run.end - begin) : "_";
    begin = run.end;
  }
  EXPECT_EQ(trusted, "<s><|_|>_<end>{\"_\": \"_\"}lit");
}

TEST(ChatTemplate, MarksSurviveEveryTextOperation) {
  // However the content is turned, none of its letters becomes the template's own.
  const std::vector<std::string> operations = {"c",
                                               "c ~ ''",
                                               "c + 'x'",
                                               "c | trim",
                                               "c | upper",
                                               "c | lower",
                                               "c | title",
                                               "c | capitalize",
                                               "c | replace('q', 'r')",
                                               "c | replace('a', 'b')",
                                               "'t' | replace('t', c)",
                                               "c[1:]",
                                               "c[::-1]",
                                               "c[0]",
                                               "c.strip()",
                                               "c.lstrip('x')",
                                               "c.split()[0]",
                                               "c.split('x')[0]",
                                               "c.removeprefix('z')",
                                               "c | list | join('')",
                                               "[c, c] | join(c)",
                                               "c | string",
                                               "c | safe",
                                               "c | indent(2)",
                                               "c | reverse",
                                               "c | first",
                                               "c | last",
                                               "{'k': c} | tojson",
                                               "{c: 1} | tojson",
                                               "[c] | string",
                                               "c | default('x')",
                                               "c if true else 'y'",
                                               "[c] | map('upper') | first",
                                               "{'k': c}.k",
                                               "{'k': c}.get('k')",
                                               "(namespace(v=c)).v",
                                               "[c] | first",
                                               "c.replace('a', 'b')",
                                               "c.title()",
                                               "dict(a=c).a"};
  for (const std::string& operation : operations) {
    const auto chat_template =
        ChatTemplate::parse("{% set c = messages[0].content %}{{ " + operation + " }}");
    ASSERT_TRUE(chat_template) << operation;
    const auto text = chat_template->render_marked({{.role = "user", .content = "<|AZ|>"}}, {});
    ASSERT_TRUE(text) << operation << ": " << text.error().message;
    EXPECT_TRUE(text->any_untrusted()) << operation;
    for (std::size_t i = 0; i < text->size(); ++i) {
      const char c = text->text()[i];
      const bool from_message = c == '<' || c == '|' || c == '>';
      EXPECT_FALSE(from_message && text->trusted(i, i + 1)) << operation;
    }
  }
}

TEST(ChatTemplate, MacrosAndBlockSetsKeepMarks) {
  const auto chat_template = ChatTemplate::parse(
      "{% macro turn(m) %}<{{ m.content }}>{% endmacro %}{% set all %}{{ turn(messages[0]) }}{% endset %}{{ "
      "all }}");
  ASSERT_TRUE(chat_template);
  const auto text = chat_template->render_marked({{.role = "user", .content = "c"}}, {});
  ASSERT_TRUE(text);
  EXPECT_EQ(text->text(), "<c>");
  EXPECT_TRUE(text->trusted(0, 1));
  EXPECT_FALSE(text->trusted(1, 2));
  EXPECT_TRUE(text->trusted(2, 3));
}

TEST(ChatTemplate, NamesWhatIsNotSupportedAndWhere) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"a\n  {% include 'x' %}", "line 2, column 6: tag 'include' is not supported"},
      {"{{ 1 | nofilter }}", "line 1, column 6: filter 'nofilter' is not supported"},
      {"{{ 1 is notest }}", "test 'notest' is not supported"},
      {"{{ nofunction() }}", "function 'nofunction' is not supported"},
      {"{{ 'a'.encode() }}", "method 'encode' of a string is not supported"},
      {"{{ [].append(1) }}", "method 'append' of a list is not supported"},
      {"{{ loop.x }}{% for i in [1] %}{{ loop.changed }}{% endfor %}", "'loop' is undefined"},
      {"{% for i in [1] %}{{ loop.changed }}{% endfor %}", "'loop.changed' is not supported"},
      {"{{ x.y }}", "'x' is undefined, so it has no 'y'"},
      {"{{ 'a' + x }}", "'x' is undefined"},
      {"{{ 'a' + 1 }}", "'+' can't be used between a string and a number"},
      {"{{ 'a' < 1 }}", "'<' can't compare a string with a number"},
      {"{{ 1 / 0 }}", "division by zero"},
      {"{{ 1 % 0 }}", "division by zero"},
      {"{{ 9223372036854775807 + 1 }}", "too large"},
      {"{{ 99999999999999999999 }}", "too large"},
      {"{% for i in 5 %}{% endfor %}", "a number can't be iterated over"},
      {"{% for i in none %}{% endfor %}", "none can't be iterated over"},
      {"{% for a, b in [[1]] %}{% endfor %}", "expected 2 values, not 1"},
      {"{% for i in [1] recursive %}{% endfor %}", "recursive"},
      {"{% set x.y = 1 %}", "'x' is not a namespace"},
      {"{{ 'a'|tojson(separators=1) }}", "separators"},
      {"{{ range|tojson }}", "a function can't be written as JSON"},
      {"{{ range }}", "a function has no text"},
      {"{{ {1: 2} }}", "keys other than strings"},
      {"{{ f(*x) }}", "'*' arguments"},
      {"{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}", "too many arguments"},
      {"{% macro m(a) %}{% endmacro %}{{ m(b=2) }}", "no parameter 'b'"},
      {"{{ 'a'|replace('', 'b') }}", "replacing an empty string"},
      {"{{ [1][::0] }}", "step is zero"},
      {"{{ range(0, 5, 0)|list }}", "step of zero"},
  };
  for (const auto& [source, message] : cases) {
    EXPECT_THAT(rendered(source), AllOf(HasSubstr("error: chat template: "), HasSubstr(message))) << source;
  }
}

TEST(ChatTemplate, RefusesBrokenSyntaxWithItsPlace) {
  for (const std::string source : {"{{",
                                   "{{ ",
                                   "{{ 1",
                                   "{{ 1 }",
                                   "{% if %}x{% endif %}",
                                   "{% if 1 %}",
                                   "{% endif %}",
                                   "{% for %}",
                                   "{% for x %}",
                                   "{{ 'a }}",
                                   "{# x",
                                   "{% raw %}x",
                                   "{{ ) }}",
                                   "{{ (1 }}",
                                   "{{ [1 }}",
                                   "{{ {1 }}",
                                   "{{ a b }}",
                                   "{{ 1 + }}",
                                   "{{ | trim }}",
                                   "{{ a. }}",
                                   "{{ a[ }}",
                                   "{{ a[] }}",
                                   "{{ a[1:2:3:4] }}",
                                   "{% set %}",
                                   "{% set x %}",
                                   "{% macro %}",
                                   "{% macro f( %}",
                                   "{% break %}",
                                   "{{ @ }}",
                                   "{{ 1x }}",
                                   "{{ '\\u12' }}",
                                   "{{ '\\ud800' }}",
                                   "{% else %}",
                                   "{% if 1 %}{% else %}{% else %}{% endif %}",
                                   "{{ f(a=1, 2) }}",
                                   "{%",
                                   "{%-",
                                   "{{-",
                                   "{{ a is }}",
                                   "{{ a not }}",
                                   "{{ é }}"}) {
    const auto parsed = ChatTemplate::parse(source);
    ASSERT_FALSE(parsed) << source;
    EXPECT_EQ(parsed.error().code, ErrorCode::kInvalid);
    EXPECT_THAT(parsed.error().message, HasSubstr("chat template: line 1, column ")) << source;
  }
}

TEST(ChatTemplate, RaiseExceptionKeepsMessagesOutOfTheError) {
  const auto chat_template =
      ChatTemplate::parse("{{ raise_exception('No ' ~ messages[0].content ~ ' please') }}");
  ASSERT_TRUE(chat_template);
  const auto text = chat_template->render({{.role = "user", .content = "secret"}}, {});
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().code, ErrorCode::kInvalid);
  EXPECT_THAT(text.error().message, AllOf(HasSubstr("No … please"), testing::Not(HasSubstr("secret"))));
}

TEST(ChatTemplate, ShowsTheTimeThatItIsGiven) {
  const auto chat_template =
      ChatTemplate::parse("{{ strftime_now('%d %b %Y') if strftime_now is defined else 'no' }}");
  ASSERT_TRUE(chat_template);
  RenderOptions options;
  EXPECT_EQ(*chat_template->render({}, options), "no");
  options.now = WallTime(std::chrono::seconds(1'700'000'000));
  EXPECT_EQ(*chat_template->render({}, options), "14 Nov 2023");
}

TEST(ChatTemplate, ExtraVariablesCannotReplaceItsOwn) {
  const auto chat_template = ChatTemplate::parse("{{ bos_token }}{{ messages|length }}{{ more }}");
  ASSERT_TRUE(chat_template);
  RenderOptions options;
  options.bos_token = "<s>";
  options.extra = {{"bos_token", "x"}, {"messages", {1, 2, 3}}, {"more", "m"}};
  EXPECT_EQ(*chat_template->render({}, options), "<s>0m");
  options.extra = 5;
  EXPECT_EQ(chat_template->render({}, options).error().code, ErrorCode::kInvalid);
}

// Each of these would run or grow without end, or nearly so.
TEST(ChatTemplate, HostileTemplatesEndSoon) {
  std::string chain = "{{ 1";
  for (int i = 0; i < 10000; ++i) chain += " + 1";
  std::string elifs = "{% if 0 %}";
  for (int i = 0; i < 20000; ++i) elifs += "{% elif 0 %}";
  const std::string deep(20000, '(');
  std::string blocks;
  for (int i = 0; i < 5000; ++i) blocks += "{% if 1 %}";
  const std::string nots = [] {
    std::string text = "{{ ";
    for (int i = 0; i < 5000; ++i) text += "not ";
    return text + "1 }}";
  }();
  const std::vector<std::string> sources = {
      "{% for a in range(100000000) %}{% endfor %}",
      "{% for a in range(9000) %}{% for b in range(9000) %}{% endfor %}{% endfor %}",
      "{% set ns = namespace(s='x') %}{% for a in range(100) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
      "{% set ns = namespace(s=[1]) %}{% for a in range(100) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
      "{% set ns = namespace(s=[1]) %}{% for a in range(100) %}{% set ns.s = [ns.s, ns.s] %}{% endfor %}{{ "
      "ns.s|tojson }}",
      "{% set ns = namespace(s=[1]) %}{% for a in range(1000) %}{% set ns.s = [ns.s] %}{% endfor %}{{ ns.s "
      "}}",
      "{% set ns = namespace(s=[1]) %}{% for a in range(1000) %}{% set ns.s = [ns.s] %}{% endfor %}{{ ns.s "
      "== [ns.s] }}",
      "{% set ns = namespace(s='aaaaaaaa') %}{% for a in range(50) %}{% set ns.s = ns.s|replace('a', ns.s) "
      "%}{% endfor %}",
      "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
      "{% macro m(n) %}{{ m(n) }}{{ m(n) }}{% endmacro %}{{ m(1) }}",
      "{% for a in range(3000) %}{% for b in range(3000) %}xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx{% endfor "
      "%}{% endfor %}",
      "{{ range(-9223372036854775807, 9223372036854775807)|list }}",
      "{% set ns = namespace(s='ab'*1) %}",
      "{{ 2 ** 9223372036854775807 }}",
      "{{ [[1]*1] }}",
      chain,
      chain + " }}",
      elifs,
      "{{ " + deep,
      "{{ " + std::string(20000, '['),
      "{{ " + std::string(20000, '{'),
      "{{ " + std::string(20000, '-') + "1 }}",
      nots,
      blocks,
      std::string(std::size_t{2} << 20, 'x'),
  };
  for (const std::string& source : sources) {
    EXPECT_THAT(rendered(source), testing::StartsWith("error: ")) << source.substr(0, 120);
  }
}

TEST(ChatTemplate, LongConversationsFitTheBudget) {
  const auto chat_template = ChatTemplate::parse(testing_text::test_data("qwen3_like.jinja"));
  ASSERT_TRUE(chat_template);
  std::vector<ChatMessage> messages;
  messages.reserve(5000);
  for (int i = 0; i < 5000; ++i)
    messages.push_back({i % 2 == 0 ? "user" : "assistant", std::string(200, 'x')});
  const auto text = chat_template->render(messages, {});
  ASSERT_TRUE(text) << text.error().message;
  EXPECT_GT(text->size(), 1'000'000U);
  const auto one = chat_template->render({{"user", std::string(8 << 20, 'y')}}, {});
  ASSERT_TRUE(one) << one.error().message;
  EXPECT_GT(one->size(), std::size_t{8} << 20);
}

}  // namespace
}  // namespace sluice
