import { readFloats } from "../webgpu/waiting.js";

/** @import {Waiting} from "../webgpu/waiting.js" */
/** @import {Graph, Inputs, Outputs} from "../runtime/types.d.ts" */

/**
 * Where a session's inputs and outputs lie.
 * @typedef {{setInputs(inputs: Inputs): void, run(entry?: string): Promise<void>, poison(): void, read(): Promise<Outputs>,
 *   destroy(): void, reset?(): void, setStates?(states: Inputs): void, mark?(): void, setBack?(): void,
 *   readState?(name: string): number[]}} Io
 */

/** Buffers that onnxruntime binds end on 16 bytes. @param {number} bytes */
export const padded = (bytes) => Math.ceil(bytes / 16) * 16;

/** @param {readonly number[]} dims */
export const product = (dims) => dims.reduce((a, b) => a * b, 1);

/** A value as the session's type wants it. @param {Int32Array | Float32Array} data @param {string} type */
const asType = (data, type) => (type === "float16" ? Float16Array.from(data) : data);

/** @param {any} session @param {"inputMetadata" | "outputMetadata"} which @returns {{name: string, type: string, shape: number[]}[]} */
const metadata = (session, which) => session[which];

/** Inputs and outputs in GPU buffers of our own: nothing is copied in or out while inferences are timed. @implements {Io} */
export class GpuIo {
  /** @param {any} ort @param {any} session @param {Graph} graph @param {Waiting} gpu */
  constructor(ort, session, graph, gpu) {
    this.session = session;
    this.gpu = gpu;
    this.names = graph.outputs;
    /** @type {Map<string, {buffer: GPUBuffer, type: string, elements: number}>} */
    this.places = new Map();
    /** @type {Record<string, any>} */
    this.feeds = {};
    /** @type {Record<string, any>} */
    this.fetches = {};
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    for (const which of /** @type {const} */ (["inputMetadata", "outputMetadata"])) {
      for (const { name, type, shape } of metadata(session, which)) {
        const elements = product(shape);
        const size = padded(elements * (type === "float16" ? 2 : 4));
        const buffer = gpu.device.createBuffer({ size, usage, label: name });
        this.places.set(name, { buffer, type, elements });
        const tensor = ort.Tensor.fromGpuBuffer(buffer, { dataType: type, dims: shape });
        (which === "inputMetadata" ? this.feeds : this.fetches)[name] = tensor;
      }
    }
  }

  /** @param {string} name */
  place(name) {
    const place = this.places.get(name);
    if (!place) throw new Error(`the session has no ${name}`);
    return place;
  }

  /** @param {Inputs} inputs */
  setInputs(inputs) {
    for (const name of Object.keys(this.feeds)) {
      const data = inputs.get(name);
      if (!data) throw new Error(`no input ${name}`);
      const { buffer, type } = this.place(name);
      const bytes = new Uint8Array(buffer.size);
      const stored = asType(data, type);
      bytes.set(new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength));
      this.gpu.device.queue.writeBuffer(buffer, 0, bytes);
    }
  }

  async run() {
    await this.session.run(this.feeds, this.fetches);
  }

  poison() {
    for (const name of this.names) {
      const { buffer } = this.place(name);
      // All bits set is a NaN in f32 and in f16 alike.
      this.gpu.device.queue.writeBuffer(buffer, 0, new Uint8Array(buffer.size).fill(255));
    }
  }

  /** @returns {Promise<Outputs>} */
  async read() {
    /** @type {Outputs} */
    const outputs = new Map();
    for (const name of this.names) {
      const { buffer, type, elements } = this.place(name);
      outputs.set(name, await readFloats(this.gpu, buffer, elements, type === "float16"));
    }
    return outputs;
  }

  destroy() {
    for (const { buffer } of this.places.values()) buffer.destroy();
  }
}

/** Inputs and outputs in the page's own memory: each run gives new outputs. @implements {Io} */
export class HostIo {
  /** @param {any} ort @param {any} session @param {Graph} graph */
  constructor(ort, session, graph) {
    this.ort = ort;
    this.session = session;
    this.names = graph.outputs;
    /** @type {Record<string, any>} */
    this.feeds = {};
    /** @type {Record<string, any>} */
    this.results = {};
  }

  /** @param {Inputs} inputs */
  setInputs(inputs) {
    for (const { name, type, shape } of metadata(this.session, "inputMetadata")) {
      const data = inputs.get(name);
      if (!data) throw new Error(`no input ${name}`);
      this.feeds[name] = new this.ort.Tensor(type, asType(data, type), shape);
    }
  }

  async run() {
    this.results = await this.session.run(this.feeds);
  }

  /** Nothing is left of an earlier answer. */
  poison() {
    this.results = {};
  }

  /** @returns {Promise<Outputs>} */
  async read() {
    /** @type {Outputs} */
    const outputs = new Map();
    for (const name of this.names) {
      if (this.results[name]) outputs.set(name, Float32Array.from(this.results[name].data));
    }
    return outputs;
  }

  destroy() {}
}
