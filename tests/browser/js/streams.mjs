// Streams whose bytes and ends a test controls.
import assert from "node:assert/strict";

const LIMIT_MS = 5000;

/** A response that streams what the test sends, until the test cuts it or `signal` aborts it. */
export function controlledResponse(signal) {
  let controller;
  const body = new ReadableStream({
    start: (it) => {
      controller = it;
    },
  });
  signal.addEventListener("abort", () => {
    try {
      controller.error(new Error("aborted"));
    } catch {
      /* it has ended */
    }
  });
  return {
    response: new Response(body),
    send: (text) => controller.enqueue(new TextEncoder().encode(text)),
    cut: () => controller.close(),
  };
}

/** Wait until `condition` is true, calling `step` before each look. */
export async function until(condition, step = () => {}) {
  for (const start = performance.now(); !condition(); step()) {
    assert.ok(performance.now() - start < LIMIT_MS, "waited too long");
    await new Promise((resolve) => setImmediate(resolve));
  }
}
