import { ceilings } from "./ceilings.js";
import { PassClock } from "./clock.js";
import { summary } from "../runtime/identity.js";
import { adapterName, finished, guarded, limitsOf, openDevice, shown } from "./device.js";
import { Entry, halves } from "./entry.js";
import { schemeOf } from "./kernels.js";
import { Memory } from "./memory.js";
import { Pipelines } from "./pipelines.js";
import { Tuner } from "./tune.js";
import { completion, readBack, readFloats, settle } from "./waiting.js";

/** @import {Gpu} from "./device.js" */
/** @import {Constants} from "./kernels.js" */
/** @import {Completion} from "./waiting.js" */
/** @import {Backend, Effective, Formats, Inputs, Outputs, Program, Progress, Task, TensorSource} from "../runtime/types.d.ts" */

/** GPU passes timed for `gpu_ms`; they run apart from the wall samples, for timestamps slow a submit down. */
const GPU_PASSES = 7;

/** Of the constants that the harness knows for this browser, those for this adapter. @param {Gpu} gpu @param {Task} task */
function foundFor(gpu, { tuned, code }) {
  const mine = (tuned ?? []).filter((one) => one.adapter === adapterName(gpu) && one.features === gpu.features && one.kernels === code);
  return Object.fromEntries(mine.map(({ key, constants }) => [key, constants]));
}

/** Runs a program through our own kernels: one submit a call, weights packed in GPU memory. @implements {Backend} */
export class WebGpuBackend {
  /** @param {Gpu} gpu @param {Program} program @param {TensorSource} tensors @param {Map<string, string>} shaders @param {Task} task */
  constructor(gpu, program, tensors, shaders, task) {
    this.gpu = gpu;
    this.program = program;
    this.tensors = tensors;
    this.pipelines = new Pipelines(gpu, shaders);
    this.memory = new Memory(gpu.device);
    /** @type {Record<string, Constants>} constants for single kernels, by their keys; none where some are forced on all */
    this.found = Object.keys(task.tuning).length ? {} : foundFor(gpu, task);
    this.entries = new Map(
      Object.entries(program.entries).map(([name, graph]) => [name, new Entry(gpu, program, graph, task.tuning, this.found)]),
    );
    this.scalar = gpu.f16 ? 2 : 4;
    /** @type {Map<GPUBuffer, GPUBuffer>} state of whole numbers -> what it was at the mark */
    this.marks = new Map();
    /** @type {Completion | null} */
    this.completion = null;
  }

  /** @param {Program} program @param {TensorSource} tensors @param {Map<string, string>} shaders @param {Task} task */
  static async open(program, tensors, shaders, task) {
    const backend = new WebGpuBackend(await openDevice({ device: task.device, features: task.features, least: task.least_limits }), program, tensors, shaders, task);
    backend.completion = await completion(backend.gpu);
    return backend;
  }

  /** @param {string} name */
  entry(name) {
    const entry = this.entries.get(name);
    if (!entry) throw new Error(`the program has no entry ${name}`);
    return entry;
  }

  /** @param {Progress} progress */
  async build(progress) {
    await guarded(this.gpu, "build", async () => {
      const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
      for (const { name, shape, dtype } of this.program.states) {
        const bytes = (dtype === "int32" ? 4 : this.scalar) * shape.reduce((a, b) => a * b, 1);
        const buffer = this.memory.buffer(bytes, usage | (bytes <= 16 ? GPUBufferUsage.UNIFORM : 0), name);
        this.memory.states.set(name, buffer);
        if (dtype === "int32") this.marks.set(buffer, this.memory.buffer(bytes, usage, `mark of ${name}`));
      }
      for (const entry of this.entries.values()) {
        entry.place(this.memory);
        this.memory.reserve(entry.plan.dispatches, this.tensors);
      }
      // Tables that the family computes are no weights of the model (`bench/bundle/weights.py` counts alike).
      for (const { name, role } of this.program.weights) {
        if (role === "constant") this.memory.weightBytes -= this.tensors.size(name) ?? 0;
      }
      const settled = () => settle(this.gpu, this.gpu.device.queue.onSubmittedWorkDone());
      await this.memory.upload(this.tensors, settled, progress);
    });
  }

