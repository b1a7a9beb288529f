import * as kernels from "./kernels.js";
import { byRow, keyOf, matmul } from "./matmul.js";
import { attention, attentionKey, attentionTuning } from "./attention.js";
import { addRmsNorm } from "./decoder.js";
import { gateOf, inOrder, residualOf, turnOf, windowOf, windowedByReader } from "./fusion.js";
import { OPERATORS } from "./operators.js";

/** @import {Gpu} from "./device.js" */
/** @import {Columns, Constants, Dispatch} from "./kernels.js" */
/** @import {Graph, GraphNode, Program} from "../runtime/types.d.ts" */

/**
 * The dispatches of one call of an entry, in order, and the size of each activation.
 * Those in `wide` are float32 even where activations are halves.
 * @typedef {{dispatches: Dispatch[], values: Map<string, number>, wide: Set<string>, fused: Record<string, number>}} Plan
 */

/** Kernels that know of activations in float32. */
const READ_WIDE = new Set(["add", "rms_norm", "last_token", "best_of_part", "next_token", "attention_parts", "matmul_row", "matmul_tile", "matmul_matrix"]);

/**
 * Turn a graph into dispatches, joining what one kernel can do:
 * linear + activation, add + layer_norm or rms_norm, embedding + add, activation + multiply, rotations with what goes
 * to the caches, linears that share input and packing (q, k, v; gate, up), and a convolution's windows with its
 * linear. With a few rows a linear takes more along: see `fusion.js`.
 * @param {Gpu} gpu
 * @param {Program} program
 * @param {Graph} graph one of its entries
 * @param {Constants} tuning forced on every kernel
 * @param {Record<string, Constants>} [found] for single kernels, by their keys
 * @returns {Plan}
 */
export function makePlan(gpu, program, graph, tuning, found = {}) {
  const planner = new Planner(gpu, program, graph, tuning, found);
  for (const node of graph.nodes) {
    if (!planner.done.has(node.name)) {
      planner.add(node);
    }
  }
  return { dispatches: planner.dispatches, values: planner.values, wide: planner.wide, fused: planner.fused };
}

export class Planner {
  /** @param {Gpu} gpu @param {Program} program @param {Graph} graph @param {Constants} tuning @param {Record<string, Constants>} found */
  constructor(gpu, program, graph, tuning, found) {
    this.gpu = gpu;
    this.program = program;
    this.graph = graph;
    this.tuning = tuning;
    this.found = found;
    /** @type {Dispatch[]} */
    this.dispatches = [];
    /** @type {Map<string, number>} elements of each activation */
    this.values = new Map();
    /** @type {Map<string, Columns>} outputs that live as columns of a wider buffer */
    this.columns = new Map();
    this.scalar = gpu.f16 ? 2 : 4;
    /** @type {Set<string>} activations in float32 where others are halves */
    this.wide = new Set();
    /** @type {Map<string, GraphNode>} outputs of nodes that their only reader computes on its way */
    this.deferred = new Map();
    this.done = new Set();
    /** @type {Set<string>} attentions whose keys and values a linear has put into the cache */
    this.cached = new Set();
    this.fused = {
      linear_activation: 0,
      add_layer_norm: 0,
      embedding_add: 0,
      joined_linears: 0,
      add_rms_norm: 0,
      gated: 0,
      norm_linear: 0,
      residual: 0,
      turned: 0,
      window_linear: 0,
    };
    /** @type {Map<string, GraphNode[]>} */
    this.users = new Map();
    for (const node of graph.nodes) {
      for (const name of node.inputs) {
        this.users.set(name, [...(this.users.get(name) ?? []), node]);
      }
    }
  }

  /** The one node that uses this output, if nobody else looks at the value. @param {GraphNode} node */
  reader(node) {
    const users = this.users.get(node.output) ?? [];
    return users.length === 1 && !this.graph.outputs.includes(node.output) ? users[0] : null;
  }

  /** The same, if it is of that operator. @param {GraphNode} node @param {string} op */
  onlyUser(node, op) {
    const user = this.reader(node);
    return user?.op === op ? user : null;
  }

  /**
   * A kernel that may have constants of its own.
   * @param {string} key what it does, without how
   * @param {(constants: Constants) => Dispatch} make
   * @returns {Dispatch}
   */
  tuned(key, make) {
    const whole = this.gpu.f16 ? `${key} f16` : key;
    const remake = (/** @type {Constants} */ constants) => make({ ...constants, ...this.tuning });
    return { ...remake(this.found[whole] ?? {}), key: whole, remake };
  }

