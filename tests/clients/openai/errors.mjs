// Each kind of failure is the class of error that users catch, with all that the answer said.
import assert from "node:assert/strict";

async function thrownBy(promise) {
  return promise.then(
    () => assert.fail("it did not fail"),
    (error) => error,
  );
}

export const cases = {
  async "errors.401 is an AuthenticationError"({ connect, sdk }) {
    const error = await thrownBy(connect("nobody's key").models.list());
    assert.ok(error instanceof sdk.OpenAI.AuthenticationError, String(error));
    assert.deepEqual([error.status, error.code, error.type], [401, "invalid_api_key", "authentication_error"]);
    assert.ok(error.requestID);
  },

  async "errors.403 is a PermissionDeniedError"({ readOnly, sdk }) {
    await readOnly.files.list();
    const error = await thrownBy(readOnly.files.create({ file: await sdk.toFile(Buffer.from("x"), "x"), purpose: "batch" }));
    assert.ok(error instanceof sdk.OpenAI.PermissionDeniedError, String(error));
    assert.deepEqual([error.status, error.code], [403, "insufficient_scope"]);
  },

  async "errors.404 is a NotFoundError"({ client, sdk }) {
    const error = await thrownBy(client.models.retrieve("no-such-model"));
    assert.ok(error instanceof sdk.OpenAI.NotFoundError, String(error));
    assert.deepEqual([error.status, error.code], [404, "model_not_found"]);
  },

  async "errors.a bad query is a BadRequestError that names it"({ client, sdk }) {
    const error = await thrownBy(client.files.list({ limit: 0 }));
    assert.ok(error instanceof sdk.OpenAI.BadRequestError, String(error));
    assert.deepEqual([error.code, error.param], ["invalid_query_parameter", "limit"]);
  },
};
