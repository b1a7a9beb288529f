// The forms that tuning tries: each can be made, compiles, does the same work, and none is there twice.
import assert from "node:assert/strict";
import test from "node:test";

import { attention } from "../../bench/pages/webgpu/attention.js";
import { candidates } from "../../bench/pages/webgpu/candidates.js";
import { layerNorm } from "../../bench/pages/webgpu/kernels.js";
import { keyOf, matmul } from "../../bench/pages/webgpu/matmul.js";
import { SETS, codeOf, compiles, gpuOf } from "./dawn.js";

const MOST = 15;

function* kernels(gpu) {
  const tuned = (key, make) => ({ ...make({}), key, remake: make });
  for (const bits of [16, 8, 4, 2]) {
    for (const scheme of bits === 16 ? ["symmetric"] : ["symmetric", "asymmetric"]) {
      for (const [m, n, k] of [[1, 4096, 2048], [5, 96, 96], [33, 100, 68], [128, 768, 3072], [512, 4096, 4096]]) {
        const quant = { bits, group_size: bits === 16 ? 2 : 32, scheme, k, kp: bits === 16 ? k : 32 * Math.ceil(k / 32) };
        const spec = { name: "l", m, n, quant, weights: ["w"], bias: ["b"], act: "gelu", input: "x", output: "y" };
        yield tuned(keyOf(spec), (tuning) => matmul(gpu, { ...spec, tuning }));
        if (m === 1) {
          const paired = { ...spec, bias: null, gated: true };
          yield tuned(keyOf(paired), (tuning) => matmul(gpu, { ...paired, tuning }));
        }
      }
    }
  }
  for (const [sequence, heads, d] of [[7, 3, 8], [128, 12, 64], [512, 32, 128]]) {
    const columns = { stride: heads * d, offset: 0 };
    const [q, k, v] = ["q", "k", "v"].map((value) => ({ value, ...columns }));
    const spec = { name: "a", batch: 1, sequence, heads, hidden: heads * d, scale: 1, q, k, v, mask: null, output: "y" };
    yield tuned(`attention ${sequence}`, (tuning) => attention(gpu, { ...spec, tuning }));
  }
  const norm = { name: "n", rows: 9, hidden: 768, epsilon: 1e-5, gamma: "g", beta: "b", input: "x", other: null, output: "y" };
  yield tuned("norm", (tuning) => layerNorm(gpu, { ...norm, tuning }));
}

for (const [name, set] of Object.entries(SETS)) {
  for (const software of [false, true]) {
    test(`every form compiles with ${name}${software ? " on a processor" : ""}`, async () => {
      const { gpu, device } = await gpuOf(set);
      gpu.software = software;
      const seen = new Set();
      let some = 0;
      for (const kernel of kernels(gpu)) {
        const usual = JSON.stringify([kernel.variant, kernel.groups]);
        const found = candidates(gpu, kernel, MOST);
        some += found.length > 0 ? 1 : 0;
        assert.ok(found.length <= MOST);
        const texts = found.map(({ dispatch }) => JSON.stringify([dispatch.variant, dispatch.groups]));
        assert.equal(new Set([usual, ...texts]).size, found.length + 1, `${kernel.key}: a form is there twice`);
        for (const { constants, dispatch } of found) {
          assert.deepEqual(JSON.stringify(dispatch), JSON.stringify(kernel.remake(constants)));
          assert.deepEqual([dispatch.bindings, dispatch.flops], [kernel.bindings, kernel.flops], kernel.key);
          const code = codeOf(gpu, dispatch.variant);
          if (seen.has(code)) continue;
          seen.add(code);
          await compiles(device, dispatch.variant, code);
        }
      }
      assert.ok(some >= 20, `only ${some} kernels have another form`);
    });
  }
}

test("no form has more threads than the device allows", async () => {
  const { gpu } = await gpuOf(SETS.stock);
  gpu.device.limits.maxComputeInvocationsPerWorkgroup = 128;
  for (const kernel of kernels(gpu)) {
    for (const { dispatch } of candidates(gpu, kernel, MOST)) assert.ok((dispatch.variant.values.THREADS ?? 1) <= 128);
  }
});
