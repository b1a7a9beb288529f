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

/** On a processor each invocation is a loop's turn: few of them, each with more to do, win. */
export const SOFTWARE_TILE = /** @type {Tile} */ ({ BM: 16, BN: 16, BK: 32, TM: 4, TN: 4 });

/** A GPU hides the way to memory behind arithmetic; a processor only has more code to compile. */
export const SOFTWARE_PREFETCH = 0;

/** Where a row is summed up by a workgroup: one vector of a processor's lanes needs no barrier between threads. */
export const SOFTWARE_THREADS = 4;

/** Workgroups that keep a large GPU busy: with fewer, a smaller tile is faster although it reads more. */
const ENOUGH = 64;

/**
 * @param {number} m rows
 * @param {number} n columns
 * @param {boolean} software
 * @param {Record<string, number>} forced values that a benchmark or a task sets
 * @returns {Tile}
 */
export function chooseTile(m, n, software, forced) {
  const groups = (/** @type {Tile} */ t) => Math.ceil(m / t.BM) * Math.ceil(n / t.BN);
  const fitting = TILES.filter((t) => t.BM < 2 * m);
  const hardware = fitting.find((t) => groups(t) >= (t.BM === 64 ? 16 : 1) * ENOUGH) ?? fitting[fitting.length - 1] ?? TILES[TILES.length - 1];
  const chosen = software ? SOFTWARE_TILE : hardware;
  return {
    BM: forced.BM ?? chosen.BM,
    BN: forced.BN ?? chosen.BN,
    BK: forced.BK ?? chosen.BK,
    TM: forced.TM ?? chosen.TM,
    TN: forced.TN ?? chosen.TN,
  };
}

/** How far rows are turned against each other in shared memory; both thread counts must be multiples of it. @param {Tile} t */
export function turnOf(t) {
  return (t.BM / t.TM) % 8 === 0 && (t.BN / t.TN) % 8 === 0 ? 8 : 1;
}

/** Up to this many rows the one-row kernel wins: it reads the weights once a row, without shared memory. */
export const ROW_KERNEL_MAX_ROWS = 4;

/**
 * Attention's tile by head size, within 16 KiB of workgroup memory.
 * @param {number} d head size
 * @param {boolean} software
 */
export function attentionTile(d, software) {
  const LANES = (software ? [2, 1] : [8, 4, 2, 1]).find((lanes) => d % lanes === 0) ?? 1;
  const bytes = (/** @type {number} */ tq, /** @type {number} */ tk) => 4 * ((tq + tk) * (d + 1) + tq * (tk + 1));
  for (const [TQ, TK] of software ? [[4, 16], [4, 4]] : [[16, 32], [16, 16], [8, 16], [8, 8], [4, 4]]) {
    if (bytes(TQ, TK) <= 16384) {
      return { TQ, TK, LANES };
    }
  }
  throw new Error(`attention: a head size of ${d} does not fit in workgroup memory`);
}
