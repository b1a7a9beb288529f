import assert from "node:assert/strict";
import test from "node:test";

import { matmul } from "../../bench/pages/webgpu/matmul.js";
import { MATRIX_TILES, chooseMatrixTile, matrixBytes, matrixThreads } from "../../bench/pages/webgpu/matmul_matrix.js";
import { SOFTWARE_TILES, TILES, WIDE_TILE, attentionBytes, attentionTile, chooseTile, tileBytes, turnOf } from "../../bench/pages/webgpu/tuning.js";

// What every WebGPU device has; `device.js` asks for no more where the adapter has no more.
const LEAST = { invocations: 256, shared: 16384, groups: 65535 };

test("each tile fits the least device and divides among its threads", () => {
  for (const t of [...TILES, ...SOFTWARE_TILES, WIDE_TILE]) {
    const threads = (t.BM / t.TM) * (t.BN / t.TN);
    assert.ok(Number.isInteger(threads) && threads <= LEAST.invocations, JSON.stringify(t));
    assert.ok(tileBytes(t) <= (t === WIDE_TILE ? 24576 : LEAST.shared), JSON.stringify(t));
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
        const known = software ? SOFTWARE_TILES : TILES;
        assert.ok(known.some((t) => JSON.stringify(t) === JSON.stringify(chosen)));
        assert.deepEqual(chooseTile(m, n, software, { BM: 8, TN: 1 }), { ...chosen, BM: 8, TN: 1 });
      }
    }
  }
  assert.equal(chooseTile(4096, 4096, false, {}).BM, 64, "much work takes the large tile");
  assert.equal(chooseTile(4096, 4096, false, {}, 24576).BN, 128, "and a wider one where there is room");
  assert.equal(chooseTile(128, 768, false, {}, 49152).BN <= 64, true, "for much work alone");
  assert.equal(chooseTile(10, 51865, false, {}, 49152).BM, 16, "and not for a few rows, however many columns");
  assert.equal(chooseTile(8, 64, false, {}).BM, 16, "a few rows do not take one that is mostly empty");
});

test("attention's tile fits in shared memory for every head size that models have", () => {
  for (const software of [false, true]) {
    for (const shared of [LEAST.shared, 49152]) {
      for (const scalar of [2, 4]) {
        for (const d of [1, 4, 8, 10, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 112, 128, 160, 192, 256]) {
          for (const rows of [1, 128, 1500, 4096]) {
            const tile = attentionTile(d, 12, rows, { software, scalar, shared });
            assert.ok(attentionBytes(tile, d, scalar) <= shared, `head size ${d}`);
            assert.ok(tile.TQ % tile.RQ === 0 && tile.TK % tile.RK === 0);
            assert.ok((tile.TQ / tile.RQ) * (tile.TK / tile.RK) <= LEAST.invocations);
          }
        }
      }
    }
  }
  assert.throws(() => attentionTile(4096, 1, 1, { software: false, scalar: 4, shared: LEAST.shared }), /a head size of 4096 does not fit/);
});

/** A device with no more than every one has, and a GPU with all that our kernels use. */
const LIMITS = { maxStorageBuffersPerShaderStage: 8, maxComputeWorkgroupStorageSize: LEAST.shared, maxComputeInvocationsPerWorkgroup: LEAST.invocations };
const PLAIN = { f16: false, subgroups: false, software: false, device: { limits: LIMITS } };
const UNITS = { componentType: "f16", resultComponentType: "f32", M: 16, N: 16, K: 16 };
const WHOLE = {
  ...PLAIN, f16: true, subgroups: true, dp4a: true, subgroupSizes: [32, 32], matrices: [UNITS],
  device: { limits: { ...LIMITS, maxComputeWorkgroupStorageSize: 49152, maxComputeInvocationsPerWorkgroup: 1024 } },
};

/** Rows and columns of the output that a workgroup makes. */
function reach({ shader, values }) {
  const { ROWS, THREADS, TEAM, MR, BM, BN } = values;
  return shader === "matmul_row" ? [(ROWS * THREADS) / TEAM, MR] : [BN, BM];
}

