import { ACTIVATIONS, factors, packedBytes, weightBindings, weightValues } from "./kernels.js";
import { hasMatrices, matrixMatmul } from "./matmul_matrix.js";
import { rowMatmul } from "./matmul_row.js";
import { tileMatmul } from "./matmul_tile.js";
import { mostFewRows } from "./tuning.js";

/** @import {Gpu} from "./device.js" */
/** @import {Dispatch, Resource} from "./kernels.js" */
/** @import {Quantization} from "../runtime/types.d.ts" */

/**
 * What is joined with a matmul. `residual`: a float32 value that is added last. `norm`: the input is normalized
 * (rms_norm) on its way. `gated`: W joins a gate and what it opens, and the output is half as wide. `turn`: W joins q,
 * k and v, which are rotated; k and v go to the caches. The last three only with a few rows. `window`: the input is
 * what a convolution's windows are of, and m are those; only with many rows.
 * @typedef {{name: string, m: number, n: number, quant: Quantization, weights: string[], bias: string[] | null,
 *   exponents?: number[], act: string, wide?: boolean, wideInput?: boolean, input: string, output: string,
 *   tuning: Record<string, number>, residual?: string, norm?: {gamma: string, epsilon: number}, gated?: boolean,
 *   turn?: {table: string, length: string, caches: string[], constants: Record<string, number>},
 *   window?: Window}} MatmulSpec
 * @typedef {{batch: number, sequence: number, kernel: number, stride: number, padding: number}} Window
 * @typedef {{values: Record<string, number>, constants: Record<string, number>, bindings: [number, Resource][]}} Shared
 */

/** Whether the kernel for a few rows is taken. @param {Gpu} gpu @param {number} m @param {Record<string, number>} tuning */
export const byRow = (gpu, m, tuning) => (tuning.ROW_KERNEL !== undefined ? tuning.ROW_KERNEL === 1 : m <= mostFewRows(gpu.software));

/** What a matmul does, by which constants are found for it. @param {Omit<MatmulSpec, "tuning">} spec */
export function keyOf({ m, n, quant, ...spec }) {
  const format = quant.bits < 16 ? [`${quant.bits}-bit`, `groups of ${quant.group_size}`, quant.scheme] : ["16-bit"];
  const joined = /** @type {const} */ (["norm", "turn", "gated", "residual", "wide", "wideInput", "window"]).filter((name) => spec[name]);
  return [`matmul ${m}x${n}x${quant.k}`, ...format, ...(spec.act === "none" ? [] : [spec.act]), ...joined].join(" ");
}

/**
 * out[m, n] = act(a[m, k] W^T + bias), and what is joined with it.
 * @param {Gpu} gpu
 * @param {MatmulSpec} spec
 * @returns {Dispatch}
 */
export function matmul(gpu, spec) {
  const { m, n, quant } = spec;
  const k = quant.k;
  const powers = factors(spec.exponents ?? [quant.exponent ?? 0], n);
  // A GPU's compiler makes more of shapes that it knows, and takes milliseconds.
  const uniform = (spec.tuning.UNIFORM ?? (gpu.software ? 1 : 0)) === 1;
  const values = {
    ...weightValues(quant),
    ...powers.values,
    BIAS: spec.bias ? 1 : 0,
    ACT: ACTIVATIONS[spec.act],
    KVEC: k % 4 === 0 && !spec.window ? 1 : 0,
    ...(spec.window ? { WINDOW: 1, KERNEL: spec.window.kernel } : {}),
    ...(spec.wide ? { WIDE: 1 } : {}),
    ...(spec.wideInput ? { WIDE_A: 1 } : {}),
    ...(uniform ? { UNIFORM: 1 } : {}),
  };
  const window = spec.window && { STEPS: spec.window.sequence, WINDOWS: m / spec.window.batch, STRIDE: spec.window.stride, PADDING: spec.window.padding };
  const constants = { ...(uniform ? {} : { M: m, N: n, K: k, KP: quant.kp, ...window }), ...powers.constants };
  const bindings = weightBindings(spec.weights, quant);
  if (spec.bias) bindings.push([3, { weights: spec.bias, part: "vector" }]);
  if (uniform) bindings.push([15, { words: [m, n, k, quant.kp] }]);
  if (uniform && window) bindings.push([14, { words: Object.values(window) }]);
  bindings.push([4, { value: spec.input }]);
  // A tile of the other kernel forces that one; `MATRICES` of 0 this one, with its sums by hand.
  const matrices = gpu.f16 && spec.tuning.TM === undefined && (spec.tuning.MATRICES !== undefined || hasMatrices(gpu));
  const make = byRow(gpu, m, spec.tuning) ? rowMatmul : matrices ? matrixMatmul : tileMatmul;
  const read = spec.window ? (spec.window.batch * spec.window.sequence * k) / spec.window.kernel : m * k;
  const bytes = packedBytes(quant, n) + (gpu.f16 ? 2 : 4) * (read + m * n);
  const made = make(gpu, spec, { values, constants, bindings });
  made.bindings.push([5, { value: spec.output }]);
  return { name: spec.name, ...made, flops: 2 * m * n * k, bytes };
}
