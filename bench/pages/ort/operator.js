import { readBack, settle } from "../webgpu/waiting.js";
import { passTimes } from "./clock.js";
import { FLOATS, readModel } from "./onnx.js";
import { GpuIo } from "./tensors.js";

/** @import {Gpu} from "../webgpu/device.js" */
/** @import {Inputs, Outputs} from "../runtime/types.d.ts" */

/** @typedef {{model: string, weights: string, channels_first: boolean}} OperatorFiles names in the bundle */

/** The name by which a model knows the file beside it (`bench/export/onnx_operators.py`). */
const WEIGHTS = "weights.bin";
const QUIET = 3;
/** Of the queue of promises, within which a call has registered its buffers. */
const TURNS = 10_000;
const PACKED = ["MatMulNBits", "GatherBlockQuantized"];

/** [rows, columns] as [columns, rows]. @param {Float32Array} values @param {number} rows */
function turned(values, rows) {
  const columns = values.length / rows;
  const found = new Float32Array(values.length);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) found[column * rows + row] = values[row * columns + column];
  }
  return found;
}

/** [length, heads, size] as [heads, length, size]. @param {Float32Array} values @param {number} heads @param {number} length */
function byHeads(values, heads, length) {
  const size = values.length / heads / length;
  const found = new Float32Array(values.length);
  for (let head = 0; head < heads; head++) {
    for (let at = 0; at < length; at++) {
      const from = (at * heads + head) * size;
      found.set(values.subarray(from, from + size), (head * length + at) * size);
    }
  }
  return found;
}

/**
 * A session of one operator in several copies on a device that is given. Its commands are captured once and replayed,
 * where onnxruntime can; inputs, outputs and caches lie in GPU buffers of ours.
 */
export class OrtOperator {
  /** @param {any} ort @param {any} session @param {Gpu} gpu @param {OperatorFiles} files @param {Uint8Array} model @param {string | null} uncaptured */
  constructor(ort, session, gpu, files, model, uncaptured) {
    this.ort = ort;
    this.session = session;
    this.gpu = gpu;
    this.files = files;
    this.model = readModel(model);
    this.uncaptured = uncaptured;
    const names = /** @type {string[]} */ (session.outputNames).filter((name) => name.startsWith("y."));
    this.io = new GpuIo(ort, session, /** @type {any} */ ({ outputs: names }), gpu);
    for (const name of Object.keys(this.io.fetches)) {
      if (!name.startsWith("present_")) continue;
      // The cache is written in place, as its users do it.
      this.io.place(name).buffer.destroy();
      this.io.fetches[name] = this.io.feeds[name.replace("present_", "past_")];
    }
  }

  /**
   * @param {any} ort onnxruntime-web @param {Gpu} gpu @param {string} base of the bundle @param {OperatorFiles} files
   */
  static async open(ort, gpu, base, files) {
    const [model, weights] = await Promise.all([files.model, files.weights].map((name) => bytesOf(base + name)));
    const make = (/** @type {boolean} */ enableGraphCapture) =>
      ort.InferenceSession.create(model, {
        executionProviders: [{ name: "webgpu", device: gpu.device }],
        externalData: weights.length ? [{ path: WEIGHTS, data: weights }] : [],
        preferredOutputLocation: "gpu-buffer",
        logSeverityLevel: QUIET,
        enableGraphCapture,
      });
    try {
      return new OrtOperator(ort, await make(true), gpu, files, model, null);
    } catch (error) {
      return new OrtOperator(ort, await make(false), gpu, files, model, String(error));
    }
  }

  /** Inputs and caches by the program's names. @param {Inputs} inputs @param {number} rows of the first input */
  setInputs(inputs, rows) {
    const given = new Map(inputs);
    for (const [name, data] of inputs) {
      if (!(data instanceof Float32Array)) continue;
      if (this.files.channels_first && name.startsWith("x.")) given.set(name, turned(data, rows));
      const past = /^(key|value)\.(\d+)$/.exec(name);
      if (!past) continue;
      const { shape } = this.session.inputMetadata.find((/** @type {any} */ one) => one.name === `past_${name}`);
      given.set(`past_${name}`, byHeads(data, Number(shape[1]), Number(shape[2])));
    }
    this.io.setInputs(given);
  }

