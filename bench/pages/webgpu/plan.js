import * as kernels from "./kernels.js";
import { OPERATORS } from "./operators.js";

/** @import {Gpu} from "./device.js" */
/** @import {Columns, Dispatch} from "./kernels.js" */
/** @import {Graph, GraphNode, Program} from "../runtime/types.d.ts" */

/**
 * The dispatches of one call of an entry, in order, and the size of each activation.
 * @typedef {{dispatches: Dispatch[], values: Map<string, number>, fused: Record<string, number>}} Plan
 */

/**
 * Turn a graph into dispatches, joining what one kernel can do:
 * linear + activation, add + layer_norm, embedding + add, and linears that share input and packing (q, k, v).
 * @param {Gpu} gpu
 * @param {Program} program
 * @param {Graph} graph one of its entries
 * @param {Record<string, number>} tuning
 * @returns {Plan}
 */
export function makePlan(gpu, program, graph, tuning) {
  const planner = new Planner(gpu, program, graph, tuning);
  for (const node of graph.nodes) {
    if (!planner.done.has(node.name)) {
      planner.add(node);
    }
  }
  return { dispatches: planner.dispatches, values: planner.values, fused: planner.fused };
}

export class Planner {
  /** @param {Gpu} gpu @param {Program} program @param {Graph} graph @param {Record<string, number>} tuning */
  constructor(gpu, program, graph, tuning) {
    this.gpu = gpu;
    this.program = program;
    this.graph = graph;
    this.tuning = tuning;
    /** @type {Dispatch[]} */
    this.dispatches = [];
    /** @type {Map<string, number>} elements of each activation */
    this.values = new Map();
    /** @type {Map<string, Columns>} outputs that live as columns of a wider buffer */
    this.columns = new Map();
    this.done = new Set();
    this.fused = { linear_activation: 0, add_layer_norm: 0, embedding_add: 0, joined_linears: 0 };
    /** @type {Map<string, GraphNode[]>} */
    this.users = new Map();
    for (const node of graph.nodes) {
      for (const name of node.inputs) {
        this.users.set(name, [...(this.users.get(name) ?? []), node]);
      }
    }
  }

  /**
   * The one node that uses this output, if it is of that operator and nobody else looks at the value.
   * @param {GraphNode} node @param {string} op
   */
  onlyUser(node, op) {
    const users = this.users.get(node.output) ?? [];
    const alone = users.length === 1 && !this.graph.outputs.includes(node.output);
    return alone && users[0].op === op ? users[0] : null;
  }

  /** @param {Dispatch} dispatch @param {string} output @param {number} elements */
  push(dispatch, output, elements) {
    this.dispatches.push(dispatch);
    this.values.set(output, elements);
  }

  /** @param {GraphNode} node */
  add(node) {
    const operator = OPERATORS[node.op];
    if (!operator) throw new Error(`webgpu: no kernel for operator ${node.op}`);
    operator(this, node);
  }

  /** @param {string} name */
  weight(name) {
    const found = this.program.weights.find((w) => w.name === name);
    if (!found) throw new Error(`the program names no weight ${name}`);
    return found;
  }

  /** @param {GraphNode} node */
  embedding(node) {
    const [rows, hidden] = node.shape;
    const sum = this.onlyUser(node, "add");
    const other = sum?.inputs.find((name) => name !== node.output);
    // The other summand must exist by now; else the add waits for it.
    const joined = sum && other && this.values.has(other) ? sum : null;
    if (joined) {
      this.done.add(joined.name);
      this.fused.embedding_add++;
    }
    const output = (joined ?? node).output;
    const dispatch = kernels.embedding(this.gpu, {
      name: node.name,
      rows,
      vocab: this.weight(node.weights[0]).shape[0],
      quant: this.program.quantization[node.weights[0]],
      weights: [node.weights[0]],
      ids: node.inputs[0],
      other: joined ? /** @type {string} */ (other) : null,
      output,
    });
    this.push(dispatch, output, rows * hidden);
  }

  /** An addition, with the normalization of its sum where nobody else looks at that. @param {GraphNode} node */
  sum(node) {
    const norm = this.onlyUser(node, "layer_norm");
    if (!norm) return this.simple(node, "add");
    this.done.add(norm.name);
    this.fused.add_layer_norm++;
    return this.layerNorm(norm, node.inputs[1], node);
  }

