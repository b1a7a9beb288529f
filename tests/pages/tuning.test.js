import assert from "node:assert/strict";
import test from "node:test";

import { matmul } from "../../bench/pages/webgpu/matmul.js";
import { SOFTWARE_TILE, TILES, attentionTile, chooseTile, turnOf } from "../../bench/pages/webgpu/tuning.js";

// What every WebGPU device has; `device.js` asks for no more where the adapter has no more.
const LEAST = { invocations: 256, shared: 16384, groups: 65535 };

test("each tile fits the least device and divides among its threads", () => {
  for (const t of [...TILES, SOFTWARE_TILE]) {
    const threads = (t.BM / t.TM) * (t.BN / t.TN);
    assert.ok(Number.isInteger(threads) && threads <= LEAST.invocations, JSON.stringify(t));
    assert.ok((t.BM + t.BN) * t.BK * 4 <= LEAST.shared, JSON.stringify(t));
    assert.equal(((t.BM * t.BK) / 4) % threads, 0);
    assert.equal(((t.BN * t.BK) / 4) % threads, 0);
    const turn = turnOf(t);
    assert.ok((t.BM / t.TM) % turn === 0 && (t.BN / t.TN) % turn === 0);
  }
});

test("a choice is a tile of the list, or what was forced", () => {
  for (const software of [false, true]) {
    for (const m of [1, 2, 5, 16, 17, 31, 128, 1500, 4096]) {
      for (const n of [1, 8, 384, 3072, 51865]) {
        const chosen = chooseTile(m, n, software, {});
        const known = software ? [SOFTWARE_TILE] : TILES;
        assert.ok(known.some((t) => JSON.stringify(t) === JSON.stringify(chosen)));
        assert.deepEqual(chooseTile(m, n, software, { BM: 8, TN: 1 }), { ...chosen, BM: 8, TN: 1 });
      }
    }
  }
  assert.equal(chooseTile(4096, 4096, false, {}).BM, 64, "much work takes the large tile");
  assert.equal(chooseTile(8, 64, false, {}).BM, 16, "a few rows do not take one that is mostly empty");
});

test("attention's tile fits in shared memory for every head size that models have", () => {
  for (const software of [false, true]) {
    for (const d of [4, 8, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 112, 128, 160, 192, 256]) {
      const { TQ, TK, LANES } = attentionTile(d, software);
      assert.ok(4 * ((TQ + TK) * (d + 1) + TQ * (TK + 1)) <= LEAST.shared, `head size ${d}`);
      assert.equal(d % LANES, 0);
      assert.ok(TQ * LANES <= LEAST.invocations);
    }
  }
  assert.throws(() => attentionTile(4096, false), /a head size of 4096 does not fit/);
});

test("a matmul's grid covers every output, within the limit of a dimension", () => {
  const quant = { bits: 4, group_size: 32, scheme: "symmetric", k: 384, kp: 384 };
  for (const software of [false, true]) {
    const gpu = { f16: false, subgroups: false, software };
    for (const m of [1, 3, 4, 5, 33, 1500]) {
      for (const n of [1, 7, 384, 51865]) {
        const spec = { name: "l", m, n, quant, weights: ["w"], bias: null, act: "none", input: "x", output: "y", tuning: {} };
        const { groups, variant } = matmul(gpu, spec);
        const { ROWS, BM, BN } = variant.values;
        const [wide, high] = variant.shader === "matmul_row" ? [ROWS, 1] : [BN, BM];
        assert.ok(groups[0] * wide >= n && (groups[0] - 1) * wide < n);
        assert.ok(groups[1] * high >= m && (groups[1] - 1) * high < m);
        assert.ok(groups.every((count) => count >= 1 && count <= LEAST.groups));
        assert.equal(variant.shader, m <= 4 ? "matmul_row" : "matmul_tile");
      }
    }
  }
  const odd = { name: "l", m: 9, n: 9, quant, weights: ["w"], bias: null, act: "none", input: "x", output: "y" };
  assert.throws(() => matmul({ software: false }, { ...odd, tuning: { BM: 16, TM: 5 } }), /does not divide among its threads/);
});
