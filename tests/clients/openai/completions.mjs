// Chat completions, completions and responses: plain, in the background, refused, failed, and repeated by the client itself.
import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";

const model = "echo";
const messages = [{ role: "user", content: "say this" }];

export const cases = {
  async "chat.a completion is answered and can be fetched again"({ client }) {
    const { data, response } = await client.chat.completions.create({ model, messages }).withResponse();
    assert.deepEqual([data.object, data.model, data.choices[0].finish_reason], ["chat.completion", model, "stop"]);
    assert.deepEqual([data.choices[0].message.role, data.choices[0].message.content], ["assistant", "say this"]);
    assert.equal(data.usage.total_tokens, data.usage.prompt_tokens + data.usage.completion_tokens);
    assert.match(response.headers.get("x-sluice-job"), /^job_/);
    assert.equal(data.id.slice("chatcmpl-".length), response.headers.get("x-sluice-job").slice("job_".length));
    const again = await client.chat.completions.retrieve(data.id);
    assert.deepEqual(again.choices, data.choices);
  },

  async "chat.what is wrong is named, what fails is said"({ client, sdk }) {
    await assert.rejects(client.chat.completions.create({ model, messages, temperature: 9 }), (error) => {
      assert.ok(error instanceof sdk.OpenAI.BadRequestError, String(error));
      return error.param === "temperature";
    });
    await assert.rejects(client.chat.completions.create({ model: "none", messages }), (error) => {
      assert.ok(error instanceof sdk.OpenAI.NotFoundError, String(error));
      return error.code === "model_not_found";
    });
    await assert.rejects(client.chat.completions.create({ model, messages, fault: "permanent" }), (error) => {
      return error instanceof sdk.OpenAI.APIError && error.status >= 400;
    });
  },

  async "completions.a completion is answered"({ client }) {
    const data = await client.completions.create({ model, prompt: "say this" });
    assert.deepEqual([data.object, data.choices[0].text], ["text_completion", "say this"]);
  },

  async "responses.one is answered, and one in the background is fetched"({ client }) {
    const plain = await client.responses.create({ model, input: "say this" });
    assert.deepEqual([plain.object, plain.status, plain.output_text], ["response", "completed", "say this"]);
    let later = await client.responses.create({ model, input: "say that", background: true });
    assert.ok(["queued", "in_progress", "completed"].includes(later.status), later.status);
    for (const deadline = Date.now() + 60_000; later.status !== "completed"; later = await client.responses.retrieve(later.id)) {
      assert.ok(Date.now() < deadline, later.status);
      await pause(50);
    }
    assert.equal(later.output_text, "say that");
  },

  async "responses.one in the background is cancelled"({ client }) {
    const slow = await client.responses.create({ model, input: "x", background: true, fault: "slow", fault_ms: 600_000 });
    const cancelled = await client.responses.cancel(slow.id);
    assert.equal(cancelled.status, "cancelled");
    assert.equal((await client.responses.retrieve(slow.id)).status, "cancelled");
  },

  async "responses.a deleted one is gone"({ client, other, sdk }) {
    const { id } = await client.responses.create({ model, input: "say this" });
    const gone = (error) => error instanceof sdk.OpenAI.NotFoundError && error.code === "response_not_found";
    await assert.rejects(other.responses.delete(id), gone);
    await client.responses.delete(id);
    for (const call of [() => client.responses.retrieve(id), () => client.responses.cancel(id), () => client.responses.delete(id)]) {
      await assert.rejects(call, gone);
    }
    const next = client.responses.create({ model, input: "and", previous_response_id: id });
    await assert.rejects(next, (error) => error instanceof sdk.OpenAI.NotFoundError && error.code === "previous_response_not_found");
    const running = await client.responses.create({ model, input: "x", background: true, fault: "slow", fault_ms: 600_000 });
    await client.responses.delete(running.id);
    await assert.rejects(client.responses.retrieve(running.id), gone);
  },

  async "sessions.a conversation goes on without being sent again"({ client, mark }) {
    const headers = [];
    for (const content of ["one", "two", "three"]) {
      const asked = { model, messages: [{ role: "user", content }], session_id: `session-${mark}` };
      headers.push((await client.chat.completions.create(asked).withResponse()).response.headers.get("x-sluice-session"));
    }
    assert.deepEqual(headers, ["new; turn=1", "continued; turn=2", "continued; turn=3"]);
  },

  async "disconnects.a job goes with its client, if that wishes so"({ client, url }) {
    const headers = { Authorization: `Bearer ${process.env.SLUICE_API_KEY}` };
    for (const stream of [false, true]) {
      const left = new AbortController();
      const metadata = { mark: `left ${Math.random()}` };
      const asked = { model, messages, metadata, stream, cancel_on_disconnect: true, fault: "slow", fault_ms: 600_000 };
      const answer = client.chat.completions.create(asked, { signal: left.signal });
      answer.catch(() => {});
      const find = async () => {
        const { data } = await (await fetch(`${url}/v1/jobs?limit=100`, { headers })).json();
        return data.find((job) => job.metadata?.mark === metadata.mark);
      };
      const deadline = Date.now() + 30_000;
      while ((await find())?.status !== "running") {
        assert.ok(Date.now() < deadline, "it was not started");
        await pause(20);
      }
      left.abort();
      const until = Date.now() + 5_000;
      while ((await find()).status !== "cancelled") {
        assert.ok(Date.now() < until, "it was not cancelled");
        await pause(20);
      }
    }
  },

  async "retries.a client that repeats by itself gets the job that it made first"({ connect }) {
    const jobs = [];
    const client = connect(process.env.SLUICE_API_KEY, {
      maxRetries: 2,
      // The first answer is lost on its way.
      fetch: async (url, options) => {
        const answer = await fetch(url, options);
        jobs.push(answer.headers.get("x-sluice-job"));
        if (jobs.length > 1) return answer;
        await answer.arrayBuffer();
        throw new TypeError("fetch failed");
      },
    });
    const mark = `once ${Math.random()}`;
    const data = await client.chat.completions.create({ model, messages: [{ role: "user", content: mark }] });
    assert.equal(data.choices[0].message.content, mark);
    assert.equal(jobs.length, 2);
    assert.equal(jobs[0], jobs[1]);
  },
};
