import { attentionKey, attentionTuning, attention as tiledAttention } from "./attention.js";
import { rowAttention } from "./attention_row.js";
import { ACTIVATIONS, blocks, grid } from "./kernels.js";
import { normalizedByReaders } from "./fusion.js";
import { mostFewRows, normForm } from "./tuning.js";

/** @import {Constants, Resource} from "./kernels.js" */
/** @import {Planner} from "./plan.js" */
/** @import {GraphNode} from "../runtime/types.d.ts" */

/** What a language model adds to an encoder's operators: one function an operator, which pushes its dispatches. */

/** A workgroup for each of so many parts of the logits. */
const PARTS = 64;

/** @param {string} name @returns {Resource} */
const constant = (name) => ({ weights: [name], part: "vector" });

/** @param {Array<[number, Resource]>} bindings @param {number} slot @param {string} value */
const bind = (bindings, slot, value) => bindings.push([slot, { value }]);

/**
 * `add` followed by `rms_norm`: the sum is kept where others read it too.
 * @param {Planner} planner @param {GraphNode} add
 * @returns {boolean} whether there was such a pair
 */
export function addRmsNorm(planner, add) {
  const users = planner.users.get(add.output) ?? [];
  const norm = users.find((user) => user.op === "rms_norm" && Number(user.attrs.groups ?? 1) === 1);
  const [a, b] = add.inputs;
  // The sum is kept in float32, so the residual that comes before it was too.
  if (!norm || add.attrs.wide !== 1 || !planner.wide.has(a)) return false;
  planner.done.add(norm.name);
  planner.fused.add_rms_norm++;
  const kept = users.length > 1 || planner.graph.outputs.includes(add.output);
  rmsNorm(planner, norm, { a, b, sum: kept ? add.output : null });
  if (kept) planner.keep(add.output, add.shape[0] * add.shape[1], true);
  return true;
}

/**
 * @param {Planner} planner @param {GraphNode} node
 * @param {{a: string, b?: string, sum?: string | null}} [from] the summands; by default its input alone
 */
export function rmsNorm(planner, node, from = { a: node.inputs[0] }) {
  const { gpu } = planner;
  if (!from.b && normalizedByReaders(planner, node)) {
    planner.deferred.set(node.output, node);
    return;
  }
  const [rows, width] = node.shape;
  const groups = Number(node.attrs.groups ?? 1);
  const hidden = width / groups;
  const source = planner.at(from.a, width);
  const wide = planner.isWide(from.a) ? 1 : 0;
  /** @type {[number, Resource][]} */
  const bindings = [[0, constant(node.weights[0])], [1, { value: source.value }]];
  if (from.b) bind(bindings, 2, from.b);
  if (from.sum) bind(bindings, 3, from.sum);
  bind(bindings, 4, node.output);
  const wideOut = node.attrs.wide === 1;
  const WIDE_B = from.b && planner.isWide(from.b) ? 1 : 0;
  const WIDE_OUT = gpu.f16 && wideOut ? 1 : 0;
  const joined = { ADD: from.b ? 1 : 0, SUM: from.sum ? 1 : 0, WIDE: wide, WIDE_B, WIDE_OUT };
  const constants = {
    H: hidden,
    EPSILON: Number(node.attrs.epsilon),
    GROUPS: groups,
    STRIDE: source.stride,
    OFFSET: source.offset,
  };
  const count = rows * width;
  const make = (/** @type {Constants} */ tuning) => ({
    name: node.name,
    variant: { shader: "rms_norm", values: { ...normForm(gpu, hidden, tuning), ...joined }, constants },
    groups: /** @type {[number, number, number]} */ ([rows * groups, 1, 1]),
    bindings,
    flops: 4 * count,
    bytes: planner.scalar * count * 2,
  });
  const key = [`rms_norm ${rows * groups}x${hidden}`, ...(from.b ? ["sum"] : []), ...(wide ? ["wide"] : [])].join(" ");
  planner.push(planner.tuned(key, make), node.output, count, wideOut);
}

/** A rope that its attention does not take along. @param {Planner} planner @param {GraphNode} node */
export function rope(planner, node) {
  if (planner.onlyUser(node, "cached_attention")) {
    planner.deferred.set(node.output, node);
    return;
  }
  turn(planner, { name: node.name, q: node, rows: node.shape[0], length: node.inputs[1] });
}

