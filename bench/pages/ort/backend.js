import { StageError } from "../runtime/errors.js";
import { summary } from "../runtime/identity.js";
import { demand, featureSet, isSoftware, matricesOf, requestAdapter } from "../webgpu/device.js";
import { completion, readBack, settle } from "../webgpu/waiting.js";
import { openContext } from "../webnn/context.js";
import { passTimes } from "./clock.js";
import { DecoderIo } from "./decoder.js";
import { withheld, withoutSubgroups } from "./device.js";
import { formatsOf, readModel, weightBytes } from "./onnx.js";
import { attend, elsewhere, listen, placements } from "./placement.js";
import { HostIo, GpuIo } from "./tensors.js";

/** @import {Completion} from "../webgpu/waiting.js" */
/** @import {OnnxModel} from "./onnx.js" */
/** @import {Placements} from "./placement.js" */
/** @import {Io} from "./tensors.js" */
/** @import {Backend, Effective, Inputs, Outputs, Program, Task} from "../runtime/types.d.ts" */

const GPU_PASSES = 7;
const VERBOSE = 0;
const QUIET = 3;

/** The provider that is asked for on each platform, and the name that it has in the log. */
const PROVIDERS = {
  webgpu: "WebGpuExecutionProvider",
  webnn: "WebNNExecutionProvider",
  wasm: "CPUExecutionProvider",
};

/**
 * Runs a program through onnxruntime-web, as a user gets it: its own device with the features that it asks for, its
 * own threads, no graph capture. What is ours is the waiting, the inputs and outputs in GPU buffers, and what is told.
 * @implements {Backend}
 */
export class OrtBackend {
  /** @param {Program} program @param {Uint8Array} bytes @param {"f32" | "f16"} activations @param {Task} task @param {string} base */
  constructor(program, bytes, activations, task, base) {
    this.program = program;
    /** @type {Uint8Array} */
    this.bytes = bytes;
    this.activations = activations;
    this.task = task;
    this.base = base;
    this.platform = task.platform;
    /** @type {any} onnxruntime-web, which is loaded in `build` */
    this.ort = null;
    /** @type {any} its InferenceSession */
    this.session = null;
    /** @type {Io | null} */
    this.io = null;
    /** @type {{device: GPUDevice, software: boolean} | null} */
    this.gpu = null;
    /** @type {GPUDevice | null} the device that it is given, where that is not its own */
    this.given = null;
    /** @type {string | null} */
    this.withheld = null;
    /** @type {Completion | null} */
    this.completion = null;
    /** @type {OnnxModel} */
    this.model = readModel(bytes);
    /** @type {Placements} */
    this.placements = new Map();
    /** @type {string | null} */
    this.lost = null;
  }

  /**
   * Load the file that the adapter can run: float16 where it has `shader-f16`, like our own kernels.
   * @param {Program} program @param {Task} task @param {string} base
   */
  static async open(program, task, base) {
    const adapter = task.platform === "webgpu" ? await adapterOf(task.device) : null;
    if (adapter) demand(adapter, task.features);
    const f16 = adapter?.features.has("shader-f16") && "model.f16.onnx" in task.models;
    const activations = f16 ? "f16" : "f32";
    const response = await fetch(base + task.models[`model.${activations}.onnx`], { cache: "no-store" });
    if (!response.ok) throw new Error(`GET ${response.url} answered ${response.status}`);
    const bytes = new Uint8Array(await response.arrayBuffer());
    const backend = new OrtBackend(program, bytes, activations, task, base);
    backend.withheld = adapter && withheld(adapter);
    if (adapter && backend.withheld) backend.given = await withoutSubgroups(adapter);
    return backend;
  }

  /** Load the runtime; its WebAssembly is instantiated when the session is made. */
  async build() {
    attend();
    const name = this.platform === "wasm" ? "ort.wasm.min.mjs" : "ort.webgpu.min.mjs";
    this.ort = await import(`${this.base}engine/${name}`);
    this.ort.env.wasm.wasmPaths = `${location.origin}${this.base}engine/`;
    if (this.task.device === "cpu" && this.platform === "webgpu") this.ort.env.webgpu.forceFallbackAdapter = true;
  }

