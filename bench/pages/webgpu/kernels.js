import { normForm } from "./tuning.js";

/** @import {Gpu} from "./device.js" */
/** @import {Variant} from "./pipelines.js" */
/** @import {Quantization} from "../runtime/types.d.ts" */

/**
 * What a binding points to: a part of the weights `names` (joined row after row), a named activation or input, or
 * whole numbers that never change.
 * @typedef {{weights: string[], part: "codes" | "scales" | "zeros" | "vector"} | {value: string} | {words: number[]}} Resource
 * What may be tuned has a `key`, the same for all kernels of one work, and is made anew with other constants. The last
 * binding is its output.
 * @typedef {{name: string, variant: Variant, groups: [number, number, number], bindings: [number, Resource][],
 *   flops: number, bytes: number, key?: string, remake?: (constants: Constants) => Dispatch}} Dispatch
 * @typedef {Record<string, number>} Constants
 */

/** @type {Record<string, number>} */
export const ACTIVATIONS = { none: 0, gelu: 1, gelu_tanh: 2, relu: 3, tanh: 4, sigmoid: 5, silu: 6 };
/** The activation that is told at each call. */
export const TOLD = 7;
const MAX_GROUPS = 65535;

/** @param {number} a @param {number} b */
export const blocks = (a, b) => Math.ceil(a / b);

/**
 * A grid for one thread an element that stays within the limit of a dimension.
 * @param {number} count
 * @param {number} size invocations a workgroup
 * @returns {[number, number, number]}
 */
export function grid(count, size) {
  const groups = blocks(count, size);
  return groups <= MAX_GROUPS ? [groups, 1, 1] : [MAX_GROUPS, blocks(groups, MAX_GROUPS), 1];
}

/**
 * What the template is told of each scheme (see `weights.inc.wgsl`).
 * @type {Record<string, Record<string, number>>}
 */
const SCHEMES = { symmetric: { ASYMMETRIC: 0 }, asymmetric: { ASYMMETRIC: 1 } };

/** @param {Quantization} quant */
export function weightValues(quant) {
  const scheme = SCHEMES[quant.bits < 16 ? quant.scheme : "symmetric"];
  if (!scheme) throw new Error(`webgpu: no kernel for weights that are ${quant.scheme}`);
  return { BITS: quant.bits, GROUP: quant.group_size, ...scheme };
}

/** The scheme that a variant was made for. @param {Record<string, number>} values */
export function schemeOf(values) {
  const known = Object.keys(Object.assign({}, ...Object.values(SCHEMES)));
  return Object.keys(SCHEMES).find((name) => known.every((key) => (SCHEMES[name][key] ?? 0) === (values[key] ?? 0))) ?? null;
}

/**
 * Constants of the powers of two that joined matrices, `rows` in all, are multiplied with; none where all are 1.
 * @param {number[]} exponents
 * @param {number} rows
 * @returns {{values: Record<string, number>, constants: Record<string, number>}}
 */
export function factors(exponents, rows) {
  if (!exponents.some((e) => e !== 0)) return { values: {}, constants: {} };
  const [a, b, c] = [0, 1, 2].map((i) => 2 ** (exponents[i] ?? 0));
  const constants = { PART: rows / exponents.length, FACTOR_0: a, FACTOR_1: b, FACTOR_2: c };
  return { values: { FACTORS: 1 }, constants };
}

/**
 * @param {string[]} names
 * @param {Quantization} quant
 * @returns {[number, Resource][]}
 */
export function weightBindings(names, quant) {
  /** @type {[number, Resource][]} */
  const bindings = [[0, { weights: names, part: "codes" }]];
  if (quant.bits < 16) bindings.push([1, { weights: names, part: "scales" }]);
  if (quant.bits < 16 && quant.scheme === "asymmetric") bindings.push([2, { weights: names, part: "zeros" }]);
  return bindings;
}

/** Bytes of `rows` packed rows, scales and zero points included. @param {Quantization} q @param {number} rows */
export function packedBytes(q, rows) {
  if (q.bits === 16) return rows * 4 * blocks(q.k, 2);
  const groups = q.kp / q.group_size;
  const zeros = q.scheme === "asymmetric" ? 4 * blocks(groups * q.bits, 32) : 0;
  return rows * ((q.kp * q.bits) / 8 + 2 * groups + zeros);
}

/**
 * out[rows, hidden] = table[ids] (+ other).
 * @param {Gpu} gpu
 * @param {{name: string, rows: number, vocab: number, quant: Quantization, weights: string[], ids: string,
 *   other: string | null, wide?: boolean, output: string}} spec
 * @returns {Dispatch}
 */
