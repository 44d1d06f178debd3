// endpoints and deliveries.
#include "operator/cli/words.h"
#include "operator/commands/commands.h"

namespace sluice::operate {

namespace {

void add_endpoints(CLI::App& app, Invocation& invocation) {
  CLI::App* endpoints = add_group(app, "endpoints", "Webhook endpoints of the key's tenant");
  CLI::App* list = endpoints->add_subcommand("list", "Endpoints, and whether they work");
  const auto page = on_call<PageOptions>(*list, invocation, list_endpoints);
  add_paging(*list, page->limit, page->after);
  const auto add = [&](const char* name, const char* help, Status (*run)(Tool&, const std::string&)) {
    CLI::App* command = endpoints->add_subcommand(name, help);
    command
        ->add_option("ENDPOINT", *on_call<std::string>(*command, invocation, run), "Its id (endpoints list)")
        ->required();
  };
  add("show", "One endpoint, without its secret", show_endpoint);
  add("test", "Send it a test event", test_endpoint);
}

}  // namespace

void add_deliveries(CLI::App& app, Invocation& invocation) {
  add_endpoints(app, invocation);
  CLI::App* deliveries = add_group(app, "deliveries", "Webhook deliveries of the key's tenant");

  CLI::App* list = deliveries->add_subcommand("list", "The newest deliveries");
  const auto listed = on_call<DeliveryListOptions>(*list, invocation, list_deliveries);
  list->add_option("--status", listed->status, "Only these")
      ->check(CLI::IsMember({"pending", "delivered", "failed"}));
  list->add_option("--endpoint", listed->endpoint, "Only to this endpoint")->type_name("ID");
  list->add_option("--job", listed->job, "Only of this job")->type_name("ID");
  list->add_option("--event", listed->event, "Only of this event")->type_name("ID");
  add_paging(*list, listed->page.limit, listed->page.after);

  CLI::App* show = deliveries->add_subcommand("show", "One delivery with all its attempts");
  show->add_option("DELIVERY", *on_call<std::string>(*show, invocation, show_delivery), "Its id")->required();

  CLI::App* replay = deliveries->add_subcommand("replay", "Send one again, or all that failed since a time");
  const auto replayed = on_call<DeliveryReplayOptions>(*replay, invocation, replay_deliveries);
  replay->add_option("DELIVERY", replayed->id, "Its id");
  replay
      ->add_option("--since", replayed->since,
                   "All made then or later: 2h (ago), 2026-11-22T07:20 (UTC), @SECONDS")
      ->type_name("TIME");
  replay->add_option("--endpoint", replayed->endpoint, "With --since: only to this endpoint")
      ->type_name("ID");
  replay->add_flag("--any", replayed->any, "With --since: delivered ones, too");
  replay->add_option("--after", replayed->after, "With --since: go on after this one")->type_name("ID");
  add_yes(*replay, invocation);
}

}  // namespace sluice::operate