test("a matmul's grid covers every output, within the limit of a dimension", () => {
  const quant = { bits: 4, group_size: 32, scheme: "symmetric", k: 384, kp: 384 };
  const odd = { name: "l", quant, weights: ["w"], bias: null, act: "none", input: "x", output: "y", tuning: {} };
  for (const gpu of [PLAIN, { ...PLAIN, software: true }, WHOLE]) {
    for (const m of [1, 3, 4, 5, 33, 1500]) {
      for (const n of [1, 7, 384, 51865]) {
        const { groups, variant } = matmul(gpu, { ...odd, m, n });
        const [wide, high] = reach(variant);
        assert.ok(groups[0] * wide >= n && (groups[0] - 1) * wide < n);
        assert.ok(groups[1] * high >= m && (groups[1] - 1) * high < m);
        assert.ok(groups.every((count) => count >= 1 && count <= LEAST.groups));
        const many = gpu === WHOLE ? "matmul_matrix" : "matmul_tile";
        assert.equal(variant.shader, m <= (gpu.software ? 4 : 8) ? "matmul_row" : many);
      }
    }
  }
  assert.throws(() => matmul(PLAIN, { ...odd, m: 9, n: 9, tuning: { BM: 16, TM: 5 } }), /does not divide among its threads/);
  const crooked = { ROW_KERNEL: 0, BM: 7, BN: 16, BK: 32, TM: 4, TN: 4 };
  assert.throws(() => matmul(PLAIN, { ...odd, m: 9, n: 9, tuning: crooked }), /does not divide among its threads/);
  assert.throws(() => matmul(WHOLE, { ...odd, m: 9, n: 9, tuning: { BM: 16, SM: 5 } }), /does not divide among its subgroups/);
});

test("activations of a few rows fit in workgroup memory, in blocks that pieces divide", () => {
  for (const gpu of [PLAIN, WHOLE]) {
    for (const bits of [16, 8, 4, 2]) {
      for (const k of [1, 7, 576, 2048, 4096, 14336]) {
        for (const m of [1, 2, 8]) {
          const kp = Math.ceil(k / 32) * 32;
          const quant = { bits, group_size: 32, scheme: "symmetric", k, kp };
          const spec = { name: "l", m, n: 64, quant, weights: ["w"], bias: null, act: "none", input: "x", output: "y", tuning: {} };
          const { FIXED, STAGED, BLOCK, MR, PW, THREADS, ROWS, SUBGROUPS } = matmul(gpu, spec).variant.values;
          const partial = 4 * THREADS * (SUBGROUPS ? 1 : ROWS * MR);
          const bytes = MR * BLOCK * (FIXED ? 2.5 : 4) * (FIXED || STAGED ? 1 : 0) + partial;
          assert.ok(bytes <= gpu.device.limits.maxComputeWorkgroupStorageSize, `${bytes} bytes at ${bits} bits, ${m} x ${k}`);
          assert.equal(BLOCK % ((PW * 32) / bits), 0);
        }
      }
    }
  }
});

test("a matrix unit's tile fits the device, and large ones are for much work", () => {
  for (const limits of [{ shared: 16384, invocations: 256 }, { shared: 49152, invocations: 1024 }]) {
    for (const bits of [16, 4]) {
      for (const m of [5, 16, 17, 128, 512, 2048]) {
        for (const [n, k] of [[8, 64], [768, 768], [768, 3072], [4096, 4096], [51865, 384]]) {
          const tile = chooseMatrixTile({ m, n, k, bits }, limits);
          assert.ok(MATRIX_TILES.includes(tile));
          assert.ok(matrixBytes(tile) <= limits.shared && matrixThreads(tile, 32) <= limits.invocations);
        }
      }
    }
  }
  const limits = { shared: 49152, invocations: 1024 };
  assert.equal(chooseMatrixTile({ m: 512, n: 4096, k: 4096, bits: 16 }, limits).BM, 128);
  assert.equal(chooseMatrixTile({ m: 512, n: 4096, k: 4096, bits: 4 }, limits).BN, 128);
  assert.equal(chooseMatrixTile({ m: 128, n: 768, k: 3072, bits: 4 }, { ...limits, shared: 49152 }).SLICES, 4);
  assert.equal(chooseMatrixTile({ m: 128, n: 768, k: 768, bits: 4 }, limits).BM, 32);
});
