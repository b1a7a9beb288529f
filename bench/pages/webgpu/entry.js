import { makePlan } from "./plan.js";

/** @import {Gpu} from "./device.js" */
/** @import {Constants, Dispatch} from "./kernels.js" */
/** @import {Memory} from "./memory.js" */
/** @import {Pipelines} from "./pipelines.js" */
/** @import {Graph, Inputs, Program} from "../runtime/types.d.ts" */

/** @typedef {{pipeline: GPUComputePipeline, group: GPUBindGroup, groups: [number, number, number]}} Step */

/** Float16 in whole words, for a write must be of those. @param {Float32Array} values */
export function halves(values) {
  const stored = new Float16Array(Math.ceil(values.length / 2) * 2);
  stored.set(values);
  return stored;
}

/** One entry of a program on the GPU: its plan, its buffers, and the steps that are submitted again and again. */
export class Entry {
  /** @param {Gpu} gpu @param {Program} program @param {Graph} graph @param {Constants} tuning @param {Record<string, Constants>} found */
  constructor(gpu, program, graph, tuning, found) {
    this.gpu = gpu;
    this.graph = graph;
    /** @param {Record<string, Constants>} constants for single kernels */
    this.replan = (constants) => {
      this.plan = makePlan(gpu, program, graph, tuning, constants);
    };
    this.plan = makePlan(gpu, program, graph, tuning, found);
    this.scalar = gpu.f16 ? 2 : 4;
    /** @type {Map<string, GPUBuffer>} inputs, activations and outputs */
    this.values = new Map();
    /** @type {Step[]} */
    this.steps = [];
  }

  /** Bytes of an element of an activation. @param {string} name */
  scalarOf(name) {
    return this.plan.wide.has(name) ? 4 : this.scalar;
  }

  /** Buffers for inputs and activations. @param {Memory} memory */
  place(memory) {
    const { dispatches, values } = this.plan;
    for (const input of this.graph.inputs) {
      const bytes = (input.dtype === "float32" ? this.scalar : 4) * input.shape.reduce((a, b) => a * b, 1);
      const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST;
      this.values.set(input.name, memory.buffer(bytes, usage, input.name));
    }
    const sizes = new Map([...values].map(([name, elements]) => [name, elements * this.scalarOf(name)]));
    memory.place(dispatches, sizes, new Set(this.graph.outputs), this.values);
  }

  /** @param {Pipelines} pipelines @param {Memory} memory */
  async compile(pipelines, memory) {
    this.steps = await this.stepsOf(this.plan.dispatches, pipelines, memory);
  }

  /** @param {Dispatch[]} dispatches @param {Pipelines} pipelines @param {Memory} memory @returns {Promise<Step[]>} */
  async stepsOf(dispatches, pipelines, memory) {
    const made = await Promise.all(dispatches.map((d) => pipelines.get(d.variant)));
    return dispatches.map((dispatch, i) => ({
      pipeline: made[i],
      groups: dispatch.groups,
      group: this.gpu.device.createBindGroup({
        label: dispatch.name,
        layout: made[i].getBindGroupLayout(0),
        entries: dispatch.bindings.map(([binding, resource]) => ({
          binding,
          resource: { buffer: memory.of(resource, this.values) },
        })),
      }),
    }));
  }

  /** @param {Inputs} inputs */
  setInputs(inputs) {
    for (const { name } of this.graph.inputs) {
      const data = inputs.get(name);
      const buffer = this.values.get(name);
      if (!data || !buffer) throw new Error(`no input ${name}`);
      const stored = data instanceof Float32Array && this.gpu.f16 ? halves(data) : data;
      this.gpu.device.queue.writeBuffer(buffer, 0, /** @type {GPUAllowSharedBufferSource} */ (stored));
    }
  }

  /** One call's compute pass. @param {GPUCommandEncoder} encoder @param {GPUComputePassTimestampWrites} [timestampWrites] */
  encode(encoder, timestampWrites) {
    const pass = encoder.beginComputePass(timestampWrites ? { timestampWrites } : {});
    dispatch(pass, this.steps);
    pass.end();
  }

  /** The outputs with their number of elements. @returns {[string, GPUBuffer, number][]} */
  outputs() {
    return this.graph.outputs.map((name) => [
      name,
      /** @type {GPUBuffer} */ (this.values.get(name)),
      /** @type {number} */ (this.plan.values.get(name)),
    ]);
  }
}

/** @param {GPUComputePassEncoder} pass @param {Step[]} steps in order */
export function dispatch(pass, steps) {
  /** @type {GPUComputePipeline | null} */
  let current = null;
  for (const step of steps) {
    if (step.pipeline !== current) {
      pass.setPipeline(step.pipeline);
      current = step.pipeline;
    }
    pass.setBindGroup(0, step.group);
    pass.dispatchWorkgroups(...step.groups);
  }
}
