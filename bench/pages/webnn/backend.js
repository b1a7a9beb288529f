import { StageError } from "../runtime/errors.js";
import { summary } from "../runtime/identity.js";
import { openContext } from "./context.js";
import { WebNnEntry } from "./entry.js";
import { limitsShown, planOf } from "./plan.js";
import { Int8Linears, rangesOf } from "./qdq.js";

/** @import {States} from "./entry.js" */
/** @import {Backend, Effective, Formats, Graph, Inputs, Outputs, Program, Progress, State, Task, TensorSource} from "../runtime/types.d.ts" */

/** Runs a program through MLGraphBuilder: a graph for each entry. @implements {Backend} */
export class WebNnBackend {
  /** @param {MLContext} context @param {Program} program @param {TensorSource} tensors @param {Task} task @param {Inputs[]} samples */
  constructor(context, program, tensors, task, samples) {
    this.context = context;
    this.program = program;
    this.tensors = tensors;
    this.task = task;
    this.samples = samples;
    this.limits = context.opSupportLimits();
    this.plan = planOf(task.webnn_plan ?? "auto", this.limits, program);
    /** @type {Map<string, WebNnEntry>} */
    this.entries = new Map();
    /** @type {States} */
    this.states = new Map();
    /** @type {Map<string, ArrayBuffer>} state of whole numbers -> what it was at the mark */
    this.marks = new Map();
    /** @type {string | null} */
    this.lost = null;
    context.lost.then((info) => {
      this.lost = info.message;
    });
  }

  /**
   * @param {Program} program @param {TensorSource} tensors @param {Task} task
   * @param {Inputs[]} [samples] the inputs by which the ranges of activations are set, where they are quantized
   */
  static async open(program, tensors, task, samples = []) {
    return new WebNnBackend(await openContext(task.device), program, tensors, task, samples);
  }

  /** @param {string} name */
  entry(name) {
    const entry = this.entries.get(name);
    if (!entry) throw new Error(`the program has no entry ${name}`);
    return entry;
  }

  /** @param {Progress} progress */
  async build(progress) {
    for (const [name, graph] of Object.entries(this.program.entries)) {
      const ranges = this.plan.ran === "qdq-int8" ? await this.ranges(graph, progress) : null;
      const int8 = ranges && new Int8Linears(ranges);
      const entry = new WebNnEntry(this.context, this.program, graph, this.tensors, this.plan, int8);
      this.entries.set(name, entry);
      await entry.build(progress);
    }
    this.tensors.release();
  }

  /** What an entry's linears take and give over the samples. @param {Graph} graph @param {Progress} progress */
  async ranges(graph, progress) {
    const watching = new WebNnEntry(this.context, this.program, graph, this.tensors, this.plan, new Int8Linears(null));
    await watching.build(progress);
    await watching.compile();
    try {
      return await rangesOf(watching, this.samples);
    } finally {
      watching.destroy();
    }
  }

  async compile() {
    for (const entry of this.entries.values()) await entry.compile();
    for (const state of this.program.states) {
      this.states.set(state.name, { now: await this.stateTensor(state), next: await this.stateTensor(state) });
    }
  }

  /** @param {State} state */
  stateTensor({ shape, dtype }) {
    const dataType = dtype === "int32" ? "int32" : "float32";
    return this.context.createTensor({ dataType, shape, readable: true, writable: true });
  }

  async reset() {
    for (const { name, shape } of this.program.states) {
      this.write(name, new Uint8Array(4 * shape.reduce((a, b) => a * b, 1)));
    }
  }

  /** @param {string} state @param {AllowSharedBufferSource} data */
  write(state, data) {
    const tensors = this.states.get(state);
    if (!tensors) throw new Error(`the program has no state ${state}`);
    this.context.writeTensor(tensors.now, data);
  }

  /** @param {string} entry @param {Inputs} inputs */
  async setInputs(entry, inputs) {
    this.entry(entry).setInputs(inputs);
  }

  /** @param {Inputs} states */
  async setStates(states) {
    for (const [name, data] of states) this.write(name, /** @type {AllowSharedBufferSource} */ (data));
  }

  async mark() {
    for (const { name, dtype } of this.program.states) {
      const tensors = this.states.get(name);
      if (dtype === "int32" && tensors) this.marks.set(name, await this.context.readTensor(tensors.now));
    }
  }

  /** @param {string} entry @param {number} count @param {string} [stage] @param {number} [back] */
  async run(entry, count, stage = "measure", back = 0) {
    const called = this.entry(entry);
    await this.guarded(stage, async () => {
      for (let i = 0; i < count; i++) {
        if (back && i % back === 0) for (const [name, data] of this.marks) this.write(name, data);
        called.dispatch(this.states);
      }
      await this.done(called);
    });
  }

  /** WebNN has no "done": reading the smallest output is the least that proves the work is. @param {WebNnEntry} entry */
  async done(entry) {
    await this.context.readTensor(entry.outputs[entry.smallest()]);
  }

  async flush() {
    for (const entry of this.entries.values()) await this.done(entry);
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

  /** @param {string} entry */
  async poison(entry) {
    const { outputs, sizes } = this.entry(entry);
    for (const [name, elements] of sizes) {
      this.context.writeTensor(outputs[name], new Uint8Array(4 * elements).fill(255)); // NaN
    }
  }

  /** @param {string} entry @returns {Promise<Outputs>} */
  async read(entry) {
    /** @type {Outputs} */
    const outputs = new Map();
    await this.guarded("verify", async () => {
      for (const [name, tensor] of Object.entries(this.entry(entry).outputs)) {
        outputs.set(name, new Float32Array(await this.context.readTensor(tensor)));
      }
    });
    return outputs;
  }

  /** A state of whole numbers. @param {string} name @returns {Promise<number[]>} */
  async readState(name) {
    const tensors = this.states.get(name);
    if (!tensors) throw new Error(`the program has no state ${name}`);
    return [...new Int32Array(await this.context.readTensor(tensors.now))];
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

  dispatches() {
    return null; // what an MLGraph makes of its operators is the browser's own
  }

  /** @returns {Effective} */
  describe() {
    const entries = [...this.entries.values()];
    const devices = entries[0].compiled?.devices;
    /** @type {Formats} every entry stores a matrix alike */
    const formats = new Map(entries.flatMap(({ weights }) => [...weights.formats]));
    const { matrices, ...found } = summary(formats);
    return {
      platform: "webnn",
      device: devices?.length ? devices.join("+") : null, // what was asked for is no evidence
      ...found,
      activations: this.plan.ran === "qdq-int8" ? "int8-static" : "f32",
      features: null, // of WebGPU
      weight_path: [...new Set(entries.flatMap(({ weights }) => [...weights.paths]))].sort().join("; "),
      wait: "plain", // WebNN shows nothing that could be done meanwhile
      completion_ms: null,
      weight_bytes: entries.reduce((sum, { weights }) => sum + weights.bytes, 0),
      notes: { matrices, webnn_plan: { ...this.plan, limits: limitsShown(this.limits) }, graph_devices: devices ?? null, context_accelerated: this.context.accelerated ?? null },
    };
  }

  destroy() {
    this.context.destroy();
  }
}
