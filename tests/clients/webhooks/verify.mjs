// Reads {secret, headers, body} and says what the libraries that receivers use make of it: the event's id, and which of
// them refuse the same delivery with one byte changed.
import OpenAI from "openai";
import { Webhook } from "standardwebhooks";
import { readFileSync } from "node:fs";

const { secret, headers, body } = JSON.parse(readFileSync(0, "utf8"));
const openai = new OpenAI({ apiKey: "unused", webhookSecret: secret });
const standard = new Webhook(secret);
const forged = body.replace('"object":"event"', '"object":"Event"');
if (forged === body) throw new Error("nothing was changed");

const refused = [];
await openai.webhooks.unwrap(forged, headers).catch(() => refused.push("openai"));
try {
  standard.verify(forged, headers);
} catch {
  refused.push("standardwebhooks");
}
const unwrapped = await openai.webhooks.unwrap(body, headers);
console.log(JSON.stringify({ openai: unwrapped.id, standardwebhooks: standard.verify(body, headers).id, forged: refused }));
