import { readFloats } from "../webgpu/waiting.js";
import { padded, product } from "./tensors.js";

/** @import {Waiting} from "../webgpu/waiting.js" */
/** @import {Inputs, Outputs, Program} from "../runtime/types.d.ts" */
/** @import {Io} from "./tensors.js" */

/** @param {string} past @returns {string} the output that is the same cache after a call */
const presentOf = (past) => past.replace("past_key_values", "present");

/**
 * A language model's session: both entries are calls of it. The caches are one GPU buffer each, in and out; in the
 * page's memory what a call gives is what the next one takes. The chosen token is read back after each call, for
 * onnxruntime wants lengths from the processor, and its own users do the same.
 * @implements {Io}
 */
export class DecoderIo {
  /** @param {any} ort @param {any} session @param {Program} program @param {Waiting | null} gpu @param {string} scalar */
  constructor(ort, session, program, gpu, scalar) {
    this.ort = ort;
    this.session = session;
    this.program = program;
    this.gpu = gpu;
    this.scalar = scalar;
    this.half = scalar === "float16";
    this.state = { token: 0, length: 0, tokens: /** @type {number[]} */ ([]) };
    this.marked = structuredClone(this.state);
    this.capacity = program.states.find((state) => state.name === program.transcript)?.shape[0] ?? 1;
    /** @type {Int32Array} */
    this.prompt = new Int32Array(0);
    /** @type {Map<string, GPUBuffer>} */
    this.buffers = new Map();
    /** @type {Record<string, any>} */
    this.pasts = {};
    /** @type {Record<string, any>} */
    this.fetches = { next_token: null, logits: null };
    /** @type {any} */
    this.logits = null;
    const vocab = session.outputMetadata.find((/** @type {any} */ one) => one.name === "logits").shape[2];
    this.vocab = Number(vocab);
    for (const { name, shape } of session.inputMetadata) {
      if (!name.startsWith("past_key_values")) continue;
      this.pasts[name] = gpu ? this.onGpu(name, shape) : new ort.Tensor(scalar, this.zeros(product(shape)), shape);
      if (gpu) this.fetches[presentOf(name)] = this.pasts[name];
    }
    if (gpu) this.fetches.logits = this.onGpu("logits", [1, 1, this.vocab]);
  }

  /** @param {string} name @param {number[]} dims */
  onGpu(name, dims) {
    const size = padded(product(dims) * (this.half ? 2 : 4));
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    const buffer = /** @type {Waiting} */ (this.gpu).device.createBuffer({ size, usage, label: name });
    this.buffers.set(name, buffer);
    return this.ort.Tensor.fromGpuBuffer(buffer, { dataType: this.scalar, dims });
  }

  /** @param {number} count */
  zeros(count) {
    return this.half ? new Float16Array(count) : new Float32Array(count);
  }

  reset() {
    this.state = { token: 0, length: 0, tokens: Array(this.capacity).fill(0) };
  }

  /** @param {Inputs} inputs */
  setInputs(inputs) {
    const ids = inputs.get("input_ids");
    if (ids) this.prompt = Int32Array.from(ids);
  }

  /** @param {Inputs} states */
  setStates(states) {
    for (const [name, data] of states) {
      if (name !== "token") throw new Error(`ort-web: state ${name} cannot be set`);
      this.state.token = data[0];
    }
  }

  mark() {
    this.marked = structuredClone(this.state);
  }

  setBack() {
    this.state = structuredClone(this.marked);
  }

  /** @param {string} [entry] */
  async run(entry) {
    const { Tensor } = this.ort;
    const takes = entry !== undefined && this.program.entries[entry].inputs.length > 0;
    const ids = takes ? this.prompt : Int32Array.of(this.state.token);
    const total = this.state.length + ids.length;
    const feeds = {
      ...this.pasts,
      input_ids: new Tensor("int32", ids, [1, ids.length]),
      seqlens_k: new Tensor("int32", Int32Array.of(total - 1), [1]),
      total_sequence_length: new Tensor("int32", Int32Array.of(total), [1]),
    };
    // On a GPU a call writes to our own buffers, else to what it makes itself.
    const results = await this.session.run(feeds, this.gpu ? this.fetches : this.session.outputNames);
    if (!this.gpu) for (const name of Object.keys(this.pasts)) this.pasts[name] = results[presentOf(name)];
    this.logits = results.logits;
    const [token] = await results.next_token.getData();
    this.state.token = Number(token);
    this.state.length = total;
    if (total < this.capacity) this.state.tokens[total] = this.state.token;
  }

  poison() {
    const buffer = this.buffers.get("logits");
    if (buffer && this.gpu) this.gpu.device.queue.writeBuffer(buffer, 0, new Uint8Array(buffer.size).fill(255));
    else this.logits = null;
  }

  /** @returns {Promise<Outputs>} */
  async read() {
    const buffer = this.buffers.get("logits");
    if (!buffer || !this.gpu) return new Map(this.logits ? [["logits", Float32Array.from(this.logits.data)]] : []);
    return new Map([["logits", await readFloats(this.gpu, buffer, this.vocab, this.half)]]);
  }

  /** @param {string} name @returns {number[]} */
  readState(name) {
    if (name === this.program.transcript) return this.state.tokens;
    if (name === "length") return [this.state.length];
    if (name === "token") return [this.state.token];
    throw new Error(`ort-web: no state ${name}`);
  }

  destroy() {
    for (const buffer of this.buffers.values()) buffer.destroy();
  }
}
