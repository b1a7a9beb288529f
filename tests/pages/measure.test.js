import assert from "node:assert/strict";
import test from "node:test";

import { measure } from "../../bench/pages/runtime/measure.js";

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const options = { tick_ms: 0.001, iterations: null, precision: 0.02, progress: async () => {} };

test("a call that takes all the time for sampling is a sample, and two more follow", async () => {
  const found = await measure(() => wait(30), { ...options, max_seconds: 0.02 });
  assert.deepEqual(found.samples.map((sample) => sample.kind), ["measure", "measure", "measure"]);
  assert.equal(found.ends.length, 3);
});

test("a call that leaves time for others warms up", async () => {
  const found = await measure(() => wait(5), { ...options, max_seconds: 0.1 });
  assert.equal(found.samples[0].kind, "warmup");
  assert.ok(found.samples.filter((sample) => sample.kind === "measure").length >= 3);
});

test("as many samples as were asked for are apart from what chose the batch", async () => {
  const found = await measure(() => wait(30), { ...options, max_seconds: 0.02, iterations: 3 });
  assert.deepEqual(found.samples.map((sample) => sample.kind), ["warmup", "measure", "measure", "measure"]);
});

test("a batch is whole units", async () => {
  const counts = [];
  const run = async (count) => {
    counts.push(count);
    await wait(count / 10);
  };
  const found = await measure(run, { ...options, tick_ms: 0.1, max_seconds: 0.1, unit: 12 });
  assert.ok(counts.every((count) => count % 12 === 0) && counts.at(-1) > 12);
  assert.ok(found.samples.every((sample) => sample.batch % 12 === 0));
});
