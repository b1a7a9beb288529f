/** @import {Backend, Graph, Inputs, Program, TensorSource} from "../runtime/types.d.ts" */

/** The toy family in plain JavaScript. @implements {Backend} */
export class ToyBackend {
  /** @param {Program} program @param {TensorSource} tensors */
  constructor(program, tensors) {
    this.program = program;
    this.tensors = tensors;
    /** @type {Record<string, number[]>} */
    this.weights = {};
    /** @type {Map<string, Inputs>} */
    this.inputs = new Map();
    /** @type {Map<string, Map<string, Float32Array>>} */
    this.outputs = new Map();
    /** @type {number[]} */
    this.total = [];
    this.seen = this.mark_ = 0;
    this.bytes = 0;
  }

  async build() {
    for (const { name, shape: [rows, k] } of this.program.weights) {
      const stored = /** @type {any} */ (await this.tensors.bytes(`${name}.codes`));
      this.bytes += stored.length;
      const halves = new Float16Array(stored.buffer);
      const stride = halves.length / rows;
      this.weights[name] = Array.from({ length: rows * k }, (_, i) => halves[Math.floor(i / k) * stride + (i % k)]);
    }
  }

  async compile() {}

  async reset() {
    this.total = Array(this.program.weights[0].shape[1]).fill(0);
    this.seen = 0;
  }

  /** @param {string} entry @param {Inputs} inputs */
  async setInputs(entry, inputs) {
    this.inputs.set(entry, inputs);
  }

  /** @param {Inputs} states */
  async setStates(states) {
    this.seen = /** @type {any} */ (states.get("seen"))[0];
  }

  async mark() {
    this.mark_ = this.seen;
  }

  /** @param {string} entry @param {number} count @param {string} [stage] @param {number} [back] */
  async run(entry, count, stage = "measure", back = 0) {
    const [vocab, hidden] = this.program.weights[0].shape;
    const ids = /** @type {any} */ (this.inputs.get(entry)?.get("ids"));
    for (let i = 0; i < count; i++) {
      if (back && i % back === 0) this.seen = this.mark_;
      for (const id of ids) this.total = this.total.map((sum, h) => sum + this.weights["table.weight"][id * hidden + h]);
      this.seen += ids.length;
      const y = Float32Array.from(this.total, (sum) => sum / this.seen);
      const head = this.weights["head.weight"];
      const logits = Float32Array.from({ length: vocab }, (_, n) => y.reduce((sum, v, h) => sum + v * head[n * hidden + h], 0));
      this.outputs.set(entry, new Map([["y", y], ["logits", logits]]));
    }
  }

  async flush() {}

  /** @param {string} entry */
  async read(entry) {
    return /** @type {any} */ (this.outputs.get(entry));
  }

  /** @param {string} entry */
  async poison(entry) {
    this.outputs.delete(entry);
  }

  async gpuTime() {
    return null;
  }

  dispatches() {
    return 0;
  }

  describe() {
    return /** @type {any} */ ({
      engine: "toy", engine_version: "1", platform: "webgpu", device: "cpu", bits: 16, bits_mean: 16, group_size: null,
      scheme: null, activations: "f32", features: null, weight_path: "numbers", wait: null, completion_ms: null,
      weight_bytes: this.bytes, notes: {},
    });
  }

  destroy() {}
}
