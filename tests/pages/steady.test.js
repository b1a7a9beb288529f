import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

import { isSteady, medianInterval, quantile, relativeHalfWidth } from "../../bench/pages/runtime/steady.js";

const vectors = JSON.parse(readFileSync(new URL("../data/steady.json", import.meta.url), "utf-8"));

for (const { name, values, steady, interval } of vectors) {
  test(`steadiness and interval of ${name}`, () => {
    assert.equal(isSteady(values), steady);
    assert.deepEqual(medianInterval(values), interval);
  });
}

test("a width is that of the interval, and infinite where there is none", () => {
  assert.equal(relativeHalfWidth([1, 2, 3]), Infinity);
  assert.equal(relativeHalfWidth([8, 9, 10, 10, 11, 12]), 0.2);
  assert.equal(quantile([4, 1, 3, 2], 0.5), 2.5);
});
