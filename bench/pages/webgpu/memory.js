import { StageError } from "../runtime/errors.js";

/** @import {Dispatch, Resource} from "./kernels.js" */
/** @import {Progress, Segment, TensorSource} from "../runtime/types.d.ts" */

/** @typedef {{buffer: GPUBuffer, offset: number, staged: Staged | null}} Target */

/** A buffer that is written whole once all its bytes are here, and takes no memory before the first and after the last. */
class Staged {
  /** @param {GPUBuffer} buffer @param {number} size */
  constructor(buffer, size) {
    this.buffer = buffer;
    this.size = this.left = size;
    /** @type {Uint8Array | null} */
    this.whole = null;
  }

  /** @param {GPUQueue} queue @param {Uint8Array} bytes @param {number} at */
  add(queue, bytes, at) {
    this.whole ??= new Uint8Array(Math.ceil(this.size / 4) * 4);
    this.whole.set(bytes, at);
    this.left -= bytes.byteLength;
    if (this.left > 0) return;
    queue.writeBuffer(this.buffer, 0, /** @type {GPUAllowSharedBufferSource} */ (this.whole));
    this.whole = null;
  }
}

/** GPU buffers of a program: weights as they are stored, states, activations reused once nobody will read them. */
export class Memory {
  /** @param {GPUDevice} device */
  constructor(device) {
    this.device = device;
    /** @type {Map<string, GPUBuffer>} */
    this.weights = new Map();
    /** @type {Map<string, GPUBuffer>} what lives between calls, whichever entry is called */
    this.states = new Map();
    /** @type {Map<string, GPUBuffer>} */
    this.constants = new Map();
    /** @type {Set<GPUBuffer>} */
    this.owned = new Set();
    /** @type {Map<string, Target[]>} tensor -> where its bytes go */
    this.targets = new Map();
    this.weightBytes = 0;
    this.activationBytes = 0;
  }

  /** @param {number} size @param {number} usage @param {string} label */
  buffer(size, usage, label) {
    for (const limit of /** @type {const} */ (["maxStorageBufferBindingSize", "maxBufferSize"])) {
      const most = this.device.limits[limit];
      if (size > most) {
        const error = new Error(`${label} of ${size} bytes exceeds the limit ${limit} of this adapter: ${most} bytes`);
        throw new StageError("build", error, { outcome: "unsupported" });
      }
    }
    const buffer = this.device.createBuffer({ label, size: Math.ceil(size / 16) * 16, usage });
    this.owned.add(buffer);
    return buffer;
  }

  /** @param {Resource} resource @returns {string} */
  static key(resource) {
    if ("words" in resource) return resource.words.join(" ");
    return "weights" in resource ? `${resource.weights.join("+")}:${resource.part}` : resource.value;
  }

  /**
   * Make buffers for the parts that dispatches read, joined weights end to end; `upload` fills them.
   * @param {Dispatch[]} dispatches
   * @param {TensorSource} tensors
   */
  reserve(dispatches, tensors) {
    for (const { bindings } of dispatches) {
      for (const [, resource] of bindings) {
        const key = Memory.key(resource);
        if ("weights" in resource && !this.weights.has(key)) {
          const names = resource.weights.map((name) => (resource.part === "vector" ? name : `${name}.${resource.part}`));
          // A vector may be read as a uniform: of storage buffers a kernel has few.
          this.weights.set(key, this.joined(names, tensors, key, resource.part === "vector" ? GPUBufferUsage.UNIFORM : 0));
        }
      }
    }
  }

  /** @param {string[]} names @param {TensorSource} tensors @param {string} label @param {number} [more] usage beside a binding */
  joined(names, tensors, label, more = 0) {
    const sizes = names.map((name) => {
      const size = tensors.size(name);
      if (size === undefined) throw new Error(`the bundle holds no ${name}`);
      return size;
    });
    const size = sizes.reduce((sum, part) => sum + part, 0);
    const buffer = this.buffer(size, GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | more, label);
    this.weightBytes += size;
    // A write is of whole words: parts that are not are put together first.
    const staged = sizes.every((part) => part % 4 === 0) ? null : new Staged(buffer, size);
    let offset = 0;
    names.forEach((name, i) => {
      const targets = this.targets.get(name) ?? [];
      this.targets.set(name, [...targets, { buffer, offset, staged }]);
      offset += sizes[i];
    });
    return buffer;
  }

  /**
   * Fill the reserved buffers, packed words as they lie in the file. Each piece is with the GPU before the one after
   * the next is asked for, so that no more of a large file is in the page than that.
   * @param {TensorSource} tensors
   * @param {() => Promise<void>} settled when the GPU has taken what was written
   * @param {Progress} progress
   */
  async upload(tensors, settled, progress) {
    const { queue } = this.device;
    const take = (/** @type {Segment} */ { name, at, bytes }) => {
      for (const { buffer, offset, staged } of this.targets.get(name) ?? []) {
        if (staged) staged.add(queue, bytes, offset + at);
        else queue.writeBuffer(buffer, offset + at, /** @type {GPUAllowSharedBufferSource} */ (bytes));
      }
    };
    await tensors.stream(take, async (done, all) => {
      if (done === all) return;
      await settled();
      await progress();
    });
    this.targets.clear();
    tensors.release();
    await settled();
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

  /** Whole numbers that never change. @param {string} key @param {number[]} words */
  constant(key, words) {
    let buffer = this.constants.get(key);
    if (!buffer) {
      buffer = this.buffer(4 * words.length, GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST, "shape");
      this.device.queue.writeBuffer(buffer, 0, new Uint32Array(words));
      this.constants.set(key, buffer);
    }
    return buffer;
  }

  /** @param {Resource} resource @param {Map<string, GPUBuffer>} values of the entry @returns {GPUBuffer} */
  of(resource, values) {
    const key = Memory.key(resource);
    if ("words" in resource) return this.constant(key, resource.words);
    const buffer = "weights" in resource ? this.weights.get(key) : (this.states.get(key) ?? values.get(key));
    if (!buffer) throw new Error(`nothing is placed for ${key}`);
    return buffer;
  }

  destroy() {
    for (const buffer of this.owned) buffer.destroy();
  }
}
