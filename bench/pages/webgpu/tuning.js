/** @import {Gpu} from "./device.js" */

/**
 * Which tile a matmul runs with. The candidates and the rule come from `bench kernels`; what was chosen is
 * recorded with each run.
 * @typedef {{BM: number, BN: number, BK: number, TM: number, TN: number}} Tile
 */

/** Largest first; each has BM / TM * BN / TN <= 256 invocations and (BM + BN) * BK * 4 <= 16 KiB of shared memory. */
export const TILES = /** @type {Tile[]} */ ([
  { BM: 64, BN: 64, BK: 32, TM: 4, TN: 4 },
  { BM: 32, BN: 32, BK: 64, TM: 2, TN: 2 },
  { BM: 16, BN: 32, BK: 64, TM: 1, TN: 2 },
]);

/** For much work on a device with more shared memory: each value read there is used twice as often. */
export const WIDE_TILE = /** @type {Tile} */ ({ BM: 64, BN: 128, BK: 32, TM: 4, TN: 8 });

/** Bytes of shared memory. @param {Tile} t */
export const tileBytes = (t) => (t.BM + t.BN) * t.BK * 4;

/**
 * On a processor each invocation is a loop's turn: few of them, each with more to do, win. Measured in SwiftShader and
 * lavapipe on two cores, at 16 and 4 bits, 16 to 64 rows: 8 x 8 outputs a thread take 0.52 to 0.68 of the time of 4 x 4.
 * 8 x 16 takes 1.1 to 1.2 of that of 8 x 8 in SwiftShader, and 0.7 to 1 in lavapipe. Asked with `bench kernels --matmul
 * 64,384,1536 --matmul 16,1536,384 --bits 16 --bits 4 --engine native` and a `--tuning` for each.
 */
export const SOFTWARE_TILES = /** @type {Tile[]} */ ([
  { BM: 32, BN: 32, BK: 32, TM: 8, TN: 8 },
  { BM: 16, BN: 32, BK: 32, TM: 8, TN: 8 },
  { BM: 8, BN: 32, BK: 32, TM: 8, TN: 8 },
]);

/** What a row costs in each of them, those that are padded up to the tile among them: more rows use W's values more often. */
const ROW_COSTS = [0.86, 1, 1.2];

/** @param {number} m rows @returns {Tile} */
function softwareTile(m) {
  const costs = SOFTWARE_TILES.map((tile, i) => Math.ceil(m / tile.BM) * tile.BM * ROW_COSTS[i]);
  return SOFTWARE_TILES[costs.indexOf(Math.min(...costs))];
}

/** A GPU hides the way to memory behind arithmetic; a processor only has more code to compile. */
export const SOFTWARE_PREFETCH = 0;

/** Where a row is summed up by a workgroup: one vector of a processor's lanes needs no barrier between threads. */
export const SOFTWARE_THREADS = 4;

/**
 * There, with a few rows, two teams of four share a workgroup and each sums up eight rows of W: 0.54 to 0.67 of the time
 * of one team with four rows in lavapipe, 0.69 to 0.9 in SwiftShader (1 x 1024 x 1024 and 4 x 512 x 512, 16 and 4 bits).
 */
export const SOFTWARE_ROW = { THREADS: 8, ROWS: 8 };

/** Workgroups that keep a large GPU busy: with fewer, a smaller tile is faster although it reads more. */
const ENOUGH = 64;

/**
 * @param {number} m rows
 * @param {number} n columns
 * @param {boolean} software
 * @param {Record<string, number>} forced values that a benchmark or a task sets
 * @param {number} shared bytes of shared memory that the device has
 * @returns {Tile}
 */
export function chooseTile(m, n, software, forced, shared = 16384) {
  const groups = (/** @type {Tile} */ t) => Math.ceil(m / t.BM) * Math.ceil(n / t.BN);
  const wide = tileBytes(WIDE_TILE) <= shared && WIDE_TILE.BM < 2 * m && groups(WIDE_TILE) >= 2 * ENOUGH;
  const fitting = wide ? [WIDE_TILE] : TILES.filter((t) => t.BM < 2 * m);
  const hardware = fitting.find((t) => groups(t) >= (t.BM === 64 ? 16 : 1) * ENOUGH) ?? fitting[fitting.length - 1] ?? TILES[TILES.length - 1];
  const chosen = software ? softwareTile(m) : hardware;
  return {
    BM: forced.BM ?? chosen.BM,
    BN: forced.BN ?? chosen.BN,
    BK: forced.BK ?? chosen.BK,
    TM: forced.TM ?? chosen.TM,
    TN: forced.TN ?? chosen.TN,
  };
}

/**
 * How far rows are turned against each other in shared memory: both thread counts must be multiples of it, and a row's
 * vectors as many at least.
 * @param {Tile} t
 */
