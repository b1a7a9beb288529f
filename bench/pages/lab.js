import { WebGpuBackend } from "./webgpu/backend.js";
import { guarded, openDevice } from "./webgpu/device.js";
import { attention } from "./webgpu/attention.js";
import * as kernels from "./webgpu/kernels.js";
import { matmul } from "./webgpu/matmul.js";
import { Memory } from "./webgpu/memory.js";
import { Pipelines, loadTexts } from "./webgpu/pipelines.js";
import { readFloats, settle } from "./webgpu/waiting.js";
import { WebNnBackend } from "./webnn/backend.js";
import { streamFile } from "./lab_stream.js";
import { variants } from "./lab_variants.js";
import { HeldTensors } from "./runtime/bundle.js";
import { words } from "./runtime/errors.js";

/** @import {Gpu} from "./webgpu/device.js" */
/** @import {Dispatch} from "./webgpu/kernels.js" */
/** @import {Pace} from "./webgpu/waiting.js" */
/** @import {Program, Task} from "./runtime/types.d.ts" */

/**
 * One kernel with its data. Weights are parts by key (`W.codes`, bias by its bare name) in base64; values are float or
 * int32 arrays in base64.
 * @typedef {{op: string, spec: any, f16: boolean, weights: Record<string, string>, output: string, elements: number,
 *   values: Record<string, {dtype: "f32" | "i32", data: string, repeat?: number}>, take?: number[]}} Case
 */

/** @type {Map<boolean, Promise<Gpu>>} */
const devices = new Map();
const base = new URL("..", location.href).pathname;
/** @type {Promise<Map<string, string>> | null} */
let sources = null;

/** @param {boolean} f16 */
function device(f16) {
  const opened = devices.get(f16) ?? openDevice({ f16 });
  devices.set(f16, opened);
  return opened;
}

function shaders() {
  sources ??= fetch(`${base}task.json`)
    .then((response) => response.json())
    .then((task) => loadTexts(task.shaders, `${base}shaders/`));
  return sources;
}

/** @type {Map<string, Uint8Array>} each text of the current case once, however many copies it is placed in */
let decoded = new Map();

/** @param {string} text @returns {Uint8Array} */
function bytes(text) {
  let data = decoded.get(text);
  if (!data) {
    data = /** @type {any} */ (Uint8Array).fromBase64(text);
    decoded.set(text, /** @type {Uint8Array} */ (data));
  }
  return /** @type {Uint8Array} */ (data);
}

/** @param {Float32Array} values */
function base64(values) {
  const raw = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  let text = "";
  for (let i = 0; i < raw.length; i += 8192) text += String.fromCharCode(...raw.subarray(i, i + 8192));
  return btoa(text);
}

/** @param {Gpu} gpu @param {Case} given @returns {Dispatch} */
function dispatchOf(gpu, given) {
  switch (given.op) {
    case "matmul": return matmul(gpu, given.spec);
    case "embedding": return kernels.embedding(gpu, given.spec);
    case "layer_norm": return kernels.layerNorm(gpu, given.spec);
    case "attention": return attention(gpu, given.spec);
    case "unfold": return kernels.unfold(gpu, given.spec);
    default: return kernels.simple(gpu, /** @type {"add"} */ (given.op), given.spec);
  }
}

/** A memory and values with the case's arrays in them; the output is poisoned. @param {Gpu} gpu @param {Case} given @param {Dispatch} dispatch */
async function place(gpu, given, dispatch) {
  const memory = new Memory(gpu.device);
  /** @type {Map<string, GPUBuffer>} */
  const values = new Map();
  const tensors = new Map(
    Object.entries(given.weights).map(([name, data]) => [name, { dtype: "", shape: [], bytes: bytes(data) }]),
  );
  const held = new HeldTensors(tensors);
  memory.reserve([dispatch], held);
  await memory.upload(held, async () => {}, async () => {});
  const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC;
  for (const [name, value] of Object.entries(given.values)) {
    const raw = bytes(value.data);
    const half = value.dtype === "f32" && gpu.f16;
    const data = half ? new Uint8Array(new Float16Array(new Float32Array(raw.slice().buffer)).buffer) : raw;
    const padded = new Uint8Array(Math.ceil((data.length * (value.repeat ?? 1)) / 4) * 4);
    for (let i = 0; i < (value.repeat ?? 1); i++) padded.set(data, i * data.length);
    const buffer = memory.buffer(padded.length, usage, name);
    gpu.device.queue.writeBuffer(buffer, 0, padded);
    values.set(name, buffer);
  }
  const size = given.elements * (gpu.f16 ? 2 : 4);
  const output = memory.buffer(size, usage, given.output);
  gpu.device.queue.writeBuffer(output, 0, new Uint8Array(output.size).fill(255));
  values.set(given.output, output);
  return { memory, values };
}