export function embedding(gpu, spec) {
  const { rows, quant } = spec;
  const units = quant.bits === 16 ? blocks(quant.k, 4) : (quant.kp * quant.bits) / 32;
  const powers = factors([quant.exponent ?? 0], spec.vocab);
  const values = { ...weightValues(quant), ...powers.values, ADD: spec.other ? 1 : 0, ...(spec.wide ? { WIDE: 1 } : {}) };
  const constants = { R: rows, H: quant.k, V: spec.vocab, KP: quant.kp, ...powers.constants };
  const bindings = weightBindings(spec.weights, quant);
  bindings.push([3, { value: spec.ids }]);
  if (spec.other) bindings.push([4, { value: spec.other }]);
  bindings.push([5, { value: spec.output }]);
  const bytes = packedBytes(quant, rows) + (gpu.f16 ? 2 : 4) * rows * quant.k * (spec.other ? 2 : 1);
  const variant = { shader: "embedding", values, constants };
  return { name: spec.name, variant, groups: [blocks(units, 64), rows, 1], bindings, flops: 0, bytes };
}

/**
 * @param {Gpu} gpu
 * @param {{name: string, rows: number, hidden: number, epsilon: number, gamma: string, beta: string, input: string,
 *   other: string | null, output: string, tuning?: Record<string, number>}} spec
 * @returns {Dispatch}
 */
export function layerNorm(gpu, spec) {
  /** @type {[number, Resource][]} */
  const bindings = [
    [0, { weights: [spec.gamma], part: "vector" }],
    [1, { weights: [spec.beta], part: "vector" }],
    [2, { value: spec.input }],
  ];
  if (spec.other) bindings.push([3, { value: spec.other }]);
  bindings.push([4, { value: spec.output }]);
  const values = { ADD: spec.other ? 1 : 0, ...normForm(gpu, spec.hidden, spec.tuning) };
  const variant = { shader: "layer_norm", values, constants: { H: spec.hidden, EPSILON: spec.epsilon } };
  const count = spec.rows * spec.hidden;
  const bytes = (gpu.f16 ? 2 : 4) * count * (spec.other ? 3 : 2);
  return { name: spec.name, variant, groups: [spec.rows, 1, 1], bindings, flops: 8 * count, bytes };
}

/**
 * A column of heads inside a row-major buffer.
 * @typedef {{value: string, stride: number, offset: number}} Columns
 */

/**
 * The windows of a one-dimensional convolution side by side (see `bench/models/graph.py`).
 * @param {Gpu} gpu
 * @param {{name: string, rows: number, width: number, batch: number, sequence: number, kernel: number,
 *   stride: number, padding: number, input: string, output: string, tuning?: Record<string, number>}} spec
 * @returns {Dispatch}
 */
export function unfold(gpu, spec) {
  const count = spec.rows * spec.width;
  const THREADS = spec.tuning?.UNFOLD_THREADS ?? 256;
  const constants = {
    COUNT: count,
    C: spec.width / spec.kernel,
    S: spec.sequence,
    T: spec.rows / spec.batch,
    KERNEL: spec.kernel,
    STRIDE: spec.stride,
    PADDING: spec.padding,
  };
  return {
    name: spec.name,
    variant: { shader: "unfold", values: { THREADS }, constants },
    groups: grid(count, THREADS),
    bindings: [[0, { value: spec.input }], [1, { value: spec.output }]],
    flops: 0,
    bytes: (gpu.f16 ? 2 : 4) * (count + (spec.batch * spec.sequence * spec.width) / spec.kernel),
  };
}

/**
 * The small operators: one input (and a mask or a second input), one output.
 * @param {Gpu} gpu
 * @param {"add" | "activation" | "mean_pool" | "first_token" | "l2_normalize" | "softmax"} shader
 * @param {{name: string, inputs: string[], output: string, rows: number, hidden: number, sequence?: number,
 *   act?: string, epsilon?: number, wide?: Record<string, number>}} spec
 * @returns {Dispatch}
 */
export function simple(gpu, shader, spec) {
  const count = spec.rows * spec.hidden;
  /** @type {Record<string, number>} */
  const values = shader === "activation" ? { ACT: ACTIVATIONS[spec.act ?? "none"] } : { ...spec.wide };
  /** @type {Record<string, number>} */
  let constants = { H: spec.hidden };
  /** @type {[number, number, number]} */
  let groups = [spec.rows, 1, 1];
  if (shader === "add" || shader === "activation") {
    constants = { COUNT: count };
    groups = grid(count, 256);
  } else if (shader === "mean_pool" || shader === "first_token") {
    constants = { T: spec.sequence ?? 1, H: spec.hidden };
    groups = [blocks(spec.hidden, 64), spec.rows, 1];
  } else if (shader === "l2_normalize") {
    constants = { H: spec.hidden, EPSILON: spec.epsilon ?? 1e-12 };
  }
  const bindings = /** @type {[number, Resource][]} */ (
    [...spec.inputs, spec.output].map((value, slot) => [slot, { value }])
  );
  const bytes = (gpu.f16 ? 2 : 4) * count * (spec.inputs.length + 1) * (spec.sequence ?? 1);
  return { name: spec.name, variant: { shader, values, constants }, groups, bindings, flops: count, bytes };
}
