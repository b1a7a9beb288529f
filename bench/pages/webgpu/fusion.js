import { byRow } from "./matmul.js";
import { rowBindings } from "./matmul_row.js";

/** @import {MatmulSpec, Window} from "./matmul.js" */
/** @import {Planner} from "./plan.js" */
/** @import {GraphNode} from "../runtime/types.d.ts" */

/**
 * What a linear of a few rows takes along, so that a layer of a language model is five dispatches: each that waits for
 * the one before costs microseconds, whatever it computes. And what one of many rows does: a convolution's windows.
 */

/** A gate's two linears with the gate first; others as they are. @param {Planner} planner @param {GraphNode[]} nodes */
export function inOrder(planner, nodes) {
  const gate = nodes.findIndex((node) => planner.reader(node)?.op === "activation");
  return nodes.length === 2 && gate === 1 ? [nodes[1], nodes[0]] : nodes;
}

/**
 * `act(gate) * up` of two joined linears.
 * @param {Planner} planner @param {GraphNode[]} nodes
 * @returns {{product: GraphNode, act: string, done: GraphNode[]} | null}
 */
export function gateOf(planner, nodes) {
  if (nodes.length !== 2 || nodes[0].shape[1] !== nodes[1].shape[1]) return null;
  const [gate, up] = nodes;
  const act = planner.onlyUser(gate, "activation");
  const product = act && planner.onlyUser(act, "multiply");
  if (!act || !product || planner.onlyUser(up, "multiply") !== product || product.attrs.wide === 1) return null;
  return { product, act: String(act.attrs.kind), done: [act, product] };
}

/**
 * A sum in float32 that a linear's output alone goes to, whose other summand is there.
 * @param {Planner} planner @param {GraphNode[]} nodes
 * @returns {{node: GraphNode, other: string, done: GraphNode[]} | null}
 */
export function residualOf(planner, nodes) {
  const add = nodes.length === 1 ? planner.onlyUser(nodes[0], "add") : null;
  const other = add?.inputs.find((name) => name !== nodes[0].output);
  if (!add || !other || add.attrs.wide !== 1 || !planner.wide.has(other) || !planner.values.has(other)) return null;
  return { node: add, other, done: [add] };
}

/**
 * Joined q, k and v that are turned and kept: what is then left of the attention is to read the cache.
 * @param {Planner} planner @param {GraphNode[]} nodes
 * @returns {{q: GraphNode, spec: NonNullable<MatmulSpec["turn"]>, done: GraphNode[]} | null}
 */
export function turnOf(planner, nodes) {
  if (nodes.length !== 3) return null;
  const [q, k] = nodes.slice(0, 2).map((node) => planner.onlyUser(node, "rope"));
  const attention = q && planner.onlyUser(q, "cached_attention");
  if (!q || !k || !attention) return null;
  const [first, second, third, keys, values, length] = attention.inputs;
  const reads = first === q.output && second === k.output && third === nodes[2].output;
  const alone = [k, nodes[2]].every((node) => planner.reader(node) === attention);
  const same = q.inputs[1] === length && k.inputs[1] === length && q.weights[0] === k.weights[0];
  if (!reads || !alone || !same) return null;
  const heads = Number(attention.attrs.heads);
  const d = q.shape[1] / heads;
  const constants = { D: d, HEADS: heads, KV_HEADS: Number(attention.attrs.kv_heads), CAPACITY: planner.state(keys).shape[0] };
  const spec = { table: q.weights[0], length, caches: [keys, values], constants };
  const quant = planner.program.quantization[nodes[0].weights[0]];
  const bias = nodes[0].weights.length > 1 ? nodes.map((node) => node.weights[1]) : null;
  if (d % 2 || !rowBindings(planner.gpu, { quant, bias, turn: spec })) return null;
  planner.cached.add(attention.name);
  return { q, spec, done: [q, k] };
}

/**
 * Whether a norm's readers compute it themselves: one matmul of a few rows.
 * @param {Planner} planner @param {GraphNode} node
 */
export function normalizedByReaders(planner, node) {
  const [rows, width] = node.shape;
  const users = planner.users.get(node.output) ?? [];
  const plain = Number(node.attrs.groups ?? 1) === 1 && width % 4 === 0 && !planner.columns.has(node.inputs[0]);
  const wanted = planner.tuning.NORM ?? (planner.gpu.software ? 0 : 1);
  if (!wanted || !plain || !byRow(planner.gpu, rows, planner.tuning)) return false;
  if (planner.graph.outputs.includes(node.output) || !users.length || users.some((user) => user.op !== "linear")) return false;
  return users.length === planner.siblings(users[0]).length;
}

/** How the windows of an `unfold` lie in what they are of. @param {GraphNode} node @returns {Window} */
export function windowOf({ attrs }) {
  const { batch, sequence, kernel, stride, padding } = /** @type {Record<string, number>} */ (attrs);
  return { batch, sequence, kernel, stride, padding };
}

/**
 * Whether the windows of an `unfold` are never written: a linear of many rows, their only reader, finds them itself.
 * It is off by default. On a processor each tile of columns looks for them anew: against windows that are written once,
 * a call takes 1.1 to 1.3 times as long (medians of 15 rounds with Whisper-tiny's channels, 16 and 4 bits, SwiftShader
 * and lavapipe, on a machine with other work). On a GPU, where it saves a dispatch, nobody has timed it yet.
 * @param {Planner} planner @param {GraphNode} node
 */
export function windowedByReader(planner, node) {
  return planner.tuning.WINDOW === 1 && planner.onlyUser(node, "linear") !== null && !byRow(planner.gpu, node.shape[0], planner.tuning);
}
