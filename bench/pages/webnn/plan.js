import { matrixBytes } from "./once.js";

/** @import {Program} from "../runtime/types.d.ts" */

/**
 * How the graph that is timed holds its packed matrices.
 * - `dequantized`: unpacked once by a graph of its own, then constants of the values;
 * - `packed`: integers, scaled by group with a broadcast `mul` at each call;
 * - `blockwise`, `per-channel`: integers and `dequantizeLinear` at each call, a scale a group or a row;
 * - `qdq-int8`: the same by row, and activations quantized too, which a backend can join into one int8 product.
 * @typedef {"dequantized" | "packed" | "per-channel" | "blockwise" | "qdq-int8"} Form
 * @typedef {{asked: string, ran: Form | null, why: string}} Plan `ran` is null where nothing is packed
 */

/** More float32 weights than this are not held unpacked unless that is asked for. */
const MOST_BYTES = 2 ** 31;

/** @param {number} bytes */
const megabytes = (bytes) => `${(bytes / 1e6).toFixed(bytes < 1e8 ? 1 : 0)} MB`;

/**
 * The plan of a program: the one that is asked for, or for `auto` the one that no call unpacks in, where there is room.
 * Fused int8 products are never chosen unasked: they round activations too.
 * @param {string} asked
 * @param {Record<string, any>} limits what `MLContext.opSupportLimits()` says
 * @param {Program} program
 * @returns {Plan}
 */
export function planOf(asked, limits, program) {
  const sizes = matrixBytes(program);
  if (sizes.length === 0) return { asked, ran: null, why: "16-bit weights are held as they are" };
  if (asked !== "auto") return { asked, ran: /** @type {Form} */ (asked), why: "asked for" };
  const [all, largest] = [sizes.reduce((a, b) => a + b, 0), Math.max(...sizes)];
  const most = limits.maxTensorByteLength ?? MOST_BYTES;
  if (largest > most) {
    return { asked, ran: "packed", why: `a matrix of ${megabytes(largest)} as float32 is over maxTensorByteLength = ${most}` };
  }
  if (all > MOST_BYTES) return { asked, ran: "packed", why: `as float32 the matrices would take ${megabytes(all)}` };
  if (!limits.output?.dataTypes?.includes("float32")) {
    return { asked, ran: "packed", why: "a graph here has no float32 output to read unpacked weights from" };
  }
  return { asked, ran: "dequantized", why: `as float32 the matrices take ${megabytes(all)}, and no call unpacks them` };
}

/** What the choice went by, for the row. @param {Record<string, any>} limits */
export function limitsShown(limits) {
  return {
    constant: limits.constant?.dataTypes ?? null,
    dequantizeLinear: limits.dequantizeLinear?.input?.dataTypes ?? null,
    quantizeLinear: limits.quantizeLinear?.output?.dataTypes ?? null,
    maxTensorByteLength: limits.maxTensorByteLength ?? null,
  };
}
