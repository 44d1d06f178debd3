// Drives a running service with one version of OpenAI's client, as its users do:
//
//   SLUICE_URL=… SLUICE_API_KEY=… node suite.mjs openai-v6 [CASE…]
//
// One line of JSON for each case: {"case", "ok", "error"}. SLUICE_READ_KEY is a key of the same tenant that may only read,
// SLUICE_OTHER_KEY one of another tenant, SLUICE_LIMITED_KEY one that is allowed 2 looks at the models in an hour, and one at the
// files in a second.
import { cases as files } from "./files.mjs";
import { cases as models } from "./models.mjs";
import { cases as errors } from "./errors.mjs";
import { cases as batches } from "./batches.mjs";
import { cases as completions } from "./completions.mjs";
import { cases as limits } from "./limits.mjs";
import { cases as streams } from "./streams.mjs";

const [version, ...wanted] = process.argv.slice(2);
const sdk = await import(version);
const url = process.env.SLUICE_URL;
const connect = (apiKey, options = {}) =>
  new sdk.OpenAI({ apiKey, baseURL: `${url}/v1`, maxRetries: 0, timeout: 60_000, ...options });
const world = {
  sdk,
  url,
  connect,
  client: connect(process.env.SLUICE_API_KEY),
  readOnly: connect(process.env.SLUICE_READ_KEY),
  other: connect(process.env.SLUICE_OTHER_KEY),
  limited: (options) => connect(process.env.SLUICE_LIMITED_KEY, options),
  // Tells what this run made from what others did.
  mark: `${version}-${process.pid}`,
};

let failed = 0;
for (const [name, run] of Object.entries({ ...files, ...models, ...errors, ...batches, ...completions, ...streams, ...limits })) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  let error = null;
  try {
    await run(world);
  } catch (thrown) {
    error = String(thrown?.stack ?? thrown);
    failed += 1;
  }
  console.log(JSON.stringify({ case: name, ok: error === null, error }));
}
process.exitCode = failed > 0 ? 1 : 0;
