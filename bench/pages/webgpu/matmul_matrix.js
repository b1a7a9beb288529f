import { blocks } from "./kernels.js";
import { lanesOf } from "./tuning.js";

/** @import {Gpu} from "./device.js" */
/** @import {Dispatch} from "./kernels.js" */
/** @import {MatmulSpec, Shared} from "./matmul.js" */

/**
 * A workgroup's tile, a subgroup's part of it, and in how many slices of K a step is shared out.
 * @typedef {{BM: number, BN: number, BK: number, SM: number, SN: number, SLICES: number}} MatrixTile
 */

/** Largest first. Small tiles win on a GPU of many multiprocessors: a tile is large only where there are enough. */
export const MATRIX_TILES = /** @type {MatrixTile[]} */ ([
  { BM: 128, BN: 128, BK: 32, SM: 64, SN: 32, SLICES: 1 },
  { BM: 128, BN: 64, BK: 32, SM: 64, SN: 32, SLICES: 1 },
  { BM: 64, BN: 128, BK: 32, SM: 32, SN: 64, SLICES: 1 },
  { BM: 64, BN: 64, BK: 32, SM: 32, SN: 32, SLICES: 1 },
  { BM: 32, BN: 32, BK: 64, SM: 16, SN: 16, SLICES: 1 },
  { BM: 32, BN: 32, BK: 128, SM: 16, SN: 16, SLICES: 4 },
  { BM: 32, BN: 32, BK: 128, SM: 16, SN: 16, SLICES: 2 },
  { BM: 16, BN: 64, BK: 64, SM: 16, SN: 16, SLICES: 1 },
  { BM: 16, BN: 32, BK: 128, SM: 16, SN: 16, SLICES: 4 },
]);

/** Workgroups that keep a large GPU busy. */
const ENOUGH = 120;
/** From so many values of K on, a tile with few workgroups shares its steps out among more subgroups. */
const LONG = 1536;
/** What a matrix unit takes: f16 products, f32 sums; the least shape of those that adapters have. */
const UNIT = { MM: 16, MN: 16, MK: 16 };
/** Threads of a subgroup. */
const LANES = 32;

/** @param {MatrixTile} t lanes a subgroup @param {number} lanes */
export const matrixThreads = (t, lanes) => lanes * (t.BM / t.SM) * (t.BN / t.SN) * t.SLICES;

/** Bytes of workgroup memory. @param {MatrixTile} t */
export function matrixBytes(t) {
  const subgroups = (t.BM / t.SM) * (t.BN / t.SN) * t.SLICES;
  return (t.BM + t.BN) * (t.BK / 8 + 1) * 16 + subgroups * UNIT.MM * UNIT.MN * 4;
}

/**
 * @param {{m: number, n: number, k: number, bits: number}} shape
 * @param {{shared: number, invocations: number}} limits of a workgroup
 * @returns {MatrixTile}
 */
export function chooseMatrixTile({ m, n, k, bits }, limits) {
  const fits = (/** @type {MatrixTile} */ t) => matrixBytes(t) <= limits.shared && matrixThreads(t, LANES) <= limits.invocations;
  const busy = (/** @type {MatrixTile} */ t) => fits(t) && blocks(m, t.BM) * blocks(n, t.BN) >= ENOUGH;
  const [huge, large, wide, middle, small, smallSliced, smallHalved, flat, flatSliced] = MATRIX_TILES;
  if (m <= 16) return busy(flat) || !fits(flatSliced) ? flat : flatSliced;
  if (bits === 16 && busy(huge)) return huge;
  const most = bits === 16 ? large : wide;
  if (busy(most)) return most;
  if (busy(middle)) return middle;
  return (k >= LONG && [smallSliced, smallHalved].find(fits)) || small;
}

/** Whether the device multiplies matrices of halves and sums in f32, with subgroups of one size. @param {Gpu} gpu */
export function hasMatrices(gpu) {
  const fits = (gpu.matrices ?? []).some(
    (one) => one.componentType === "f16" && one.resultComponentType === "f32" && one.M === UNIT.MM && one.N === UNIT.MN && one.K === UNIT.MK,
  );
  return gpu.f16 && lanesOf(gpu) === LANES && fits;
}

/** Words that a thread takes at a time, and whether they are one vector. @param {MatmulSpec["quant"]} quant */
function pieceOf({ bits, k, kp }) {
  const words = bits === 16 ? blocks(k, 2) : (kp * bits) / 32;
  if (bits === 2) return { PW: words % 2 === 0 ? 2 : 1, WVEC: 0 };
  if (words % 4 === 0) return { PW: 4, WVEC: 1 };
  return { PW: bits === 16 ? 4 : bits / 4, WVEC: 0 };
}

/**
 * The kernel for many rows where there are matrix units; `tuning.MATRICES` of 0 does its sums by hand.
 * @param {Gpu} gpu
 * @param {MatmulSpec} spec
 * @param {Shared} shared
 * @returns {Pick<Dispatch, "variant" | "groups" | "bindings">}
 */
export function matrixMatmul(gpu, spec, { values, constants, bindings }) {
  const { m, n, quant, tuning } = spec;
  const { k } = quant;
  const { maxComputeWorkgroupStorageSize: shared, maxComputeInvocationsPerWorkgroup: invocations } = gpu.device.limits;
  const chosen = chooseMatrixTile({ m, n, k, bits: quant.bits }, { shared, invocations });
  const given = Object.fromEntries(Object.keys(chosen).map((key) => [key, tuning[key] ?? chosen[/** @type {keyof MatrixTile} */ (key)]]));
  const tile = /** @type {MatrixTile} */ (given);
  const MATRICES = hasMatrices(gpu) && tuning.MATRICES !== 0 ? 1 : 0;
  const whole = [tile.BM / tile.SM, tile.BN / tile.SN, tile.SM / UNIT.MM, tile.SN / UNIT.MN, tile.BK / UNIT.MK / tile.SLICES];
  if (whole.some((count) => !Number.isInteger(count) || count < 1) || tile.BK % 32) {
    throw new Error(`matmul_matrix: ${JSON.stringify(tile)} does not divide among its subgroups`);
  }
  const RAW = k % 8 === 0 && !spec.wideInput && !spec.window ? 1 : 0;
  const THREADS = matrixThreads(tile, LANES);
  const piece = pieceOf(quant);
  const A_LOADS = blocks((tile.BM * tile.BK) / 8, THREADS);
  const W_LOADS = blocks((tile.BN * tile.BK) / ((piece.PW * 32) / quant.bits), THREADS);
  const form = { ...tile, ...UNIT, ...piece, LANES, THREADS, A_LOADS, W_LOADS, MATRICES, SUBGROUPS: MATRICES, RAW };
  return {
    variant: { shader: "matmul_matrix", values: { ...values, ...form }, constants },
    groups: [blocks(n, tile.BN), blocks(m, tile.BM), 1],
    bindings,
  };
}