  /** @param {Dispatch} dispatch @param {string} output @param {number} elements @param {boolean} [wide] */
  push(dispatch, output, elements, wide = false) {
    for (const [, resource] of dispatch.bindings) {
      const name = "value" in resource ? resource.value : "";
      if (this.isWide(name) && !READ_WIDE.has(dispatch.variant.shader)) {
        throw new Error(`webgpu: ${dispatch.variant.shader} cannot read ${name}, which is float32`);
      }
    }
    this.dispatches.push(dispatch);
    this.keep(output, elements, wide);
  }

  /** An output that a dispatch has besides its own. @param {string} output @param {number} elements @param {boolean} wide */
  keep(output, elements, wide) {
    this.values.set(output, elements);
    if (wide) this.wide.add(output);
  }

  /** Whether it is stored in another type than activations. @param {string} name */
  isWide(name) {
    return this.gpu.f16 && this.wide.has(name);
  }

  /** Elements of an activation or an input. @param {string} name */
  elements(name) {
    const input = this.graph.inputs.find((one) => one.name === name);
    const found = input ? input.shape.reduce((a, b) => a * b, 1) : this.values.get(name);
    if (found === undefined) throw new Error(`nothing gave ${name}`);
    return found;
  }

  /** @param {string} name */
  state(name) {
    const found = this.program.states.find((s) => s.name === name);
    if (!found) throw new Error(`the program has no state ${name}`);
    return found;
  }

  /** Where an output of so many columns lies. @param {string} name @param {number} width @returns {Columns} */
  at(name, width) {
    return this.columns.get(name) ?? { value: name, stride: width, offset: 0 };
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
    const wide = (joined ?? node).attrs.wide === 1;
    const dispatch = kernels.embedding(this.gpu, {
      name: node.name,
      rows,
      vocab: this.weight(node.weights[0]).shape[0],
      quant: this.program.quantization[node.weights[0]],
      weights: [node.weights[0]],
      ids: node.inputs[0],
      other: joined ? /** @type {string} */ (other) : null,
      wide: this.gpu.f16 && wide,
      output,
    });
    this.push(dispatch, output, rows * hidden, wide);
  }

  /** An addition, with the normalization of its sum where nobody else looks at that. @param {GraphNode} node */
  sum(node) {
    if (addRmsNorm(this, node)) return;
    const norm = this.onlyUser(node, "layer_norm");
    if (!norm) return this.plainSum(node);
    this.done.add(norm.name);
    this.fused.add_layer_norm++;
    return this.layerNorm(norm, node.inputs[1], node);
  }

  /** @param {GraphNode} node */
  plainSum(node) {
    const wide = node.attrs.wide === 1;
    const [a, b] = node.inputs.map((name) => this.isWide(name));
    const values = { ...(a ? { WIDE_A: 1 } : {}), ...(b ? { WIDE_B: 1 } : {}), ...(wide && this.gpu.f16 ? { WIDE: 1 } : {}) };
    this.simple(node, "add", { wide: values });
    if (wide) this.wide.add(node.output);
  }

  /**
   * @param {GraphNode} node
   * @param {Parameters<typeof kernels.simple>[1]} shader
   * @param {{sequence?: number, act?: string, epsilon?: number, wide?: Record<string, number>}} [more]
   */
  simple(node, shader, more = {}) {
    const [rows, hidden] = node.shape;
    const spec = { name: node.name, inputs: node.inputs, output: node.output, rows, hidden, ...more };
    this.push(kernels.simple(this.gpu, shader, spec), node.output, rows * hidden);
  }

  /** @param {GraphNode} node */
  unfold(node) {
    if (windowedByReader(this, node)) {
      this.deferred.set(node.output, node);
      return;
    }
    const [rows, width] = node.shape;
    const where = { name: node.name, input: node.inputs[0], output: node.output };
    const spec = { ...where, rows, hidden: width, width, ...windowOf(node), tuning: this.tuning };
    this.push(kernels.unfold(this.gpu, spec), node.output, rows * width);
  }

  /**
   * @param {GraphNode} norm
   * @param {string | null} other
   * @param {GraphNode} first where the (first) summand stands
   */
  layerNorm(norm, other, first) {
    const [rows, hidden] = norm.shape;
    const spec = {
      name: norm.name,
      rows,
      hidden,
      epsilon: Number(norm.attrs.epsilon),
      gamma: norm.weights[0],
      beta: norm.weights[1],
      input: first.inputs[0],
      other,
      output: norm.output,
    };
    const key = `layer_norm ${rows}x${hidden}${other ? " sum" : ""}`;
    this.push(this.tuned(key, (tuning) => kernels.layerNorm(this.gpu, { ...spec, tuning })), norm.output, rows * hidden);
  }