  /** @param {number} logSeverityLevel */
  async makeSession(logSeverityLevel) {
    /** @type {string | Record<string, unknown>} */
    let provider = this.platform;
    if (this.platform === "webnn") {
      const context = await openContext(this.task.device);
      context.lost.then((info) => {
        this.lost = `MLContext lost: ${info.message}`;
      });
      provider = { name: "webnn", context, ...(this.task.device === "auto" ? {} : { deviceType: this.task.device }) };
    }
    if (this.given) provider = { name: "webgpu", device: this.given };
    // The chosen token is wanted by the page, all else by the GPU.
    const location = this.program.transcript ? { next_token: "cpu" } : "gpu-buffer";
    const where = this.platform === "webgpu" ? { preferredOutputLocation: location } : {};
    const options = { executionProviders: [provider], logSeverityLevel, ...where };
    return this.ort.InferenceSession.create(this.bytes, options);
  }

  async compile() {
    this.session = await this.guarded("compile", () => this.makeSession(QUIET));
    if (this.platform === "webgpu") {
      const device = /** @type {GPUDevice & {adapterInfo?: GPUAdapterInfo}} */ (
        this.given ?? (await this.ort.env.webgpu.device)
      );
      device.lost.then((info) => {
        this.lost = `GPUDevice lost (${info.reason}): ${info.message}`;
      });
      this.gpu = { device, software: device.adapterInfo ? isSoftware(device.adapterInfo) : false };
    }
    this.io = this.makeIo();
  }

  /** @returns {Io} */
  makeIo() {
    const { ort, session, program, gpu } = this;
    const scalar = this.activations === "f16" ? "float16" : "float32";
    if (program.transcript) return new DecoderIo(ort, session, program, gpu, scalar);
    const graph = program.entries[program.phases[0].entry];
    return gpu ? new GpuIo(ort, session, graph, gpu) : new HostIo(ort, session, graph);
  }

  /** Ask where each node runs: a second session says it in its log, and is let go. No part of any time. */
  async inspect() {
    const { result, lines } = await listen(() => this.makeSession(VERBOSE));
    await result.release();
    this.placements = placements(lines);
    this.bytes = new Uint8Array(0); // the session has its own copy
    if (this.gpu) this.completion = await completion(this.gpu);
  }

  async reset() {
    this.needed().reset?.();
  }

  /** @param {Inputs} states */
  async setStates(states) {
    this.needed().setStates?.(states);
  }

  async mark() {
    this.needed().mark?.();
  }

  /** A state of whole numbers; those of a language model live in the page. @param {string} name */
  async readState(name) {
    return this.needed().readState?.(name) ?? [];
  }

  /** @param {string} entry @param {Inputs} inputs */
  async setInputs(entry, inputs) {
    this.needed().setInputs(inputs);
  }

  needed() {
    if (!this.io) throw new Error("no session was made");
    return this.io;
  }

  /** @param {string} entry @param {number} count @param {string} [stage] @param {number} [back] */
  async run(entry, count, stage = "measure", back = 0) {
    const io = this.needed();
    await this.guarded(stage, () =>
      this.waited(async () => {
        for (let i = 0; i < count; i++) {
          if (back && i % back === 0) io.setBack?.();
          await io.run(entry);
        }
        await this.gpu?.device.queue.onSubmittedWorkDone();
      }),
    );
  }

  /** On a GPU every wait of ours is eager, also those of onnxruntime for its own work. @template T @param {() => Promise<T>} work */
  waited(work) {
    return this.gpu ? settle(this.gpu, work()) : work();
  }

  async flush() {
    await this.waited(async () => this.gpu?.device.queue.onSubmittedWorkDone());
  }

  async poison() {
    this.needed().poison();
  }

  /** @returns {Promise<Outputs>} */
  async read() {
    const io = this.needed();
    return this.guarded("verify", () => this.waited(() => io.read()));
  }

