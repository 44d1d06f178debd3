// Rate limits: the error that users catch, and what the client does about it by itself.
import assert from "node:assert/strict";

export const cases = {
  async "limits.429 is a RateLimitError that says when to come back"({ limited, sdk }) {
    const calls = async () => {
      for (let i = 0; i < 3; ++i) await limited().models.list();
    };
    await assert.rejects(calls, (error) => {
      assert.ok(error instanceof sdk.OpenAI.RateLimitError, String(error));
      assert.deepEqual([error.status, error.code], [429, "rate_limit_exceeded"]);
      const after = Number(error.headers.get("retry-after"));
      return after >= 1 && after <= 59;
    });
  },

  async "limits.a client with retries waits and gets through"({ limited }) {
    const statuses = [];
    const client = limited({
      maxRetries: 5,
      fetch: async (url, options) => {
        const answer = await fetch(url, options);
        statuses.push(answer.status);
        return answer;
      },
    });
    for (let i = 0; i < 2; ++i) await client.files.list();
    assert.ok(statuses.includes(429), String(statuses));
    assert.equal(statuses.at(-1), 200);
  },
};