/**
 * The rotation of q, and what goes to the caches.
 * @param {Planner} planner
 * @param {{name: string, q: GraphNode | null, rows: number, length: string,
 *   kv?: {k: string, v: string, turn: GraphNode | null, width: number, heads: number, caches: string[]}}} spec
 */
function turn(planner, { name, q, rows, length, kv }) {
  const table = (q ?? kv?.turn)?.weights[0];
  const width = q ? q.shape[1] : 0;
  const heads = q ? Number(q.attrs.heads) : 0;
  const d = q ? width / heads : kv ? kv.width / kv.heads : 1;
  const from = q ? planner.at(q.inputs[0], width) : null;
  /** @type {[number, Resource][]} */
  const bindings = table ? [[0, constant(table)]] : [];
  bind(bindings, 1, length);
  if (q && from) {
    bind(bindings, 2, from.value);
    bind(bindings, 3, q.output);
  }
  const k = kv ? planner.at(kv.k, kv.width) : { value: "", stride: 0, offset: 0 };
  const v = kv ? planner.at(kv.v, kv.width) : { value: "", stride: 0, offset: 0 };
  if (kv) {
    [k.value, v.value, ...kv.caches].forEach((value, i) => bind(bindings, 4 + i, value));
  }
  const constants = {
    D: d,
    T: rows,
    HEADS: heads,
    KV_HEADS: kv?.heads ?? 0,
    CAPACITY: kv ? planner.state(kv.caches[0]).shape[0] : 0,
    Q_STRIDE: from?.stride ?? 0,
    Q_OFFSET: from?.offset ?? 0,
    K_STRIDE: k.stride,
    K_OFFSET: k.offset,
    V_STRIDE: v.stride,
    V_OFFSET: v.offset,
  };
  const values = { TURN: table ? 1 : 0, Q: q ? 1 : 0, KV: kv ? 1 : 0 };
  const all = (heads + 2 * (kv?.heads ?? 0)) * d;
  const dispatch = {
    name,
    variant: { shader: "rope", values, constants },
    groups: /** @type {[number, number, number]} */ ([blocks(all / 2, 64), rows, 1]),
    bindings,
    flops: 3 * rows * all,
    bytes: planner.scalar * 2 * rows * all,
  };
  if (q) planner.push(dispatch, q.output, rows * width);
  else planner.dispatches.push(dispatch);
}

/** What comes before an attention that reads a cache. @param {Planner} planner @param {GraphNode} node */
function turnAndKeep(planner, node) {
  const [q, k, v, keyCache, valueCache, length] = node.inputs;
  const [rows] = node.shape;
  const [turnQ, turnK] = [q, k].map((name) => planner.deferred.get(name) ?? null);
  if (turnQ && !turnK) turn(planner, { name: turnQ.name, q: turnQ, rows, length });
  const kv = {
    k: turnK ? turnK.inputs[0] : k,
    v,
    turn: turnK,
    width: planner.state(keyCache).shape[1],
    heads: Number(node.attrs.kv_heads),
    caches: [keyCache, valueCache],
  };
  turn(planner, { name: `${node.name}.cache`, q: turnK ? turnQ : null, rows, length, kv });
}

/** @param {Planner} planner @param {GraphNode} node */
export function cachedAttention(planner, node) {
  const [q, , , keyCache, valueCache, length] = node.inputs;
  const [rows, width] = node.shape;
  const heads = Number(node.attrs.heads);
  const kvHeads = Number(node.attrs.kv_heads);
  const capacity = planner.state(keyCache).shape[0];
  const narrow = planner.state(keyCache).shape[1];
  if (!planner.cached.has(node.name)) turnAndKeep(planner, node);
  const from = planner.at(q, width);
  const share = heads / kvHeads;
  if (rows > mostFewRows(planner.gpu.software)) {
    const cache = { stride: narrow, offset: 0 };
    const spec = {
      name: node.name,
      batch: 1,
      sequence: rows,
      causal: true,
      heads,
      hidden: width,
      scale: Number(node.attrs.scale),
      q: from,
      k: { value: keyCache, ...cache },
      v: { value: valueCache, ...cache },
      mask: null,
      output: node.output,
      cache: { length, capacity, share },
    };
    const make = (/** @type {Constants} */ tuning) => tiledAttention(planner.gpu, { ...spec, tuning: attentionTuning(tuning) });
    planner.push(planner.tuned(attentionKey(spec), make), node.output, rows * width);
    return;
  }
  rowAttention(planner, node, { from, narrow, capacity });
}

