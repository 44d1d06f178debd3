// Models: list and retrieve.
import assert from "node:assert/strict";

export const cases = {
  async "models.the one that is served is listed and found"({ client }) {
    const listed = [];
    for await (const model of client.models.list()) listed.push(model);
    assert.ok(listed.length > 0);
    for (const model of listed) {
      assert.equal(model.object, "model");
      assert.equal((await client.models.retrieve(model.id)).id, model.id);
    }
  },
};
