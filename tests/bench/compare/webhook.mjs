// What the servers in Node.js do with a webhook: the signature over the bytes, once for each event, and the
// work after the answer.
import { createHmac, timingSafeEqual } from "node:crypto";

export const PATH = "/voipbin/webhook";

const SECRET = process.env.VOIPBIN_SECRET;
/** How long an event is remembered, in milliseconds. */
const TTL = 3600_000;

const seen = new Map();

/** The signature that the body should have. */
export function verified(header, body) {
  const expected = "sha256=" + createHmac("sha256", SECRET).update(body).digest("hex");
  const right = Buffer.from(expected);
  const given = Buffer.from(header ?? "");
  return given.length === right.length && timingSafeEqual(given, right) ? expected : undefined;
}

/** Has an event handled that is not known yet. */
export function receive(signature, event) {
  const now = Date.now();
  // The oldest come first.
  for (const [old, at] of seen) {
    if (now - at < TTL) break;
    seen.delete(old);
  }
  if (seen.has(signature)) return;
  seen.set(signature, now);
  setImmediate(handle, event);
}

let hungUp = 0;

function handle(event) {
  if (event.type === "call_hangup" && event.data.hangup_reason) hungUp += 1;
}

/** Prints where the server listens, and lets it end with its input. */
export function announce(server) {
  // The platform keeps its connections for 30 seconds.
  server.keepAliveTimeout = 75_000;
  const { address, port } = server.address();
  console.log(`${address}:${port}`);
  process.stdin.resume().on("end", () => process.exit());
}