  /**
   * @param {GraphNode} node
   * @param {Parameters<typeof kernels.simple>[1]} shader
   * @param {{sequence?: number, act?: string, epsilon?: number}} [more]
   */
  simple(node, shader, more = {}) {
    const [rows, hidden] = node.shape;
    const spec = { name: node.name, inputs: node.inputs, output: node.output, rows, hidden, ...more };
    this.push(kernels.simple(this.gpu, shader, spec), node.output, rows * hidden);
  }

  /** @param {GraphNode} node */
  unfold(node) {
    const [rows, width] = node.shape;
    const { batch, sequence, kernel, stride, padding } = /** @type {Record<string, number>} */ (node.attrs);
    const where = { name: node.name, input: node.inputs[0], output: node.output };
    const spec = { ...where, rows, hidden: width, width, batch, sequence, kernel, stride, padding };
    this.push(kernels.unfold(this.gpu, spec), node.output, rows * width);
  }

  /**
   * @param {GraphNode} norm
   * @param {string | null} other
   * @param {GraphNode} first where the (first) summand stands
   */
  layerNorm(norm, other, first) {
    const [rows, hidden] = norm.shape;
    const dispatch = kernels.layerNorm(this.gpu, {
      name: norm.name,
      rows,
      hidden,
      epsilon: Number(norm.attrs.epsilon),
      gamma: norm.weights[0],
      beta: norm.weights[1],
      input: first.inputs[0],
      other,
      output: norm.output,
    });
    this.push(dispatch, norm.output, rows * hidden);
  }

  /**
   * Linears on the same input with the same packing, all of whose outputs go to one attention alone.
   * @param {GraphNode} node
   */
  siblings(node) {
    const target = this.onlyUser(node, "attention");
    if (!target) return [node];
    // Exponents may differ: the kernel takes one for each.
    const key = (/** @type {GraphNode} */ n) =>
      JSON.stringify([n.inputs, n.shape, n.weights.length, { ...this.program.quantization[n.weights[0]], exponent: 0 }]);
    const wanted = target.inputs.slice(0, 3);
    const nodes = this.graph.nodes.filter(
      (n) => n.op === "linear" && wanted.includes(n.output) && key(n) === key(node) && this.onlyUser(n, "attention"),
    );
    // f16 pairs of a vector of odd length cannot be laid end to end.
    return nodes.length === 3 && node.shape[1] % 2 === 0 ? nodes : [node];
  }

  /** @param {GraphNode} node */
  linear(node) {
    const [m, width] = node.shape;
    const nodes = this.siblings(node);
    const next = nodes.length === 1 ? this.onlyUser(node, "activation") : null;
    const output = nodes.length > 1 ? nodes.map((n) => n.output).join("+") : (next ?? node).output;
    for (const [i, sibling] of nodes.entries()) {
      this.done.add(sibling.name);
      if (nodes.length > 1) {
        this.columns.set(sibling.output, { value: output, stride: width * nodes.length, offset: width * i });
      }
    }
    if (nodes.length > 1) this.fused.joined_linears++;
    if (next) {
      this.done.add(next.name);
      this.fused.linear_activation++;
    }
    const dispatch = kernels.matmul(this.gpu, {
      name: nodes.map((n) => n.name).join("+"),
      m,
      n: width * nodes.length,
      quant: this.program.quantization[node.weights[0]],
      weights: nodes.map((n) => n.weights[0]),
      exponents: nodes.map((n) => this.program.quantization[n.weights[0]].exponent ?? 0),
      bias: node.weights.length > 1 ? nodes.map((n) => n.weights[1]) : null,
      act: next ? String(next.attrs.kind) : "none",
      input: node.inputs[0],
      output,
      tuning: this.tuning,
    });
    this.push(dispatch, output, m * width * nodes.length);
  }

  /** @param {GraphNode} node */
  attention(node) {
    const hidden = node.shape[1];
    const at = (/** @type {string} */ name) => this.columns.get(name) ?? { value: name, stride: hidden, offset: 0 };
    const dispatch = kernels.attention(this.gpu, {
      name: node.name,
      batch: Number(node.attrs.batch),
      sequence: Number(node.attrs.sequence),
      keys: Number(node.attrs.keys ?? node.attrs.sequence),
      causal: node.attrs.causal === 1,
      heads: Number(node.attrs.heads),
      hidden,
      scale: Number(node.attrs.scale),
      q: at(node.inputs[0]),
      k: at(node.inputs[1]),
      v: at(node.inputs[2]),
      mask: node.inputs[3] ?? null,
      output: node.output,
    });
    this.push(dispatch, node.output, node.shape[0] * hidden);
  }
}
