import { blocks } from "./kernels.js";
import { SOFTWARE_ROW, SOFTWARE_THREADS, lanesOf, mostFewRows } from "./tuning.js";

/** @import {Gpu} from "./device.js" */
/** @import {Dispatch, Resource} from "./kernels.js" */
/** @import {MatmulSpec, Shared} from "./matmul.js" */

/** What activations take of workgroup memory at most: two thirds, of what every device has a half. */
const stagedBytes = (/** @type {number} */ shared) => (shared >= 32768 ? Math.floor((shared * 2) / 3) : 8192);
/** Bytes that a staged value takes: two of whole numbers and an eighth of a scale and a sum, or a float. */
const STAGED_BYTES_OF = { fixed: 2.5, float: 4 };
/**
 * How many threads sum up one output together, and whether they are a subgroup.
 * @param {Gpu} gpu
 * @param {Record<string, number>} tuning
 */
function teamOf(gpu, tuning) {
  const size = tuning.SUBGROUPS !== 0 ? lanesOf(gpu) : null;
  const TEAM = tuning.TEAM ?? size ?? (gpu.software ? SOFTWARE_THREADS : 32);
  return { TEAM, SUBGROUPS: TEAM === size ? 1 : 0 };
}

/**
 * Whether the device lets a kernel bind that many buffers.
 * @param {Gpu} gpu @param {Pick<MatmulSpec, "quant" | "bias" | "residual" | "turn">} spec
 */
export function rowBindings(gpu, spec) {
  const { quant, bias, residual, turn } = spec;
  const packed = quant.bits < 16 ? 1 + (quant.scheme === "asymmetric" ? 1 : 0) : 0;
  const needed = 3 + packed + (bias ? 1 : 0) + (residual ? 1 : 0) + (turn ? 3 : 0);
  return needed <= gpu.device.limits.maxStorageBuffersPerShaderStage;
}

/**
 * The kernel for a few rows.
 * @param {Gpu} gpu
 * @param {MatmulSpec} spec
 * @param {Shared} shared
 * @returns {Pick<Dispatch, "variant" | "groups" | "bindings">}
 */
export function rowMatmul(gpu, spec, { values, constants, bindings }) {
  const { m, n, quant, tuning } = spec;
  const { k } = quant;
  const paired = spec.gated || spec.turn !== undefined;
  const FIXED = quant.bits < 16 && gpu.dp4a && (tuning.FIXED ?? (gpu.software ? 0 : 1)) === 1 ? 1 : 0;
  const NORM = spec.norm ? k : 0;
  const STAGED = FIXED || NORM || (tuning.STAGED ?? (gpu.software ? 0 : 1)) ? 1 : 0;
  const { TEAM, SUBGROUPS } = teamOf(gpu, tuning);
  const THREADS = Math.max(TEAM, tuning.THREADS ?? (gpu.software ? SOFTWARE_ROW.THREADS : 256));
  const MR = Math.min(m, mostFewRows(gpu.software));
  const words = quant.bits === 16 ? blocks(k, 2) : (quant.kp * quant.bits) / 32;
  const WVEC = words % 4 === 0 && k % 4 === 0 ? 1 : 0;
  const PW = WVEC ? 4 : quant.bits === 16 ? 2 : FIXED ? quant.bits / 2 : 1;
  const GROUP_WORDS = quant.bits < 16 ? (quant.group_size * quant.bits) / 32 : 0;
  const SCALES = GROUP_WORDS ? Math.max(1, Math.floor(PW / GROUP_WORDS)) : 0; // of a thread's piece
  const AHEAD = WVEC && (tuning.AHEAD ?? (gpu.software ? 0 : 1)) === 1 ? 1 : 0;
  const ROWS = tuning.ROWS ?? (gpu.software ? SOFTWARE_ROW.ROWS : paired ? 2 : MR > 1 || n < 4096 ? 1 : 2);
  if (paired && ROWS % 2) throw new Error(`matmul_row: ROWS ${ROWS} is odd, and rows end in pairs here`);
  const most = Math.floor(stagedBytes(gpu.device.limits.maxComputeWorkgroupStorageSize) / MR / (FIXED ? STAGED_BYTES_OF.fixed : STAGED_BYTES_OF.float) / 64) * 64;
  const BLOCK = STAGED ? Math.min(tuning.BLOCK ?? most, blocks(quant.kp, 64) * 64) : blocks(quant.kp, 64) * 64;
  const { residual, norm, turn } = spec;
  return {
    variant: {
      shader: "matmul_row",
      values: {
        ...values, ROWS, MR, TEAM, THREADS, SUBGROUPS, WVEC, PW, FIXED, STAGED: FIXED ? 0 : STAGED, BLOCK,
        SCALES, GROUP_WORDS, AHEAD, ...(NORM ? { NORM } : {}), ...(spec.gated ? { GATED: 1 } : {}), ...(turn ? { TURN: 1 } : {}), ...(residual ? { RESIDUAL: 1 } : {}),
      },
      constants: { ...constants, ...(norm ? { EPSILON: norm.epsilon } : {}), ...(turn ? turn.constants : {}) },
    },
    groups: [blocks(n, ROWS * (THREADS / TEAM)), blocks(m, MR), 1],
    bindings: [
      ...bindings,
      ...(residual ? [value(6, residual)] : []),
      ...(norm ? [vector(7, norm.gamma)] : []),
      ...(turn ? [vector(8, turn.table), value(9, turn.length), value(10, turn.caches[0]), value(11, turn.caches[1])] : []),
    ],
  };
}

/** @param {number} slot @param {string} name @returns {[number, Resource]} */
const value = (slot, name) => [slot, { value: name }];

/** @param {number} slot @param {string} name @returns {[number, Resource]} */
const vector = (slot, name) => [slot, { weights: [name], part: "vector" }];
