import { MATRIX_TILES } from "./matmul_matrix.js";
import { ATTENTION_TILES, SOFTWARE_ATTENTION, SOFTWARE_TILES, TILES, WIDE_TILE } from "./tuning.js";

/** @import {Gpu} from "./device.js" */
/** @import {Constants, Dispatch} from "./kernels.js" */

/** Every combination of the values. @param {Record<string, number[]>} axes @returns {Constants[]} */
function product(axes) {
  return Object.entries(axes).reduce(
    (all, [name, values]) => all.flatMap((one) => values.map((value) => ({ ...one, [name]: value }))),
    /** @type {Constants[]} */ ([{}]),
  );
}

const NARROW = { BM: 16, BN: 64, BK: 32, TM: 2, TN: 4 };
const FLAT = { BM: 32, BN: 64, BK: 32, TM: 4, TN: 2 };
/** For a processor: an invocation is a loop's turn, and its vectors are as wide as its tile. */
const ON_PROCESSOR = [
  ...SOFTWARE_TILES,
  { BM: 16, BN: 64, BK: 32, TM: 8, TN: 16 },
  { BM: 16, BN: 64, BK: 32, TM: 8, TN: 8 },
  { BM: 16, BN: 32, BK: 64, TM: 8, TN: 8 },
  { BM: 16, BN: 32, BK: 32, TM: 4, TN: 8 },
  { BM: 16, BN: 16, BK: 32, TM: 4, TN: 4 },
];

/**
 * Forms of each kernel that have won somewhere (`docs/performance.md`), the likeliest first.
 * @type {Record<string, (gpu: Gpu, values: Constants) => Constants[]>}
 */
const FORMS = {
  matmul_tile: ({ software }) =>
    software ? ON_PROCESSOR : [...TILES, WIDE_TILE, FLAT, NARROW].flatMap((tile) => [tile, { ...tile, PREFETCH: 0 }]),
  matmul_matrix: () => [...MATRIX_TILES],
  matmul_row: ({ software }, { FIXED }) =>
    software
      ? product({ ROWS: [8, 4, 2], THREADS: [8, 16, 4] })
      : [...product({ ROWS: [1, 2, 4], THREADS: [256, 128, 64] }), ...product({ ROWS: [1, 2], AHEAD: [0] }), ...(FIXED ? product({ FIXED: [0], ROWS: [1, 2, 4] }) : [])],
  attention: ({ software }, { CAUSAL }) => (software ? (CAUSAL ? SOFTWARE_ATTENTION.slice(1) : [...SOFTWARE_ATTENTION, { TQ: 16, TK: 32, RQ: 8, RK: 8 }]) : [...ATTENTION_TILES]),
  attention_matrix: () => product({ TQ: [32, 64] }),
  attention_row: () => product({ LOADS: [1, 4, 8, 16] }),
  layer_norm: ({ software }) => product(software ? { NORM_THREADS: [1, 4, 8] } : { NORM_THREADS: [64, 128, 256, 512], EACH: [1, 0] }),
  rms_norm: ({ software }) => product(software ? { NORM_THREADS: [1, 4, 8] } : { NORM_THREADS: [64, 128, 256, 512], EACH: [1, 0] }),
};

/**
 * Other forms of a kernel: their constants, and what they come to. Those that this device or this shape does not allow,
 * and those that come to what is there already, are left out.
 * @param {Gpu} gpu
 * @param {Dispatch} dispatch with a key
 * @param {number} most how many
 * @returns {{constants: Constants, dispatch: Dispatch}[]}
 */
export function candidates(gpu, dispatch, most) {
  const forms = FORMS[dispatch.variant.shader]?.(gpu, dispatch.variant.values) ?? [];
  const known = new Set([sameness(dispatch)]);
  const found = [];
  for (const constants of forms) {
    const made = attempt(dispatch, constants);
    if (!made || made.variant.shader !== dispatch.variant.shader || !fits(gpu, made) || known.has(sameness(made))) continue;
    known.add(sameness(made));
    found.push({ constants, dispatch: made });
    if (found.length === most) break;
  }
  return found;
}

/** @param {Dispatch} dispatch */
const sameness = ({ variant, groups }) => JSON.stringify([variant, groups]);

/** @param {Dispatch} dispatch @param {Constants} constants @returns {Dispatch | null} null where the kernel says that it cannot be */
function attempt(dispatch, constants) {
  try {
    return dispatch.remake?.(constants) ?? null;
  } catch {
    return null;
  }
}

/** Whether a workgroup has no more threads than the device allows; what else it lacks, its compiler says. @param {Gpu} gpu @param {Dispatch} dispatch */
function fits(gpu, { variant: { values } }) {
  const { maxComputeInvocationsPerWorkgroup: most, maxComputeWorkgroupSizeX: wide } = gpu.device.limits;
  const threads = values.THREADS ?? (values.TM ? (values.BM / values.TM) * (values.BN / values.TN) : 1);
  return Number.isInteger(threads) && threads <= most && threads <= wide;
}
