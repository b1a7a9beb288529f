/** @import {Dispatch, Resource} from "./kernels.js" */
/** @import {Tensors} from "../runtime/types.d.ts" */

/** GPU buffers of a program: weights as they are stored, states, activations reused once nobody will read them. */
export class Memory {
  /** @param {GPUDevice} device */
  constructor(device) {
    this.device = device;
    /** @type {Map<string, GPUBuffer>} */
    this.weights = new Map();
    /** @type {Map<string, GPUBuffer>} what lives between calls, whichever entry is called */
    this.states = new Map();
    /** @type {Set<GPUBuffer>} */
    this.owned = new Set();
    this.weightBytes = 0;
    this.activationBytes = 0;
  }

  /** @param {number} size @param {number} usage @param {string} label */
  buffer(size, usage, label) {
    const buffer = this.device.createBuffer({ label, size: Math.ceil(size / 16) * 16, usage });
    this.owned.add(buffer);
    return buffer;
  }

  /** @param {Resource} resource @returns {string} */
  static key(resource) {
    return "weights" in resource ? `${resource.weights.join("+")}:${resource.part}` : resource.value;
  }

  /**
   * Upload the parts a dispatch reads, joined weights end to end; packed words go up as they lie in the file.
   * @param {Dispatch[]} dispatches
   * @param {Tensors} tensors
   */
  upload(dispatches, tensors) {
    for (const { bindings } of dispatches) {
      for (const [, resource] of bindings) {
        const key = Memory.key(resource);
        if ("weights" in resource && !this.weights.has(key)) {
          const parts = resource.weights.map((name) => {
            const stored = tensors.get(resource.part === "vector" ? name : `${name}.${resource.part}`);
            if (!stored) throw new Error(`the bundle holds no ${name}.${resource.part}`);
            return stored.bytes;
          });
          this.weights.set(key, this.uploadJoined(parts, key));
        }
      }
    }
  }

  /** @param {Uint8Array[]} parts @param {string} label */
  uploadJoined(parts, label) {
    const size = parts.reduce((sum, part) => sum + part.byteLength, 0);
    const buffer = this.buffer(size, GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST, label);
    this.weightBytes += size;
    const whole = size % 4 === 0 && parts.length === 1 ? parts[0] : new Uint8Array(Math.ceil(size / 4) * 4);
    if (whole !== parts[0]) {
      let at = 0;
      for (const part of parts) {
        whole.set(part, at);
        at += part.byteLength;
      }
    }
    this.device.queue.writeBuffer(buffer, 0, /** @type {GPUAllowSharedBufferSource} */ (whole));
    return buffer;
  }

  /**
   * Give each activation a buffer; one whose last reader has passed is given to the next of fitting size.
   * @param {Dispatch[]} dispatches
   * @param {Map<string, number>} sizes bytes of each activation
   * @param {Set<string>} kept never reused: graph outputs
   * @param {Map<string, GPUBuffer>} values what has a buffer (the inputs); the rest is added
   */
  place(dispatches, sizes, kept, values) {
    const last = new Map();
    dispatches.forEach(({ bindings }, i) => bindings.forEach(([, r]) => last.set(Memory.key(r), i)));
    /** @type {{buffer: GPUBuffer, size: number}[]} */
    let free = [];
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    dispatches.forEach(({ bindings }, i) => {
      for (const [, resource] of bindings) {
        const name = Memory.key(resource);
        const size = sizes.get(name);
        if ("weights" in resource || size === undefined || values.has(name)) continue;
        const fit = kept.has(name) ? undefined : free.find((f) => f.size >= size && f.size <= 2 * size);
        free = free.filter((f) => f !== fit);
        values.set(name, fit?.buffer ?? this.buffer(size, usage, name));
        if (!fit) this.activationBytes += size;
      }
      for (const [, resource] of bindings) {
        const name = Memory.key(resource);
        const size = sizes.get(name);
        if (!("weights" in resource) && size !== undefined && last.get(name) === i && !kept.has(name)) {
          const buffer = /** @type {GPUBuffer} */ (values.get(name));
          if (!free.some((f) => f.buffer === buffer)) free.push({ buffer, size: buffer.size });
        }
      }
    });
  }

  /** @param {Resource} resource @param {Map<string, GPUBuffer>} values of the entry @returns {GPUBuffer} */
  of(resource, values) {
    const key = Memory.key(resource);
    const buffer = "weights" in resource ? this.weights.get(key) : (this.states.get(key) ?? values.get(key));
    if (!buffer) throw new Error(`nothing is placed for ${key}`);
    return buffer;
  }

  destroy() {
    for (const buffer of this.owned) buffer.destroy();
  }
}
