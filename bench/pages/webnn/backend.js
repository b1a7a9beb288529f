import { StageError } from "../runtime/errors.js";
import { summary } from "../runtime/identity.js";
import { openContext } from "./context.js";
import { OPERATORS } from "./operators.js";
import { WebNnWeights } from "./weights.js";

/** @import {Backend, Effective, Graph, Inputs, Outputs, Task, Tensors} from "../runtime/types.d.ts" */

/**
 * A builder whose every throw says which operator it was.
 * @param {MLGraphBuilder} builder
 * @returns {any}
 */
function tracked(builder) {
  return new Proxy(builder, {
    get(target, operator) {
      return (/** @type {unknown[]} */ ...args) => {
        try {
          return target[String(operator)](...args);
        } catch (error) {
          throw new StageError("build", error, { operator: String(operator) });
        }
      };
    },
  });
}

/** Runs a graph through MLGraphBuilder, weights packed inside the graph. @implements {Backend} */
export class WebNnBackend {
  /** @param {MLContext} context @param {Graph} graph @param {Tensors} tensors @param {Task} task */
  constructor(context, graph, tensors, task) {
    this.context = context;
    this.graph = graph;
    this.task = task;
    this.builder = new MLGraphBuilder(context);
    this.weights = new WebNnWeights(tracked(this.builder), graph, tensors);
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
    /** @type {string | null} */
    this.lost = null;
    context.lost.then((info) => {
      this.lost = info.message;
    });
  }

  /** @param {Graph} graph @param {Tensors} tensors @param {Task} task */
  static async open(graph, tensors, task) {
    return new WebNnBackend(await openContext(task.device), graph, tensors, task);
  }

  async build() {
    const builder = tracked(this.builder);
    /** @type {Map<string, MLOperand>} */
    const known = new Map();
    for (const { name, shape, dtype } of this.graph.inputs) {
      known.set(name, builder.input(name, { dataType: dtype, shape }));
    }
    const get = (/** @type {string} */ name) => {
      const operand = known.get(name);
      if (!operand) throw new Error(`${name} is not defined`);
      return operand;
    };
    for (const node of this.graph.nodes) {
      const operator = OPERATORS[node.op];
      if (!operator) throw new Error(`webnn: no form for operator ${node.op}`);
      known.set(node.output, operator({ b: builder, w: this.weights, get, node }));
      if (this.graph.outputs.includes(node.output)) {
        this.sizes.set(node.output, node.shape[0] * node.shape[1]);
      }
    }
    for (const name of this.graph.outputs) {
      this.operands[name] = get(name);
    }
  }

  async compile() {
    this.compiled = await this.builder.build(this.operands);
    this.weights.tensors = new Map(); // the browser has its own copy now
    for (const { name, shape, dtype } of this.graph.inputs) {
      this.inputs[name] = await this.context.createTensor({ dataType: dtype, shape, writable: true });
    }
    for (const [name, operand] of Object.entries(this.operands)) {
      const descriptor = { dataType: "float32", shape: operand.shape, readable: true, writable: true };
      this.outputs[name] = await this.context.createTensor(descriptor);
    }
  }

  /** @param {Inputs} inputs */
  async setInputs(inputs) {
    for (const { name } of this.graph.inputs) {
      const data = inputs.get(name);
      if (!data) throw new Error(`no input ${name}`);
      this.context.writeTensor(this.inputs[name], /** @type {AllowSharedBufferSource} */ (data));
    }
  }

  /** @param {number} count @param {string} [stage] */
  async run(count, stage = "measure") {
    await this.guarded(stage, async () => {
      for (let i = 0; i < count; i++) {
        this.context.dispatch(/** @type {MLGraph} */ (this.compiled), this.inputs, this.outputs);
      }
      await this.flush();
    });
  }

  /** WebNN has no "done": reading the smallest output is the least that proves the work is. */
  async flush() {
    const smallest = [...this.sizes].sort((a, b) => a[1] - b[1])[0][0];
    await this.context.readTensor(this.outputs[smallest]);
  }

  /** Calls fail a moment before the page hears that the context is lost. @param {string} stage @param {() => Promise<void>} work */
  async guarded(stage, work) {
    try {
      await work();
    } catch (error) {
      await Promise.race([this.context.lost, new Promise((resolve) => setTimeout(resolve, 1000))]);
      this.check(stage);
      throw new StageError(stage, error);
    }
    this.check(stage);
  }

  async poison() {
    for (const [name, elements] of this.sizes) {
      this.context.writeTensor(this.outputs[name], new Uint8Array(4 * elements).fill(255)); // NaN
    }
  }

  /** @returns {Promise<Outputs>} */
  async read() {
    /** @type {Outputs} */
    const outputs = new Map();
    await this.guarded("verify", async () => {
      for (const [name, tensor] of Object.entries(this.outputs)) {
        outputs.set(name, new Float32Array(await this.context.readTensor(tensor)));
      }
    });
    return outputs;
  }

  /** @param {string} stage */
  check(stage) {
    if (this.lost !== null) {
      throw new StageError(stage, new Error(`MLContext lost: ${this.lost}`), { outcome: "device_lost" });
    }
  }

  async gpuTime() {
    return null; // WebNN has no device clock
  }

  /** @returns {Effective} */
  describe() {
    const devices = this.compiled?.devices;
    const { matrices, ...found } = summary(this.weights.formats);
    return {
      platform: "webnn",
      device: devices?.length ? devices.join("+") : null, // what was asked for is no evidence
      ...found,
      activations: "f32",
      features: null, // of WebGPU
      weight_path: [...this.weights.paths].sort().join("; "),
      wait: "plain", // WebNN shows nothing that could be done meanwhile
      completion_ms: null,
      weight_bytes: this.weights.bytes,
      notes: { matrices, graph_devices: devices ?? null, context_accelerated: this.context.accelerated ?? null },
    };
  }

  destroy() {
    this.context.destroy();
  }
}
