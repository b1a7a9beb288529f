import { blocks } from "./kernels.js";
import { hasMatrices } from "./matmul_matrix.js";
import { attentionTile } from "./tuning.js";

/** @import {Gpu} from "./device.js" */
/** @import {Columns, Dispatch, Resource} from "./kernels.js" */

/**
 * Without `keys` there are as many as queries, without `mask` all of them count. With `cache`, keys and values are a
 * cache's rows up to the queries' own, a head of them for `share` of the queries'.
 * @typedef {{name: string, batch: number, sequence: number, keys?: number, causal?: boolean, heads: number,
 *   hidden: number, scale: number, q: Columns, k: Columns, v: Columns, mask: string | null, output: string,
 *   tuning?: Record<string, number>, cache?: {length: string, capacity: number, share: number}}} AttentionSpec
 */

/** Fewest queries for which a matrix unit's sixteen are worth while. */
const MANY = 16;
/** Keys of a tile. */
const KEYS = 32;
/** Workgroups that keep a large GPU busy with the larger tile. */
const ENOUGH = 264;

/** What of the values forced on a plan is attention's: tiles go by other names in matmuls. @param {Record<string, number>} tuning */
export function attentionTuning(tuning) {
  const mine = ["TQ", "TK", "RQ", "RK", "MATRICES"].filter((name) => tuning[name] !== undefined);
  return Object.fromEntries(mine.map((name) => [name, tuning[name]]));
}

/** What an attention does, by which constants are found for it. @param {Omit<AttentionSpec, "tuning">} spec */
export function attentionKey({ batch, sequence, heads, hidden, ...spec }) {
  const keys = spec.cache ? `cache of ${spec.cache.capacity}` : `${spec.keys ?? sequence} keys`;
  const more = [...(spec.causal ? ["causal"] : []), ...(spec.mask ? ["mask"] : []), ...(spec.cache ? [`${spec.cache.share} a head`] : [])];
  return [`attention ${batch}x${sequence}, ${keys}, ${heads} heads of ${hidden / heads}`, ...more].join(" ");
}

/** Whether heads and their places are whole vectors of so many. @param {AttentionSpec} spec @param {number} n */
function aligned({ hidden, heads, q, k, v }, n) {
  return [hidden / heads, hidden, ...[q, k, v].flatMap((one) => [one.stride, one.offset])].every((size) => size % n === 0);
}

/** Bytes of workgroup memory of the kernel for matrix units. @param {number} queries @param {number} d */
export function matrixAttentionBytes(queries, d) {
  return 16 * ((queries + 2 * KEYS) * (d / 8 + 1) + queries * (KEYS / 8 + 1)) + 16 * queries * (Math.ceil(Math.max(d, KEYS) / 32) * 8 + 2) + 8 * queries;
}

/**
 * The tile for matrix units, or null where another kernel is to run; `tuning.MATRICES` of 0 has their sums made by hand.
 * @param {Gpu} gpu @param {AttentionSpec} spec
 * @returns {{TQ: number, TK: number} | null}
 */
function matrixTile(gpu, spec) {
  const d = spec.hidden / spec.heads;
  const { tuning = {} } = spec;
  const wanted = tuning.MATRICES === 0 || hasMatrices(gpu);
  if (!gpu.f16 || !wanted || tuning.RQ !== undefined || d % 16 || !aligned(spec, 8) || spec.sequence < MANY) return null;
  const { maxComputeWorkgroupStorageSize: shared, maxComputeInvocationsPerWorkgroup: invocations } = gpu.device.limits;
  const fits = [64, 32].filter((queries) => matrixAttentionBytes(queries, d) <= shared && 2 * queries <= invocations);
  const groups = (/** @type {number} */ queries) => blocks(spec.sequence, queries) * spec.heads * spec.batch;
  const TQ = tuning.TQ ?? fits.find((queries) => queries === 32 || groups(queries) >= ENOUGH);
  return TQ === undefined ? null : { TQ, TK: KEYS };
}

/**
 * out = softmax(q k^T * scale) v.
 * @param {Gpu} gpu
 * @param {AttentionSpec} spec
 * @returns {Dispatch}
 */
export function attention(gpu, spec) {
  const d = spec.hidden / spec.heads;
  const { cache } = spec;
  const keys = spec.keys ?? (cache ? cache.capacity : spec.sequence);
  const scalar = gpu.f16 ? 2 : 4;
  const constants = {
    T: spec.sequence,
    ...(cache ? { CAPACITY: cache.capacity, SHARE: cache.share } : { S: keys }),
    SCALE: spec.scale,
    Q_STRIDE: spec.q.stride,
    K_STRIDE: spec.k.stride,
    V_STRIDE: spec.v.stride,
    O_STRIDE: spec.hidden,
    Q_OFFSET: spec.q.offset,
    K_OFFSET: spec.k.offset,
    V_OFFSET: spec.v.offset,
  };
  const { shader, form } = formOf(gpu, spec, scalar);
  const values = { D: d, ...form, MASK: spec.mask ? 1 : 0, CAUSAL: spec.causal ? 1 : 0, ...(cache ? { CACHE: 1 } : {}) };
  /** @type {[number, Resource][]} */
  const bindings = [
    [0, { value: spec.q.value }],
    [1, { value: spec.k.value }],
    [2, { value: spec.v.value }],
  ];
  if (spec.mask) bindings.push([3, { value: spec.mask }]);
  if (cache) bindings.push([3, { value: cache.length }]);
  bindings.push([4, { value: spec.output }]);
  const rows = spec.batch * spec.sequence;
  return {
    name: spec.name,
    variant: { shader, values, constants },
    groups: [blocks(spec.sequence, form.TQ), spec.heads, spec.batch],
    bindings,
    flops: 4 * rows * keys * spec.hidden,
    bytes: scalar * 2 * (rows + spec.batch * keys) * spec.hidden,
  };
}

/**
 * Which kernel, and its tile.
 * @param {Gpu} gpu @param {AttentionSpec} spec @param {number} scalar
 * @returns {{shader: string, form: Record<string, number>}}
 */
function formOf(gpu, spec, scalar) {
  const units = matrixTile(gpu, spec);
  if (units) {
    const MATRICES = hasMatrices(gpu) && spec.tuning?.MATRICES !== 0 ? 1 : 0;
    return { shader: "attention_matrix", form: { ...units, MATRICES, SUBGROUPS: MATRICES } };
  }
  const shared = gpu.device.limits.maxComputeWorkgroupStorageSize;
  const device = { software: gpu.software, scalar, shared, causal: spec.causal };
  const chosen = attentionTile(spec.hidden / spec.heads, spec.heads * spec.batch, spec.sequence, device);
  const { TQ, TK, RQ, RK } = { ...chosen, ...spec.tuning };
  return { shader: "attention", form: { TQ, TK, RQ, RK, VEC: aligned(spec, 4) ? 1 : 0 } };
}