/** @param {Gpu} gpu @param {Dispatch} dispatch @param {Awaited<ReturnType<typeof place>>} placed @param {GPUComputePipeline} pipeline */
function bind(gpu, dispatch, { memory, values }, pipeline) {
  return gpu.device.createBindGroup({
    layout: pipeline.getBindGroupLayout(0),
    entries: dispatch.bindings.map(([binding, r]) => ({ binding, resource: { buffer: memory.of(r, values) } })),
  });
}

/** Run a kernel once; its output in base64 float32. @param {Case} given */
async function runCase(given) {
  const gpu = await device(given.f16);
  const pipelines = new Pipelines(gpu, await shaders());
  const dispatch = dispatchOf(gpu, given);
  return guarded(gpu, "verify", async () => {
    const pipeline = await pipelines.get(dispatch.variant);
    const placed = await place(gpu, given, dispatch);
    const encoder = gpu.device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, bind(gpu, dispatch, placed, pipeline));
    pass.dispatchWorkgroups(...dispatch.groups);
    pass.end();
    gpu.device.queue.submit([encoder.finish()]);
    const output = /** @type {GPUBuffer} */ (placed.values.get(given.output));
    const values = await readFloats(gpu, output, given.elements, gpu.f16);
    placed.memory.destroy();
    // What is too long for a WebDriver answer is looked at in places.
    const shown = given.take ? Float32Array.from(given.take, (i) => values[i]) : values;
    return { output: base64(shown), f16: gpu.f16, shader: dispatch.variant.shader };
  });
}

/**
 * Run a program's calls in order on either platform, from a reset on; the outputs of each in base64 float32, and the
 * states of whole numbers after the last.
 * @param {{platform: "webgpu" | "webnn", f16: boolean, program: Program, tensors: Record<string, string>,
 *   calls: {entry: string, inputs: Record<string, {dtype: "f32" | "i32", data: string}>}[],
 *   states?: Record<string, {dtype: "f32" | "i32", data: string}>, webnn_plan?: string, tuning?: Record<string, number>}} given
 */
async function runProgram(given) {
  const { program } = given;
  const arrays = (/** @type {Record<string, {dtype: "f32" | "i32", data: string}>} */ values) =>
    new Map(
      Object.entries(values).map(([name, { dtype, data }]) => {
        const { buffer } = bytes(data).slice();
        return [name, dtype === "i32" ? new Int32Array(buffer) : new Float32Array(buffer)];
      }),
    );
  const tensors = new Map(
    Object.entries(given.tensors).map(([name, data]) => [name, { dtype: "", shape: [], bytes: bytes(data) }]),
  );
  const held = new HeldTensors(tensors);
  const task = /** @type {Task} */ (/** @type {unknown} */ ({ device: "auto", tuning: given.tuning ?? {}, webnn_plan: given.webnn_plan }));
  const backend =
    given.platform === "webnn"
      ? await WebNnBackend.open(program, held, task, given.calls.map(({ inputs }) => arrays(inputs)))
      : new WebGpuBackend(await openDevice({ f16: given.f16 }), program, held, await shaders(), task);
  try {
    await backend.build(async () => {});
    await backend.compile();
    await backend.reset();
    if (given.states) await backend.setStates(arrays(given.states));
    const answers = [];
    for (const { entry, inputs } of given.calls) {
      await backend.setInputs(entry, arrays(inputs));
      await backend.poison(entry);
      await backend.run(entry, 1, "verify");
      const outputs = await backend.read(entry);
      answers.push(Object.fromEntries([...outputs].map(([name, values]) => [name, base64(values)])));
    }
    /** @type {Record<string, number[]>} */
    const states = {};
    for (const { name, dtype } of program.states) {
      if (dtype === "int32") states[name] = await backend.readState(name);
    }
    return { answers, states };
  } finally {
    backend.destroy();
  }
}

