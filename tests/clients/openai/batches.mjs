// Batches: to completion, refused, cancelled, and pages of more than a hundred.
import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";

const endpoint = "/v1/chat/completions";
const over = ["completed", "failed", "expired", "cancelled"];
const line = (id, more = {}) => ({
  custom_id: id,
  method: "POST",
  url: endpoint,
  body: { model: "echo", messages: [{ role: "user", content: `answer to ${id}` }], ...more },
});

async function begun({ client, sdk }, lines, more = {}) {
  const text = lines.map((one) => (typeof one === "string" ? one : JSON.stringify(one))).join("\n");
  const file = await client.files.create({ file: await sdk.toFile(Buffer.from(text), "in.jsonl"), purpose: "batch" });
  return client.batches.create({ input_file_id: file.id, endpoint, completion_window: "24h", ...more });
}

async function until(client, batch, states) {
  const deadline = Date.now() + 90_000;
  while (!states.includes(batch.status)) {
    assert.ok(Date.now() < deadline, `${batch.id} stays ${batch.status}`);
    await pause(50);
    batch = await client.batches.retrieve(batch.id);
  }
  return batch;
}

async function lines(client, id) {
  const text = await (await client.files.content(id)).text();
  return text.trimEnd().split("\n").map((one) => JSON.parse(one));
}

export const cases = {
  async "batches.every line ends in one of two files"(world) {
    const { client } = world;
    const asked = Array.from({ length: 20 }, (_, i) => line(`line-${i}`, i === 7 ? { fault: "permanent" } : {}));
    const batch = await begun(world, asked, { metadata: { who: "me" } });
    assert.deepEqual([batch.object, batch.endpoint, batch.metadata], ["batch", endpoint, { who: "me" }]);
    const done = await until(client, batch, over);
    assert.equal(done.status, "completed", JSON.stringify(done.errors));
    assert.deepEqual(done.request_counts, { total: 20, completed: 19, failed: 1 });
    const good = await lines(client, done.output_file_id);
    const bad = await lines(client, done.error_file_id);
    assert.deepEqual(bad.map((one) => one.custom_id), ["line-7"]);
    assert.equal(new Set([...good, ...bad].map((one) => one.custom_id)).size, 20);
    for (const one of good) {
      assert.equal(one.response.status_code, 200);
      assert.equal(one.response.body.choices[0].message.content, `answer to ${one.custom_id}`);
    }
  },

  async "batches.bad lines are told by their numbers"(world) {
    const batch = await begun(world, [line("a"), "no json", line("a")]);
    const done = await until(world.client, batch, over);
    assert.equal(done.status, "failed");
    assert.deepEqual(done.errors.data.map((error) => error.line), [2, 3]);
  },

  async "batches.a cancelled one keeps what was done"(world) {
    const { client } = world;
    const asked = [line("quick"), ...Array.from({ length: 5 }, (_, i) => line(`slow-${i}`, { fault: "slow", fault_ms: 600_000 }))];
    let batch = await until(client, await begun(world, asked), ["in_progress"]);
    while (batch.request_counts.completed === 0) {
      await pause(50);
      batch = await client.batches.retrieve(batch.id);
    }
    const cancelling = await client.batches.cancel(batch.id);
    assert.ok(["cancelling", "cancelled"].includes(cancelling.status), cancelling.status);
    const done = await until(client, cancelling, over);
    assert.equal(done.status, "cancelled");
    assert.deepEqual(done.request_counts, { total: 6, completed: 1, failed: 5 });
    assert.deepEqual((await lines(client, done.output_file_id)).map((one) => one.custom_id), ["quick"]);
    const bad = await lines(client, done.error_file_id);
    assert.deepEqual(new Set(bad.map((one) => one.error.code)), new Set(["batch_cancelled"]));
  },

  async "batches.pages go on over more than a hundred"(world) {
    const { client } = world;
    const known = new Set();
    for await (const batch of client.batches.list({ limit: 100 })) known.add(batch.id);
    const file = await client.files.create({ file: await world.sdk.toFile(Buffer.from(JSON.stringify(line("x"))), "x"), purpose: "batch" });
    while (known.size < 105) {
      const some = Array.from({ length: Math.min(15, 105 - known.size) }, () =>
        client.batches.create({ input_file_id: file.id, endpoint, completion_window: "24h" }),
      );
      for (const batch of await Promise.all(some)) known.add(batch.id);
    }
    for (const limit of [undefined, 50]) {
      const seen = [];
      for await (const batch of client.batches.list({ limit })) seen.push(batch.id);
      assert.deepEqual(new Set(seen), known);
      assert.equal(seen.length, known.size);
    }
  },

  async "batches.nobody else's is there"(world) {
    const { client, other, sdk } = world;
    const batch = await begun(world, [line("mine")]);
    for (const call of [() => other.batches.retrieve(batch.id), () => other.batches.cancel(batch.id)]) {
      await assert.rejects(call, (error) => error instanceof sdk.OpenAI.NotFoundError);
    }
    assert.deepEqual((await other.batches.list()).data, []);
    await until(client, batch, ["completed"]);
    await assert.rejects(
      client.batches.create({ input_file_id: "file-none", endpoint, completion_window: "24h" }),
      (error) => error instanceof sdk.OpenAI.APIError && [400, 404].includes(error.status) && error.param === "input_file_id",
    );
  },
};
