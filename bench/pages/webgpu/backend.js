import { ceilings } from "./ceilings.js";
import { summary } from "../runtime/identity.js";
import { finished, guarded, openDevice } from "./device.js";
import { Memory } from "./memory.js";
import { Pipelines } from "./pipelines.js";
import { makePlan } from "./plan.js";
import { completion, settle } from "./waiting.js";

/** @import {Gpu} from "./device.js" */
/** @import {Plan} from "./plan.js" */
/** @import {Completion} from "./waiting.js" */
/** @import {Backend, Effective, Formats, Graph, Inputs, Outputs, Task, Tensors} from "../runtime/types.d.ts" */

/** GPU passes timed for `gpu_ms`; they run apart from the wall samples, for timestamps slow a submit down. */
const GPU_PASSES = 7;

/** Float16 in whole words, for a write must be of those. @param {Float32Array} values */
function halves(values) {
  const stored = new Float16Array(Math.ceil(values.length / 2) * 2);
  stored.set(values);
  return stored;
}

/** Runs a graph through our own kernels: one submit an inference, weights packed in GPU memory. @implements {Backend} */
export class WebGpuBackend {
  /** @param {Gpu} gpu @param {Graph} graph @param {Tensors} tensors @param {Map<string, string>} shaders @param {Task} task */
  constructor(gpu, graph, tensors, shaders, task) {
    this.gpu = gpu;
    this.graph = graph;
    this.tensors = tensors;
    this.pipelines = new Pipelines(gpu, shaders);
    this.memory = new Memory(gpu.device);
    this.plan = /** @type {Plan} */ (makePlan(gpu, graph, task.tuning));
    /** @type {{pipeline: GPUComputePipeline, group: GPUBindGroup, groups: [number, number, number]}[]} */
    this.steps = [];
    this.scalar = gpu.f16 ? 2 : 4;
    /** @type {Completion | null} */
    this.completion = null;
  }

  /** @param {Graph} graph @param {Tensors} tensors @param {Map<string, string>} shaders @param {Task} task */
  static async open(graph, tensors, shaders, task) {
    const backend = new WebGpuBackend(await openDevice({ device: task.device }), graph, tensors, shaders, task);
    backend.completion = await completion(backend.gpu);
    return backend;
  }

  async build() {
    await guarded(this.gpu, "build", async () => {
      const { dispatches, values } = this.plan;
      const sizes = new Map([...values].map(([name, elements]) => [name, elements * this.scalar]));
      for (const input of this.graph.inputs) {
        const bytes = (input.dtype === "float32" ? this.scalar : 4) * input.shape.reduce((a, b) => a * b, 1);
        const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST;
        this.memory.values.set(input.name, this.memory.buffer(bytes, usage, input.name));
      }
      this.memory.place(dispatches, sizes, new Set(this.graph.outputs));
      this.memory.upload(dispatches, this.tensors);
      await settle(this.gpu, this.gpu.device.queue.onSubmittedWorkDone());
    });
    this.tensors = new Map(); // the bytes are on the GPU now
  }

  async compile() {
    await guarded(this.gpu, "compile", async () => {
      const { dispatches } = this.plan;
      const pipelines = await Promise.all(dispatches.map((d) => this.pipelines.get(d.variant)));
      this.steps = dispatches.map((dispatch, i) => ({
        pipeline: pipelines[i],
        groups: dispatch.groups,
        group: this.gpu.device.createBindGroup({
          label: dispatch.name,
          layout: pipelines[i].getBindGroupLayout(0),
          entries: dispatch.bindings.map(([binding, resource]) => ({
            binding,
            resource: { buffer: this.memory.of(resource) },
          })),
        }),
      }));
    });
  }

  /** @param {Inputs} inputs */
  async setInputs(inputs) {
    for (const { name } of this.graph.inputs) {
      const data = inputs.get(name);
      const buffer = this.memory.values.get(name);
      if (!data || !buffer) throw new Error(`no input ${name}`);
      const stored = data instanceof Float32Array && this.gpu.f16 ? halves(data) : data;
      this.gpu.device.queue.writeBuffer(buffer, 0, /** @type {GPUAllowSharedBufferSource} */ (stored));
    }
  }

  /** @param {GPUComputePassTimestampWrites} [timestampWrites] */
  encode(timestampWrites) {
    const encoder = this.gpu.device.createCommandEncoder();
    const pass = encoder.beginComputePass(timestampWrites ? { timestampWrites } : {});
    /** @type {GPUComputePipeline | null} */
    let current = null;
    for (const step of this.steps) {
      if (step.pipeline !== current) {
        pass.setPipeline(step.pipeline);
        current = step.pipeline;
      }
      pass.setBindGroup(0, step.group);
      pass.dispatchWorkgroups(...step.groups);
    }
    pass.end();
    return encoder;
  }

  /** @param {number} count @param {string} [stage] */
  async run(count, stage = "measure") {
    const { queue } = this.gpu.device;
    for (let i = 0; i < count; i++) {
      queue.submit([this.encode().finish()]);
    }
    await finished(this.gpu, stage);
  }

  async flush() {
    await finished(this.gpu, "verify");
  }