/** An activation whose only reader multiplies it: they become one. @param {Planner} planner @param {GraphNode} node */
export function activation(planner, node) {
  const product = planner.onlyUser(node, "multiply");
  if (product && product.inputs[0] !== product.inputs[1]) planner.deferred.set(node.output, node);
  else planner.simple(node, "activation", { act: String(node.attrs.kind) });
}

/** @param {Planner} planner @param {GraphNode} node */
export function multiply(planner, node) {
  const [rows, width] = node.shape;
  let [a, b] = node.inputs;
  if (!planner.deferred.has(a) && planner.deferred.has(b)) [a, b] = [b, a];
  const gate = planner.deferred.get(a);
  const other = planner.deferred.get(b);
  if (gate && other) planner.simple(other, "activation", { act: String(other.attrs.kind) });
  const left = planner.at(gate ? gate.inputs[0] : a, width);
  const right = planner.at(b, width);
  if (gate) planner.fused.gated++;
  const count = rows * width;
  const constants = {
    COUNT: count,
    N: width,
    A_STRIDE: left.stride,
    A_OFFSET: left.offset,
    B_STRIDE: right.stride,
    B_OFFSET: right.offset,
  };
  const values = { ACT: ACTIVATIONS[gate ? String(gate.attrs.kind) : "none"] };
  planner.push(
    {
      name: node.name,
      variant: { shader: "multiply", values, constants },
      groups: grid(count, 256),
      bindings: [[0, { value: left.value }], [1, { value: right.value }], [2, { value: node.output }]],
      flops: 2 * count,
      bytes: planner.scalar * 3 * count,
    },
    node.output,
    count,
  );
}

/** @param {Planner} planner @param {GraphNode} node */
export function lastToken(planner, node) {
  const [, hidden] = node.shape;
  const [x] = node.inputs;
  const wide = planner.isWide(x);
  const rows = planner.elements(x) / hidden;
  const bindings = /** @type {[number, Resource][]} */ ([[0, { value: x }], [1, { value: node.output }]]);
  const variant = { shader: "last_token", values: { WIDE: wide ? 1 : 0 }, constants: { T: rows, H: hidden } };
  const work = { flops: 0, bytes: 2 * planner.scalar * hidden };
  planner.push({ name: node.name, variant, groups: [blocks(hidden, 64), 1, 1], bindings, ...work }, node.output, hidden, wide);
}

/** @param {Planner} planner @param {GraphNode} node */
export function nextToken(planner, node) {
  const [logits, token, tokens, length] = node.inputs;
  const V = planner.elements(logits);
  const THREADS = planner.gpu.software ? 4 : 256;
  const PART = blocks(V, PARTS);
  const parts = `${node.output}.parts`;
  const count = blocks(V, PART);
  planner.push(
    {
      name: parts,
      variant: { shader: "best_of_part", values: { THREADS, WIDE: planner.isWide(logits) ? 1 : 0 }, constants: { V, PART } },
      groups: [count, 1, 1],
      bindings: [[0, { value: logits }], [1, { value: parts }]],
      flops: V,
      bytes: 4 * V,
    },
    parts,
    2 * count,
    true,
  );
  const constants = { PARTS: count, COUNT: Number(node.attrs.count), POSITIONS: planner.state(tokens).shape[0] };
  const bindings = /** @type {[number, Resource][]} */ (
    [parts, token, tokens, length, node.output].map((value, slot) => [slot, { value }])
  );
  const variant = { shader: "next_token", values: { THREADS: planner.gpu.software ? 4 : PARTS }, constants };
  planner.push({ name: node.name, variant, groups: [1, 1, 1], bindings, flops: count, bytes: 8 * count }, node.output, 1, true);
}