/**
 * Compile every variant; what failed, with the compiler's words. A pipeline is made of all of them, or else of the
 * first of each shader: a processor takes half a second for one. `from` and `count` take a part of them.
 * @param {{f16: boolean, pipelines: boolean, from?: number, count?: number}} given
 */
async function compileAll(given) {
  const gpu = await device(given.f16);
  const pipelines = new Pipelines(gpu, await shaders());
  const known = variants(gpu);
  const list = known.slice(given.from ?? 0, given.count ? (given.from ?? 0) + given.count : undefined);
  const failures = [];
  const times = [];
  for (const variant of list) {
    const start = performance.now();
    const first = list.find((other) => other.shader === variant.shader) === variant;
    try {
      await guarded(gpu, "compile", async () => void (await (given.pipelines || first ? pipelines.get(variant) : pipelines.module(variant))));
    } catch (error) {
      failures.push({ variant, error: words(error).message });
    }
    times.push({ variant, ms: performance.now() - start });
  }
  times.sort((a, b) => b.ms - a.ms);
  const names = [...new Set(list.map((v) => v.shader))].sort();
  return { known: known.length, compiled: list.length, shaders: names, failures, slowest: times.slice(0, 12), f16: gpu.f16, subgroups: gpu.subgroups };
}

/**
 * What waiting costs: the same work, waited for at several paces in turn; null for a plain wait, "ours" for the page's own.
 * @param {{units: number, rounds: number, paces: (Pace | "ours" | null)[]}} given
 */
async function waits(given) {
  const gpu = await device(false);
  const pipeline = await new Pipelines(gpu, await shaders()).get({ shader: "canary", values: {}, constants: {} });
  const out = gpu.device.createBuffer({ size: 64 * 64 * 4, usage: GPUBufferUsage.STORAGE });
  const entries = [{ binding: 0, resource: { buffer: out } }];
  const group = gpu.device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries });
  const time = async (/** @type {Pace | "ours" | null} */ pace) => {
    const encoder = gpu.device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    for (let i = 0; i < given.units; i++) pass.dispatchWorkgroups(64);
    pass.end();
    const start = performance.now();
    gpu.device.queue.submit([encoder.finish()]);
    const done = gpu.device.queue.onSubmittedWorkDone();
    await (pace === null ? done : settle(gpu, done, pace === "ours" ? undefined : pace));
    return performance.now() - start;
  };
  for (let i = 0; i < 3; i++) await time("ours");
  /** @type {number[][]} */
  const times = given.paces.map(() => []);
  for (let round = 0; round < given.rounds; round++) {
    const order = given.paces.map((_, i) => (round % 2 ? given.paces.length - 1 - i : i));
    for (const i of order) times[i].push(await time(given.paces[i]));
  }
  const info = gpu.adapter.info;
  return { times, adapter: [info.vendor, info.architecture, info.description].filter(Boolean).join(" ") };
}

/** @param {{file: string, whole?: boolean}} given see `streamFile` */
async function stream({ file, whole }) {
  return streamFile(await device(false), `${base}bundle/${file}`, whole);
}

const commands = { run: runCase, program: runProgram, compile: compileAll, waits, stream };

/**
 * What the tests call. The argument is fetched, for WebDriver takes no long ones; the answer is JSON.
 * @param {keyof typeof commands} command
 */
async function lab(command) {
  try {
    const argument = await (await fetch(`${base}bundle/case.json`, { cache: "no-store" })).json();
    decoded = new Map();
    return JSON.stringify({ ok: await commands[command](argument) });
  } catch (error) {
    return JSON.stringify({ error: words(error) });
  }
}

Object.assign(window, { lab });
const log = document.getElementById("log");
if (log) log.textContent = "ready";