  /**
   * Median over runs of the sum of all compute passes, in ms.
   * @param {string} entry
   * @param {number} budget_ms
   */
  async gpuTime(entry, budget_ms) {
    const { gpu, io } = this;
    if (!gpu || !io || !gpu.device.features.has("timestamp-query")) return null;
    const times = [];
    const begin = performance.now();
    for (let i = 0; i < GPU_PASSES && (i === 0 || performance.now() - begin < budget_ms); i++) {
      if (!gpu.software) await this.run(entry, 1, "measure", 1); // a GPU that waited has clocked down
      const time = await passTimes(gpu.device, () => this.run(entry, 1, "measure", 1), (buffer, bytes) => readBack(gpu, buffer, bytes));
      if (time !== null) times.push(time);
    }
    times.sort((a, b) => a - b);
    return times.length > 0 ? times[times.length >> 1] : null;
  }

  /**
   * @template T
   * @param {string} stage
   * @param {() => Promise<T>} work
   */
  async guarded(stage, work) {
    /** @type {unknown} */
    let thrown = null;
    /** @type {T | undefined} */
    let result;
    try {
      result = await work();
    } catch (error) {
      thrown = error;
      // Calls fail a moment before the page hears that the device is lost.
      if (this.gpu) await Promise.race([this.gpu.device.lost, new Promise((resolve) => setTimeout(resolve, 1000))]);
    }
    if (this.lost !== null) throw new StageError(stage, new Error(this.lost), { outcome: "device_lost" });
    if (thrown) throw thrown instanceof StageError ? thrown : new StageError(stage, thrown);
    return /** @type {T} */ (result);
  }

  dispatches() {
    return null; // its nodes are known, what it makes of them is not
  }

  /** @returns {Effective} */
  describe() {
    const { matrices, ...found } = summary(formatsOf(this.model));
    const { device, software } = this.gpu ?? { device: null, software: false };
    const info = /** @type {{adapterInfo?: GPUAdapterInfo} | null} */ (device)?.adapterInfo;
    const ran = this.platform === "wasm" ? "cpu" : info ? (software ? "cpu" : "gpu") : null;
    const levels = this.model.nodes.filter((node) => node.op === "MatMulNBits").map((node) => node.attrs.get("accuracy_level") ?? 0);
    return {
      engine: "ort-web",
      engine_version: this.ort.env.versions.web ?? this.ort.env.versions.common ?? null,
      platform: this.platform,
      device: ran,
      ...found,
      activations: this.activations,
      features: device ? featureSet(device.features, info ? matricesOf({ info }) : []) : null,
      weight_path: "an ONNX file with onnxruntime's operators",
      wait: this.gpu ? "eager" : "plain",
      completion_ms: this.completion?.completion_ms ?? null,
      weight_bytes: weightBytes(this.model),
      notes: {
        matrices,
        providers: Object.fromEntries([...this.placements].map(([name, { nodes }]) => [name, nodes])),
        elsewhere: elsewhere(this.placements, PROVIDERS[this.platform]),
        accuracy_level: levels.length ? Math.max(...levels) : null,
        graph_capture: false,
        inputs_and_outputs: this.gpu ? "GPU buffers" : "memory of the page",
        ...(this.program.transcript ? { token: "read back after each call" } : {}),
        threads: this.ort.env.wasm.numThreads ?? null,
        withheld: this.withheld,
        device_features: device ? [...device.features].sort() : null,
        plain_waits_ms: this.completion && { first: this.completion.first_ms, next: this.completion.next_ms },
        ...(info
          ? {
              adapter: {
                vendor: info.vendor,
                architecture: info.architecture,
                device: info.device,
                description: info.description,
                is_fallback_adapter: software,
              },
            }
          : {}),
      },
    };
  }

  destroy() {
    this.io?.destroy();
    void this.session?.release();
  }
}

/** The adapter that onnxruntime will be given too. @param {string} device */
async function adapterOf(device) {
  if (!navigator.gpu) {
    throw new StageError("probe", new Error("navigator.gpu is undefined: this browser has no WebGPU"), {
      outcome: "unsupported",
    });
  }
  const adapter = await requestAdapter(device);
  if (!adapter) {
    throw new StageError("probe", new Error("navigator.gpu.requestAdapter() resolved to null"), { outcome: "unsupported" });
  }
  return adapter;
}