export function turnOf(t) {
  return (t.BM / t.TM) % 8 === 0 && (t.BN / t.TN) % 8 === 0 && t.BK % 32 === 0 ? 8 : 1;
}

/**
 * Threads of a subgroup where all have that many: then a workgroup's invocations fill its subgroups in order.
 * @param {Pick<Gpu, "subgroups" | "subgroupSizes">} gpu
 */
export function lanesOf({ subgroups, subgroupSizes }) {
  const [least, most] = subgroupSizes ?? [null, null];
  return subgroups && least !== null && least === most ? least : null;
}

/**
 * How a workgroup of so many threads reduces: by subgroups, where it is made of whole ones.
 * @param {Pick<Gpu, "subgroups" | "subgroupSizes">} gpu @param {number} threads
 * @returns {Record<string, number>}
 */
export function reduction(gpu, threads) {
  const LANES = lanesOf(gpu);
  return LANES !== null && threads % LANES === 0 ? { SUBGROUPS: 1, LANES } : {};
}

/** Most values of a row that a thread keeps between two passes of a norm. */
const MOST_KEPT = 16;

/**
 * How a norm's workgroup goes about a row of so many values.
 * @param {Pick<Gpu, "software" | "subgroups" | "subgroupSizes">} gpu @param {number} hidden
 * @param {Record<string, number>} tuning NORM_THREADS; EACH of 0 loads values anew in each pass
 * @returns {Record<string, number>}
 */
export function normForm(gpu, hidden, tuning = {}) {
  const usual = hidden > 1024 ? 256 : hidden > 256 ? 128 : 64;
  const THREADS = tuning.NORM_THREADS ?? (gpu.software ? SOFTWARE_THREADS : usual);
  const each = Math.ceil(hidden / THREADS);
  const keeps = tuning.EACH ?? (gpu.software ? 0 : 1);
  return { THREADS, EACH: keeps && each <= MOST_KEPT ? each : 0, ...reduction(gpu, THREADS) };
}

/** Up to so many rows the kernel for a few wins: it reads the weights once for all of them. */
export const mostFewRows = (/** @type {boolean} */ software) => (software ? 4 : 8);

/**
 * Attention's tile: TQ queries and TK keys, of whose scores a thread makes RQ x RK.
 * @typedef {{TQ: number, TK: number, RQ: number, RK: number}} AttentionTile
 */
export const ATTENTION_TILES = /** @type {AttentionTile[]} */ ([
  { TQ: 32, TK: 32, RQ: 4, RK: 4 },
  { TQ: 16, TK: 32, RQ: 2, RK: 4 },
  { TQ: 16, TK: 16, RQ: 2, RK: 2 },
  { TQ: 8, TK: 16, RQ: 2, RK: 2 },
  { TQ: 8, TK: 8, RQ: 2, RK: 2 },
  { TQ: 4, TK: 4, RQ: 2, RK: 2 },
]);
/**
 * Of those tried, 16 queries by 16 keys win in both renderers: 0.61 to 0.77 of the time of 8 by 16 (64x12x32, 128x6x64).
 * Where later keys are left out, SwiftShader's compiler does not come to an end with it.
 */
export const SOFTWARE_ATTENTION = /** @type {AttentionTile[]} */ ([
  { TQ: 16, TK: 16, RQ: 8, RK: 4 },
  { TQ: 8, TK: 16, RQ: 4, RK: 4 },
  { TQ: 4, TK: 4, RQ: 2, RK: 2 },
]);

/** Bytes of workgroup memory at a head size of `d`. @param {AttentionTile} t @param {number} d @param {number} scalar bytes of an activation */
export function attentionBytes({ TQ, TK, RK }, d, scalar) {
  return scalar * 4 * (Math.ceil(d / 4) + 1) * (TQ + 2 * TK) + 4 * TQ * (TK + 1 + TK / RK);
}

/**
 * Attention's tile by head size, within the device's workgroup memory; a large one only where there is work for it.
 * @param {number} d head size
 * @param {number} blocks heads times sequences
 * @param {number} rows queries
 * @param {{software: boolean, scalar: number, shared: number, causal?: boolean}} device and whether later keys are left out
 * @returns {AttentionTile}
 */
export function attentionTile(d, blocks, rows, { software, scalar, shared, causal }) {
  const tiles = !software ? ATTENTION_TILES : causal ? SOFTWARE_ATTENTION.slice(1) : SOFTWARE_ATTENTION;
  const fits = tiles.filter((tile) => attentionBytes(tile, d, scalar) <= shared);
  if (!fits.length) throw new Error(`attention: a head size of ${d} does not fit in workgroup memory`);
  const enough = (/** @type {AttentionTile} */ tile) => (software ? tile.TQ < 2 * rows : tile.TQ < 32 || Math.ceil(rows / tile.TQ) * blocks >= 4 * ENOUGH);
  return fits.find(enough) ?? fits[software ? fits.length - 1 : 0];
}
