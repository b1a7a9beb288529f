import assert from "node:assert/strict";
import test from "node:test";

import { limitsShown, planOf } from "../../bench/pages/webnn/plan.js";

const LIMITS = {
  constant: { dataTypes: ["float32", "int8"] },
  dequantizeLinear: { input: { dataTypes: ["int8"] } },
  quantizeLinear: { output: { dataTypes: ["int8"] } },
  output: { dataTypes: ["float32"] },
  maxTensorByteLength: 2 ** 31 - 1,
};

/** A program of one product, and of a table that is only gathered from. */
function program(rows, k, bits = 8) {
  return {
    weights: [{ name: "w", shape: [rows, k] }, { name: "table", shape: [rows * 100, k] }],
    quantization: { w: { bits }, table: { bits } },
    entries: { forward: { nodes: [{ op: "embedding", weights: ["table"] }, { op: "linear", weights: ["w", "bias"] }] } },
  };
}

test("auto unpacks once where there is room, and says what that takes", () => {
  const plan = planOf("auto", LIMITS, program(1000, 500));
  assert.deepEqual(plan, {
    asked: "auto", ran: "dequantized", why: "as float32 the matrices take 2.0 MB, and no call unpacks them",
  });
});

test("auto keeps weights packed that are too large for one tensor, or together, or cannot be read", () => {
  assert.match(planOf("auto", { ...LIMITS, maxTensorByteLength: 1e6 }, program(1000, 500)).why, /maxTensorByteLength = 1000000/);
  const many = program(20000, 20000);
  many.entries.forward.nodes.push({ op: "linear", weights: ["v"] });
  many.weights.push({ name: "v", shape: [20000, 20000] });
  many.quantization.v = { bits: 4 };
  const plan = planOf("auto", LIMITS, many);
  assert.equal(plan.ran, "packed");
  assert.match(plan.why, /would take 3200 MB/);
  assert.equal(planOf("auto", { ...LIMITS, output: { dataTypes: ["float16"] } }, program(10, 10)).ran, "packed");
});

test("what is asked for runs, and 16 bits have nothing to plan", () => {
  for (const asked of ["dequantized", "packed", "per-channel", "blockwise", "qdq-int8"]) {
    assert.deepEqual(planOf(asked, LIMITS, program(10, 10)), { asked, ran: asked, why: "asked for" });
  }
  assert.equal(planOf("auto", LIMITS, program(10, 10, 16)).ran, null);
  assert.deepEqual(limitsShown({}), {
    constant: null, dequantizeLinear: null, quantizeLinear: null, maxTensorByteLength: null,
  });
  assert.deepEqual(limitsShown(LIMITS).dequantizeLinear, ["int8"]);
});