  async poison() {
    const { device } = this.gpu;
    for (const name of this.graph.outputs) {
      const buffer = /** @type {GPUBuffer} */ (this.memory.values.get(name));
      // All bits set is a NaN in f32 and in f16 alike.
      device.queue.writeBuffer(buffer, 0, new Uint8Array(buffer.size).fill(255));
    }
  }

  /** @returns {Promise<Outputs>} */
  async read() {
    /** @type {Outputs} */
    const outputs = new Map();
    for (const name of this.graph.outputs) {
      const elements = /** @type {number} */ (this.plan.values.get(name));
      const source = /** @type {GPUBuffer} */ (this.memory.values.get(name));
      const bytes = await this.readBuffer(source, elements * this.scalar);
      outputs.set(name, this.gpu.f16 ? Float32Array.from(new Float16Array(bytes)) : new Float32Array(bytes));
    }
    return outputs;
  }

  /** @param {GPUBuffer} source @param {number} bytes @returns {Promise<ArrayBuffer>} */
  async readBuffer(source, bytes) {
    const { device } = this.gpu;
    const size = Math.ceil(bytes / 4) * 4;
    return guarded(this.gpu, "verify", async () => {
      const staging = device.createBuffer({ size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
      const encoder = device.createCommandEncoder();
      encoder.copyBufferToBuffer(source, 0, staging, 0, size);
      device.queue.submit([encoder.finish()]);
      await settle(this.gpu, staging.mapAsync(GPUMapMode.READ));
      const copy = staging.getMappedRange().slice(0, bytes);
      staging.destroy();
      return copy;
    });
  }

  /**
   * Median GPU time of one inference in ms; null without `timestamp-query`.
   * @param {number} budget_ms begin no further pass after so long: a slow adapter is asked once
   */
  async gpuTime(budget_ms) {
    if (!this.gpu.timestamps) return null;
    const { device } = this.gpu;
    const querySet = device.createQuerySet({ type: "timestamp", count: 2 });
    const usage = GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC;
    const resolved = this.memory.buffer(16, usage, "timestamps");
    const times = [];
    const begin = performance.now();
    const ahead = !this.gpu.software; // an inference before the timed one: a GPU that waited has clocked down
    for (let i = 0; i < GPU_PASSES && (i === 0 || performance.now() - begin < budget_ms); i++) {
      const encoder = this.encode({ querySet, beginningOfPassWriteIndex: 0, endOfPassWriteIndex: 1 });
      encoder.resolveQuerySet(querySet, 0, 2, resolved, 0);
      device.queue.submit([...(ahead ? [this.encode().finish()] : []), encoder.finish()]);
      const [start, end] = new BigUint64Array(await this.readBuffer(resolved, 16));
      // The GPU clock may be reset; the specification says a negative difference can be thrown away.
      if (end > start) times.push(Number(end - start) / 1e6);
    }
    querySet.destroy();
    times.sort((a, b) => a - b);
    return times.length > 0 ? times[times.length >> 1] : null;
  }

  /** The adapter's ceilings, and the work of one inference. */
  ceilings() {
    return ceilings(this.gpu, this.pipelines, this.plan.dispatches);
  }

  /** The format of each matrix as its kernel unpacks it. @returns {Formats} */
  formats() {
    /** @type {Formats} */
    const formats = new Map();
    for (const { variant, bindings } of this.plan.dispatches) {
      for (const [, resource] of bindings) {
        if (!("weights" in resource) || resource.part !== "codes") continue;
        const { BITS, GROUP, ASYMMETRIC } = variant.values;
        const packed = BITS < 16;
        for (const name of resource.weights) {
          const shape = this.graph.weights.find((weight) => weight.name === name)?.shape ?? [];
          formats.set(name, {
            bits: BITS,
            group_size: packed ? GROUP : null,
            scheme: packed ? (ASYMMETRIC ? "asymmetric" : "symmetric") : null,
            parameters: shape.reduce((a, b) => a * b, 1),
          });
        }
      }
    }
    return formats;
  }

  /** @returns {Effective} */
  describe() {
    const { info } = this.gpu.adapter;
    const { matrices, ...found } = summary(this.formats());
    return {
      platform: "webgpu",
      device: this.gpu.software ? "cpu" : "gpu",
      ...found,
      activations: this.gpu.f16 ? "f16" : "f32",
      features: this.gpu.f16 ? "f16" : "stock",
      weight_path: "packed in GPU memory, unpacked in the kernel",
      wait: "eager",
      completion_ms: this.completion?.completion_ms ?? null,
      weight_bytes: this.memory.weightBytes,
      notes: {
        matrices,
        plain_waits_ms: this.completion && { first: this.completion.first_ms, next: this.completion.next_ms },
        adapter: {
          vendor: info.vendor,
          architecture: info.architecture,
          device: info.device,
          description: info.description,
          is_fallback_adapter: this.gpu.software,
        },
        dispatches: this.plan.dispatches.length,
        fused: this.plan.fused,
        activation_bytes: this.memory.activationBytes,
        subgroups: this.gpu.subgroups,
        kernels: Object.fromEntries(
          this.plan.dispatches.map((d) => [`${d.variant.shader} ${JSON.stringify(d.variant.values)}`, d.groups]),
        ),
      },
    };
  }

  destroy() {
    this.memory.destroy();
    this.gpu.device.destroy();
  }
}