  async compile() {
    await guarded(this.gpu, "compile", async () => {
      await Promise.all([...this.entries.values()].map((entry) => entry.compile(this.pipelines, this.memory)));
    });
  }

  /** Constants for single kernels that this program's plans have taken up, by key. @returns {Record<string, Constants>} */
  used() {
    const keys = new Set(this.planned().map(({ key }) => key ?? ""));
    return Object.fromEntries(Object.entries(this.found).filter(([key, constants]) => keys.has(key) && Object.keys(constants).length));
  }

  /**
   * Find faster forms of kernels that nothing is known of yet, and run with them from now on. Every entry has run once.
   * @param {{seconds: number, forms: number}} how @param {() => Promise<void>} progress
   */
  async tune({ seconds, forms }, progress) {
    const known = new Set(Object.keys(this.found));
    const tuner = new Tuner(this, progress);
    const { found, left } = await tuner.run(known, seconds * 1000, forms);
    this.found = { ...this.found, ...Object.fromEntries(found.map(({ key, constants }) => [key, constants])) };
    if (found.some(({ constants }) => Object.keys(constants).length)) {
      for (const entry of this.entries.values()) entry.replan(this.found);
      await this.compile();
    }
    return { adapter: adapterName(this.gpu), features: this.gpu.features, found, left, known: known.size };
  }

  async reset() {
    const encoder = this.gpu.device.createCommandEncoder();
    for (const buffer of this.memory.states.values()) encoder.clearBuffer(buffer);
    this.gpu.device.queue.submit([encoder.finish()]);
  }

  /** @param {string} entry @param {Inputs} inputs */
  async setInputs(entry, inputs) {
    this.entry(entry).setInputs(inputs);
  }

  /** @param {Inputs} states */
  async setStates(states) {
    for (const [name, data] of states) {
      const buffer = this.memory.states.get(name);
      if (!buffer) throw new Error(`the program has no state ${name}`);
      const stored = data instanceof Float32Array && this.gpu.f16 ? halves(data) : data;
      this.gpu.device.queue.writeBuffer(buffer, 0, /** @type {GPUAllowSharedBufferSource} */ (stored));
    }
  }

  async mark() {
    if (!this.marks.size) return;
    const encoder = this.gpu.device.createCommandEncoder();
    for (const [state, mark] of this.marks) encoder.copyBufferToBuffer(state, 0, mark, 0, state.size);
    this.gpu.device.queue.submit([encoder.finish()]);
  }

  /** @param {GPUCommandEncoder} encoder */
  setBack(encoder) {
    for (const [state, mark] of this.marks) encoder.copyBufferToBuffer(mark, 0, state, 0, state.size);
  }

  /** @param {string} entry @param {number} count @param {string} [stage] @param {number} [back] */
  async run(entry, count, stage = "measure", back = 0) {
    const { device } = this.gpu;
    const called = this.entry(entry);
    for (let i = 0; i < count; i++) {
      const encoder = device.createCommandEncoder();
      if (back && i % back === 0) this.setBack(encoder);
      called.encode(encoder);
      device.queue.submit([encoder.finish()]);
    }
    await finished(this.gpu, stage);
  }

  async flush() {
    await finished(this.gpu, "verify");
  }

  /** @param {string} entry */
  async poison(entry) {
    for (const [, buffer] of this.entry(entry).outputs()) {
      // All bits set is a NaN in f32 and in f16 alike.
      this.gpu.device.queue.writeBuffer(buffer, 0, new Uint8Array(buffer.size).fill(255));
    }
  }

  /** @param {string} entry @returns {Promise<Outputs>} */
  async read(entry) {
    /** @type {Outputs} */
    const outputs = new Map();
    for (const [name, source, elements] of this.entry(entry).outputs()) {
      const half = this.entry(entry).scalarOf(name) === 2;
      outputs.set(name, await guarded(this.gpu, "verify", () => readFloats(this.gpu, source, elements, half)));
    }
    return outputs;
  }

  /** A state of whole numbers. @param {string} name @returns {Promise<number[]>} */
  async readState(name) {
    const buffer = this.memory.states.get(name);
    const state = this.program.states.find((one) => one.name === name);
    if (!buffer || state?.dtype !== "int32") throw new Error(`the program has no state ${name} of whole numbers`);
    return [...new Int32Array(await this.readBuffer(buffer, 4 * state.shape.reduce((a, b) => a * b, 1)))];
  }