  /**
   * The first call, which captures. onnxruntime 1.30 registers the buffers of a call and lets them go after it; of a
   * captured session it asks for those of the first call again, and fails where another session has taken their
   * places since ("setting 'Symbol(gpuBufferMetadata)'"). So each is counted once more while the first call runs.
   */
  async capture() {
    const tensors = [...Object.values(this.io.feeds), ...Object.values(this.io.fetches)];
    let running = true;
    const run = this.io.run().finally(() => {
      running = false;
    });
    const left = new Set(tensors.map((tensor) => tensor.gpuBuffer));
    for (let turn = 0; running && left.size && turn < TURNS; turn++) {
      for (const buffer of left) {
        const [symbol] = Object.getOwnPropertySymbols(buffer);
        if (!symbol) continue;
        buffer[symbol][1]++;
        left.delete(buffer);
      }
      await null;
    }
    await settle(this.gpu, run);
    if (left.size && this.uncaptured === null) this.uncaptured = `${left.size} buffers were not held`;
  }

  poison() {
    this.io.poison();
  }

  /** @param {number} count */
  async run(count) {
    const work = async () => {
      for (let i = 0; i < count; i++) await this.io.run();
      await this.gpu.device.queue.onSubmittedWorkDone();
    };
    await settle(this.gpu, work());
  }

  /** @param {number} rows of an output @returns {Promise<Outputs>} */
  async read(rows) {
    const outputs = await settle(this.gpu, this.io.read());
    if (!this.files.channels_first) return outputs;
    return new Map([...outputs].map(([name, values]) => [name, turned(values, values.length / rows)]));
  }

  /** Sum of all compute passes of one call in ms, after one that wakes the GPU; null where it cannot be had. */
  async gpuTime() {
    const { gpu } = this;
    if (!gpu.timestamps) return null;
    if (!gpu.software) await this.run(1);
    return passTimes(gpu.device, () => this.run(1), (buffer, bytes) => readBack(gpu, buffer, bytes));
  }

  /** What of it is known: versions, and the operators and bits that its file has. */
  describe() {
    const { nodes, tensors } = this.model;
    const packed = nodes.find((node) => PACKED.includes(node.op));
    const whole = nodes.flatMap((node) => node.inputs).map((name) => tensors.get(name)).find((one) => one && one.dims.length > 1 && FLOATS[one.type]);
    const { versions } = this.ort.env;
    return {
      engine: "ort-web",
      engine_version: versions.web ?? versions.common ?? null,
      bits: packed ? (packed.attrs.get("bits") ?? 4) : (whole ? 16 : null),
      group_size: packed ? (packed.attrs.get("block_size") ?? null) : null,
      scheme: packed ? (packed.inputs[3] ? "asymmetric" : "symmetric") : null,
      // An unpacked matrix has values of 16 bits, whatever the file holds them as.
      weight_path: `an ONNX file with onnxruntime's operators${whole && !packed ? `, an unpacked matrix of float${FLOATS[whole.type]}` : ""}`,
      notes: {
        operators: [...new Set(nodes.map((node) => node.op))],
        accuracy_level: packed?.attrs.get("accuracy_level") ?? null,
        graph_capture: this.uncaptured === null,
        ...(this.uncaptured === null ? {} : { not_captured: this.uncaptured }),
        inputs_and_outputs: "GPU buffers",
      },
    };
  }

  async destroy() {
    await this.session.release();
    this.io.destroy();
  }
}

/** @param {string} url */
async function bytesOf(url) {
  const response = await fetch(url, { cache: "no-store" });
  if (!response.ok) throw new Error(`GET ${url} answered ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}
