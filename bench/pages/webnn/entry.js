import { tracked } from "./context.js";
import { OPERATORS } from "./operators.js";
import { WebNnWeights } from "./weights.js";

/** @import {Graph, Inputs, Program, Progress, TensorSource} from "../runtime/types.d.ts" */
/** @import {Plan} from "./plan.js" */
/** @import {Int8Linears} from "./qdq.js" */

/** @typedef {Map<string, {now: MLTensor, next: MLTensor}>} States a state's tensors, swapped by a call that updates it */

/** An MLGraph names its outputs apart from its inputs; a state is both. @param {string} state */
const nextOf = (state) => `next ${state}`;

/** One entry of a program as an MLGraph, weights packed inside it. */
export class WebNnEntry {
  /**
   * @param {MLContext} context @param {Program} program @param {Graph} graph @param {TensorSource} tensors
   * @param {Plan} plan @param {Int8Linears | null} [int8] for linears with int8 activations
   */
  constructor(context, program, graph, tensors, plan, int8 = null) {
    this.context = context;
    this.program = program;
    this.graph = graph;
    this.builder = new MLGraphBuilder(context); // builds once: every entry has its own, and its own constants
    this.weights = new WebNnWeights(tracked(this.builder), program, tensors, context, plan);
    this.int8 = int8;
    /** @type {Record<string, MLOperand>} */
    this.operands = {};
    /** @type {MLGraph | null} */
    this.compiled = null;
    /** @type {Record<string, MLTensor>} */
    this.inputs = {};
    /** @type {Record<string, MLTensor>} */
    this.outputs = {};
    /** @type {Map<string, number>} elements of each graph output */
    this.sizes = new Map();
    /** @type {Set<string>} states that it reads, and those that it updates */
    this.reads = new Set(graph.nodes.flatMap((node) => node.inputs).filter((name) => this.isState(name)));
    this.updates = new Set(graph.nodes.flatMap((node) => node.updates));
  }

  /** @param {string} name */
  isState(name) {
    return this.program.states.some((state) => state.name === name);
  }

  /** What is read besides, while ranges are sought. @returns {Map<string, MLOperand>} */
  get watches() {
    return this.int8?.watched ?? new Map();
  }

  /** @param {Progress} progress */
  async build(progress) {
    let told = performance.now();
    const builder = tracked(this.builder);
    /** @type {Map<string, MLOperand>} */
    const known = new Map();
    /** @type {Map<string, MLOperand>} */
    const states = new Map();
    const used = new Set();
    for (const { name, shape, dtype } of this.graph.inputs) {
      known.set(name, builder.input(name, { dataType: dtype, shape }));
    }
    for (const { name, shape, dtype } of this.program.states) {
      if (!this.reads.has(name)) continue;
      states.set(name, builder.input(name, { dataType: dtype === "int32" ? "int32" : "float32", shape }));
    }
    for (const [name, operand] of states) known.set(name, operand);
    const get = (/** @type {string} */ name) => {
      const operand = known.get(name);
      if (!operand) throw new Error(`${name} is not defined`);
      if (operand === states.get(name)) used.add(name);
      return operand;
    };
    const set = (/** @type {string} */ state, /** @type {MLOperand} */ value) => known.set(state, value);
    for (const node of this.graph.nodes) {
      const operator = OPERATORS[node.op];
      if (!operator) throw new Error(`webnn: no form for operator ${node.op}`);
      await this.weights.hold(node);
      if (performance.now() - told > 1000) {
        await progress();
        told = performance.now();
      }
      known.set(node.output, operator({ b: builder, w: this.weights, int8: this.int8, get, set, node }));
      if (this.graph.outputs.includes(node.output)) {
        this.sizes.set(node.output, node.shape[0] * node.shape[1]);
      }
    }
    this.weights.held = new Map(); // the browser has its own copy now
    for (const name of this.graph.outputs) this.operands[name] = get(name);
    for (const name of this.updates) this.operands[nextOf(name)] = get(name);
    for (const [name, operand] of this.watches) this.operands[name] = operand;
    this.reads = used; // a state that is only written is no input of the graph
  }

  async compile() {
    this.compiled = await this.builder.build(this.operands);
    for (const { name, shape, dtype } of this.graph.inputs) {
      this.inputs[name] = await this.context.createTensor({ dataType: dtype, shape, writable: true });
    }
    for (const name of [...this.graph.outputs, ...this.watches.keys()]) {
      const descriptor = { dataType: "float32", shape: this.operands[name].shape, readable: true, writable: true };
      this.outputs[name] = await this.context.createTensor(descriptor);
    }
  }

  /** @param {Inputs} inputs */
  setInputs(inputs) {
    for (const { name } of this.graph.inputs) {
      const data = inputs.get(name);
      if (!data) throw new Error(`no input ${name}`);
      this.context.writeTensor(this.inputs[name], /** @type {AllowSharedBufferSource} */ (data));
    }
  }

  /** One call; the states that it updates are swapped. @param {States} states */
  dispatch(states) {
    const tensors = (/** @type {string} */ name) => /** @type {{now: MLTensor, next: MLTensor}} */ (states.get(name));
    const inputs = { ...this.inputs };
    for (const name of this.reads) inputs[name] = tensors(name).now;
    const outputs = { ...this.outputs };
    for (const name of this.updates) outputs[nextOf(name)] = tensors(name).next;
    this.context.dispatch(/** @type {MLGraph} */ (this.compiled), inputs, outputs);
    for (const name of this.updates) {
      const { now, next } = tensors(name);
      states.set(name, { now: next, next: now });
    }
  }

  /** The name of the smallest output. */
  smallest() {
    return [...this.sizes].sort((a, b) => a[1] - b[1])[0][0];
  }

  /** Nobody asks it again. */
  destroy() {
    for (const tensor of [...Object.values(this.inputs), ...Object.values(this.outputs)]) tensor.destroy();
    this.compiled?.destroy();
  }
}
