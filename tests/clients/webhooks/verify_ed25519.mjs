// Reads {public_key, headers, body} and verifies the delivery's v1a signatures by Node's own crypto (the package
// "standardwebhooks" knows v1 alone): how many of them are by this key, and how many remain so with one byte changed.
import { createPublicKey, verify } from "node:crypto";
import { readFileSync } from "node:fs";

const { public_key, headers, body } = JSON.parse(readFileSync(0, "utf8"));
const key = createPublicKey({
  key: { kty: "OKP", crv: "Ed25519", x: Buffer.from(public_key.replace(/^whpk_/, ""), "base64").toString("base64url") },
  format: "jwk",
});
const good = (text) => headers["webhook-signature"].split(" ").filter((one) => one.startsWith("v1a,"))
  .filter((one) => verify(null, Buffer.from(`${headers["webhook-id"]}.${headers["webhook-timestamp"]}.${text}`), key,
    Buffer.from(one.slice("v1a,".length), "base64"))).length;
const forged = body.replace('"object":"event"', '"object":"Event"');
if (forged === body) throw new Error("nothing was changed");
console.log(JSON.stringify({ good: good(body), forged: good(forged) }));