  /**
   * Linears on the same input with the same packing, all of whose outputs go to one attention alone.
   * @param {GraphNode} node
   */
  siblings(node) {
    const target = this.onlyUser(node, "attention");
    if (!target) return this.neighbours(node);
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

  /** Whether who reads this output reads columns of a wider buffer as well. @param {GraphNode} node */
  readInColumns(node) {
    const user = this.reader(node);
    if (!user || node.attrs.wide === 1) return false;
    if (user.op === "activation") return this.onlyUser(user, "multiply") !== null;
    return ["rope", "cached_attention", "multiply", "rms_norm"].includes(user.op);
  }

  /**
   * Linears of any widths on the same input with the same packing, each read where columns can be.
   * @param {GraphNode} node
   */
  neighbours(node) {
    if (!this.readInColumns(node)) return [node];
    const key = (/** @type {GraphNode} */ n) =>
      JSON.stringify([n.inputs, n.weights.length, this.program.quantization[n.weights[0]]]);
    const plain = (/** @type {GraphNode} */ n) =>
      n.shape[1] % 2 === 0 && !this.program.quantization[n.weights[0]].exponent;
    const nodes = this.graph.nodes.filter(
      (n) => n.op === "linear" && key(n) === key(node) && plain(n) && this.readInColumns(n),
    );
    return nodes.includes(node) ? nodes : [node];
  }

  /** @param {GraphNode} node */
  linear(node) {
    const [m, width] = node.shape;
    const nodes = inOrder(this, this.siblings(node));
    const few = byRow(this.gpu, m, this.tuning);
    const turn = few ? turnOf(this, nodes) : null;
    const gated = few && !turn ? gateOf(this, nodes) : null;
    const next = nodes.length === 1 ? this.onlyUser(node, "activation") : null;
    const sum = few && !next ? residualOf(this, nodes) : null;
    const last = turn?.q ?? gated?.product ?? sum?.node ?? next ?? node;
    const fused = turn ?? gated ?? sum;
    const output = nodes.length > 1 && !fused ? nodes.map((n) => n.output).join("+") : last.output;
    const n = nodes.reduce((all, one) => all + one.shape[1], 0);
    let offset = 0;
    for (const sibling of nodes) {
      this.done.add(sibling.name);
      if (nodes.length > 1 && !fused) this.columns.set(sibling.output, { value: output, stride: n, offset });
      offset += sibling.shape[1];
    }
    for (const one of [next, ...(fused?.done ?? [])]) if (one) this.done.add(one.name);
    if (nodes.length > 1) this.fused.joined_linears++;
    if (next || gated) this.fused.linear_activation++;
    if (turn) this.fused.turned++;
    if (gated) this.fused.gated++;
    if (sum) this.fused.residual++;
    const before = this.deferred.get(node.inputs[0]);
    const input = before ? before.inputs[0] : node.inputs[0];
    const windows = before?.op === "unfold" ? before : null;
    const norm = windows ? null : before;
    if (norm) this.fused.norm_linear++;
    if (windows) this.fused.window_linear++;
    const wide = last.attrs.wide === 1;
    const spec = {
      name: nodes.map((one) => one.name).join("+"),
      m,
      n,
      quant: this.program.quantization[node.weights[0]],
      weights: nodes.map((one) => one.weights[0]),
      exponents: nodes.map((one) => this.program.quantization[one.weights[0]].exponent ?? 0),
      bias: node.weights.length > 1 ? nodes.map((one) => one.weights[1]) : null,
      act: gated?.act ?? (next ? String(next.attrs.kind) : "none"),
      wide: this.gpu.f16 && wide,
      wideInput: this.isWide(input),
      input,
      output,
      ...(norm ? { norm: { gamma: norm.weights[0], epsilon: Number(norm.attrs.epsilon) } } : {}),
      ...(sum ? { residual: sum.other } : {}),
      ...(gated ? { gated: true } : {}),
      ...(turn ? { turn: turn.spec } : {}),
      ...(windows ? { window: windowOf(windows) } : {}),
    };
    const dispatch = this.tuned(keyOf(spec), (tuning) => matmul(this.gpu, { ...spec, tuning }));
    this.push(dispatch, output, fused ? m * last.shape[1] : m * n, wide);
  }

  /** @param {GraphNode} node */
  attention(node) {
    const hidden = node.shape[1];
    const at = (/** @type {string} */ name) => this.at(name, hidden);
    const spec = {
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
    };
    const make = (/** @type {Constants} */ tuning) => attention(this.gpu, { ...spec, tuning: attentionTuning(tuning) });
    this.push(this.tuned(attentionKey(spec), make), node.output, node.shape[0] * hidden);
  }
}
