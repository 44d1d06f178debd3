// Files: upload, list, page through, retrieve, read, delete.
import assert from "node:assert/strict";
import { createReadStream, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const line = (text) => JSON.stringify({ custom_id: text, method: "POST", url: "/v1/chat/completions", body: {} }) + "\n";

async function rejected(promise) {
  return promise.then(
    () => assert.fail("it was not refused"),
    (error) => error,
  );
}

export const cases = {
  async "files.a buffer comes back as it was sent"({ client, sdk }) {
    const contents = Buffer.from(line("é") + line("b"));
    const file = await client.files.create({
      file: await sdk.toFile(contents, "requests.jsonl"),
      purpose: "batch",
      expires_after: { anchor: "created_at", seconds: 3600 },
    });
    assert.match(file.id, /^file-/);
    assert.deepEqual(
      { object: file.object, bytes: file.bytes, filename: file.filename, purpose: file.purpose, status: file.status },
      { object: "file", bytes: contents.length, filename: "requests.jsonl", purpose: "batch", status: "processed" },
    );
    assert.equal(file.expires_at - file.created_at, 3600);
    assert.deepEqual(await client.files.retrieve(file.id), file);
    const answer = await client.files.content(file.id);
    assert.deepEqual(Buffer.from(await answer.arrayBuffer()), contents);
    if (client.files.waitForProcessing) assert.equal((await client.files.waitForProcessing(file.id)).id, file.id);
  },

  async "files.a file on disk is streamed, and parts of it are read"({ client }) {
    const folder = mkdtempSync(join(tmpdir(), "sluice-clients-"));
    try {
      const path = join(folder, "large.jsonl");
      const contents = line("x".repeat(200)).repeat(20_000);
      writeFileSync(path, contents);
      const file = await client.files.create({ file: createReadStream(path), purpose: "batch" });
      assert.equal(file.filename, "large.jsonl");
      assert.equal(file.bytes, contents.length);
      const answer = await client.files.content(file.id, { headers: { Range: "bytes=1000000-1000099" } });
      assert.equal(answer.status, 206);
      assert.equal(await answer.text(), contents.slice(1_000_000, 1_000_100));
      assert.equal((await (await client.files.content(file.id)).text()).length, contents.length);
    } finally {
      rmSync(folder, { recursive: true });
    }
  },

  async "files.lists go on over pages"({ client, sdk, mark }) {
    const made = [];
    for (let i = 0; i < 5; ++i) {
      const file = await client.files.create({ file: await sdk.toFile(Buffer.from("x\n"), `${mark}.txt`), purpose: "user_data" });
      made.push(file.id);
    }
    const seen = [];
    for await (const file of client.files.list({ limit: 2, purpose: "user_data" })) {
      assert.equal(file.purpose, "user_data");
      if (file.filename === `${mark}.txt`) seen.push(file.id);
    }
    assert.deepEqual(seen, made.toReversed());
    let page = await client.files.list({ limit: 3, order: "asc", after: made[0] });
    const rest = page.data.map((file) => file.id);
    while (page.hasNextPage()) {
      page = await page.getNextPage();
      rest.push(...page.data.map((file) => file.id));
    }
    assert.deepEqual(rest.filter((id) => made.includes(id)), made.slice(1));
  },

  async "files.a deleted one is gone, and nobody else's is there"({ client, other, sdk }) {
    const file = await client.files.create({ file: await sdk.toFile(Buffer.from("x\n"), "x"), purpose: "batch" });
    for (const call of [() => other.files.retrieve(file.id), () => other.files.content(file.id), () => other.files.delete(file.id)]) {
      assert.ok((await rejected(call())) instanceof sdk.OpenAI.NotFoundError);
    }
    assert.deepEqual((await other.files.list()).data, []);
    assert.deepEqual(await client.files.delete(file.id), { id: file.id, object: "file", deleted: true });
    const error = await rejected(client.files.retrieve(file.id));
    assert.ok(error instanceof sdk.OpenAI.NotFoundError);
    assert.equal(error.code, "file_not_found");
  },

  async "files.what is wrong with one is named"({ client, sdk }) {
    const file = await sdk.toFile(Buffer.from("x\n"), "x");
    for (const [body, code, param] of [
      [{ file, purpose: "fine-tune" }, "invalid_value", "purpose"],
      [{ file: await sdk.toFile(Buffer.from(""), "x"), purpose: "batch" }, "empty_file", "file"],
      [{ file, purpose: "batch", expires_after: { anchor: "created_at", seconds: 1 } }, "invalid_value", "expires_after[seconds]"],
    ]) {
      const error = await rejected(client.files.create(body));
      assert.ok(error instanceof sdk.OpenAI.BadRequestError, String(error));
      assert.deepEqual([error.status, error.code, error.param, error.type], [400, code, param, "invalid_request_error"]);
    }
  },
};