  /** @param {GPUBuffer} source @param {number} bytes @returns {Promise<ArrayBuffer>} */
  async readBuffer(source, bytes) {
    return guarded(this.gpu, "verify", () => readBack(this.gpu, source, bytes));
  }

  /**
   * Median GPU time of one call in ms; null without `timestamp-query`.
   * @param {string} entry
   * @param {number} budget_ms begin no further pass after so long: a slow adapter is asked once
   */
  async gpuTime(entry, budget_ms) {
    if (!this.gpu.timestamps) return null;
    const { device } = this.gpu;
    const called = this.entry(entry);
    const clock = new PassClock(this.gpu, "verify");
    const times = [];
    const begin = performance.now();
    const ahead = !this.gpu.software; // a call before the timed one: a GPU that waited has clocked down
    for (let i = 0; i < GPU_PASSES && (i === 0 || performance.now() - begin < budget_ms); i++) {
      const before = device.createCommandEncoder();
      this.setBack(before);
      if (ahead) called.encode(before);
      const encoder = device.createCommandEncoder();
      this.setBack(encoder);
      called.encode(encoder, clock.writes);
      const elapsed = await clock.time(encoder, ahead ? [before.finish()] : []);
      if (elapsed !== null) times.push(elapsed);
    }
    clock.destroy();
    times.sort((a, b) => a - b);
    return times.length > 0 ? times[times.length >> 1] : null;
  }

  /** @param {string} entry */
  dispatches(entry) {
    return this.entry(entry).plan.dispatches.length;
  }

  /** The dispatches of all entries. */
  planned() {
    return [...this.entries.values()].flatMap((entry) => entry.plan.dispatches);
  }

  /** Kinds of joined operators -> how many over all entries. @returns {Record<string, number>} */
  fused() {
    /** @type {Record<string, number>} */
    const total = {};
    for (const { plan } of this.entries.values()) {
      for (const [kind, count] of Object.entries(plan.fused)) total[kind] = (total[kind] ?? 0) + count;
    }
    return total;
  }

  /** The adapter's ceilings, and the work of one call of the main phase. */
  ceilings() {
    return ceilings(this.gpu, this.pipelines, this.entry(this.program.phases[0].entry).plan.dispatches);
  }

  /** The format of each matrix as its kernel unpacks it. @returns {Formats} */
  formats() {
    /** @type {Formats} */
    const formats = new Map();
    for (const { variant, bindings } of this.planned()) {
      for (const [, resource] of bindings) {
        if (!("weights" in resource) || resource.part !== "codes") continue;
        const { BITS, GROUP } = variant.values;
        const packed = BITS < 16;
        for (const name of resource.weights) {
          const shape = this.program.weights.find((weight) => weight.name === name)?.shape ?? [];
          formats.set(name, {
            bits: BITS,
            group_size: packed ? GROUP : null,
            scheme: packed ? schemeOf(variant.values) : null,
            parameters: shape.reduce((a, b) => a * b, 1),
          });
        }
      }
    }
    return formats;
  }

  /** @returns {Effective} */
  describe() {
    const { matrices, ...found } = summary(this.formats());
    return {
      platform: "webgpu",
      device: this.gpu.software ? "cpu" : "gpu",
      ...found,
      activations: this.gpu.f16 ? "f16" : "f32",
      features: this.gpu.features,
      weight_path: "packed in GPU memory, unpacked in the kernel",
      wait: "eager",
      completion_ms: this.completion?.completion_ms ?? null,
      weight_bytes: this.memory.weightBytes,
      notes: {
        matrices,
        plain_waits_ms: this.completion && { first: this.completion.first_ms, next: this.completion.next_ms },
        adapter: shown(this.gpu),
        ...(Object.keys(this.used()).length ? { tuned: this.used() } : {}),
        dispatches: this.planned().length,
        fused: this.fused(),
        activation_bytes: this.memory.activationBytes,
        subgroups: this.gpu.subgroups,
        limits: limitsOf(this.gpu),
        kernels: Object.fromEntries(
          this.planned().map((d) => [`${d.variant.shader} ${JSON.stringify(d.variant.values)}`, d.groups]),
        ),
      },
    };
  }

  destroy() {
    this.memory.destroy();
    this.gpu.device.destroy();
  }
}
