import { OrtOperator } from "./ort/operator.js";
import { LEAST_LANES } from "./ort/device.js";
import { HeldTensors, loadProgram, loadTensors } from "./runtime/bundle.js";
import { StageError, inStage, words } from "./runtime/errors.js";
import { VERSION, kernelsHash, summary } from "./runtime/identity.js";
import { Link } from "./runtime/link.js";
import { probe } from "./runtime/probe.js";
import { quantile } from "./runtime/steady.js";
import { WebGpuBackend } from "./webgpu/backend.js";
import { ceilings } from "./webgpu/ceilings.js";
import { check, openDevice, shown } from "./webgpu/device.js";
import { Pipelines, loadTexts } from "./webgpu/pipelines.js";
import { completion } from "./webgpu/waiting.js";

/** @import {Gpu} from "./webgpu/device.js" */
/** @import {OperatorFiles} from "./ort/operator.js" */
/** @import {Inputs, Outputs, Task, Tensors} from "./runtime/types.d.ts" */

/**
 * What is compared: an engine, with constants forced on our own kernels, or with an accuracy level of onnxruntime.
 * @typedef {{engine: "native" | "ort-web", tuning: Record<string, number>, level: number}} Variant
 * @typedef {{cases: number, variants: Variant[], device: string, features: "stock" | "f16" | "all", rounds: number,
 *   least_ms: number, shaders: string[], modules: Record<string, string[]>}} Work
 * @typedef {{copies: number, rows: number, columns: number, input_rows: number, variants: number[],
 *   models: Record<string, OperatorFiles>}} Given one case, as `bench/harness/kernel_cases.py` says it
 * @typedef {{variant: number, run(count: number): Promise<void>, gpuTime(): Promise<number | null>,
 *   poison(): Promise<void>, read(): Promise<Outputs>, describe(): Record<string, any>, dispatches: number | null,
 *   destroy(): Promise<void>}} Runner
 * @typedef {{gpu: Gpu, shaders: Map<string, string>, pipelines: Pipelines, ort: any, kernels: string[]}} Shared
 */

const base = new URL("..", location.href).pathname;
const link = new Link(base);
const MOST_CALLS = 4096;
/** A GPU is kept at work for so long at least and at most, until a turn takes more than this share of the best one. */
const LEAST_WARM_MS = 300;
const MOST_WARM_MS = 3000;
const SETTLED = 0.97;
const TICKS = 100; // of the page's clock that a sample spans at least
const POLL_MS = 20;
const ONE_PASS_MS = 0; // a budget that is spent after one pass: the peer has one a round too

/** @param {string} name @param {string} text */
async function stage(name, text) {
  const element = document.getElementById("stage");
  if (element) element.textContent = text;
  await link.event("stage", { stage: name, text });
}

/** @param {Work} work @param {number} tick_ms @returns {Promise<Shared>} */
async function open(work, tick_ms) {
  const peer = work.variants.some(({ engine }) => engine === "ort-web");
  // The peer is wrong with fewer lanes (`ort/device.js`), and both have the same device.
  const gpu = await openDevice({ device: work.device, features: work.features, lanes: peer ? LEAST_LANES : 0 });
  const shaders = await loadTexts(work.shaders, `${base}shaders/`);
  const pipelines = new Pipelines(gpu, shaders);
  const texts = /** @type {Record<string, Map<string, string>>} */ ({});
  for (const [engine, names] of Object.entries(work.modules)) texts[engine] = await loadTexts(names, `${base}pages/`);
  const kernels = work.variants.map(({ engine, tuning, level }) =>
    engine === "native"
      ? kernelsHash(new Map([...texts[engine], ...shaders]), tuning)
      : kernelsHash(texts[engine], { accuracy_level: level }),
  );
  const shared = { gpu, shaders, pipelines, ort: peer ? await runtime() : null, kernels: await Promise.all(kernels) };
  const wait = await completion(gpu);
  await link.event("opened", {
    activations: gpu.f16 ? "f16" : "f32",
    features: gpu.features,
    device: gpu.software ? "cpu" : "gpu",
    subgroups: gpu.subgroups,
    software: gpu.software,
    completion_ms: wait.completion_ms,
    tick_ms,
    adapter: shown(gpu),
  });
  return shared;
}

async function runtime() {
  const ort = await import(/** @type {string} */ (`${base}engine/ort.webgpu.min.mjs`));
  ort.env.wasm.wasmPaths = `${location.origin}${base}engine/`;
  return ort;
}

/** Ask for a case, and wait until the harness has made its files. @param {number} number @returns {Promise<Given>} */
async function given(number) {
  await link.event("wanted", { case: number });
  while (true) {
    const response = await fetch(`${base}bundle/case-${number}.json`, { cache: "no-store" });
    if (response.ok) return response.json();
    if (response.status !== 404) throw new Error(`case ${number}: the harness answered ${response.status}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** Each tensor once for each copy; the bytes are the same. @param {Tensors} tensors @param {number} copies */
function repeated(tensors, copies) {
  /** @type {Tensors} */
  const found = new Map();
  for (const [name, tensor] of tensors) {
    const [whole, part] = name.split(".");
    for (let copy = 0; copy < copies; copy++) found.set(part ? `${whole}.${copy}.${part}` : `${whole}.${copy}`, tensor);
  }
  return found;
}

/** @param {Tensors} tensors @param {number} copies @returns {Inputs} by the program's names */
function inputsOf(tensors, copies) {
  /** @type {Inputs} */
  const found = new Map();
  for (const [name, { dtype, bytes }] of tensors) {
    const { buffer } = bytes.slice();
    const values = dtype === "I32" ? new Int32Array(buffer) : new Float32Array(buffer);
    if (name === "length") found.set(name, values);
    else for (let copy = 0; copy < copies; copy++) found.set(`${name}.${copy}`, values);
  }
  return found;
}

/** @param {Shared} shared @param {Variant} variant @param {number} index @param {Given} one @param {Tensors} weights @param {Inputs} inputs @returns {Promise<Runner>} */
async function native(shared, variant, index, one, weights, inputs) {
  const program = await loadProgram(`${base}bundle/program.json`);
  const task = /** @type {Task} */ (/** @type {unknown} */ ({ tuning: variant.tuning }));
  const held = new HeldTensors(repeated(weights, one.copies));
  const backend = new WebGpuBackend(shared.gpu, program, held, shared.shaders, task);
  backend.pipelines = shared.pipelines;
  await inStage("build", () => backend.build(async () => {}));
  await inStage("compile", () => backend.compile());
  const names = new Set(program.states.map((state) => state.name));
  await backend.setStates(new Map([...inputs].filter(([name]) => names.has(name))));
  await backend.mark(); // what the GPU's clock sets back to
  await backend.setInputs("forward", inputs);
  return {
    variant: index,
    run: (count) => backend.run("forward", count),
    gpuTime: () => backend.gpuTime("forward", ONE_PASS_MS),
    poison: () => backend.poison("forward"),
    read: () => backend.read("forward"),
    describe: () => ({ engine: "native", engine_version: VERSION, ...backend.describe(), ...summary(backend.formats()) }),
    dispatches: backend.dispatches("forward"),
    destroy: async () => backend.memory.destroy(),
  };
}

/** @param {Shared} shared @param {Variant} variant @param {number} index @param {Given} one @param {Inputs} inputs @returns {Promise<Runner>} */
async function peer(shared, variant, index, one, inputs) {
  const files = one.models[String(variant.level)];
  const operator = await inStage("build", () => OrtOperator.open(shared.ort, shared.gpu, `${base}bundle/`, files));
  operator.setInputs(inputs, one.input_rows);
  await inStage("compile", () => operator.capture());
  return {
    variant: index,
    run: (count) => inStage("measure", () => operator.run(count)),
    gpuTime: () => operator.gpuTime(),
    poison: async () => operator.poison(),
    read: () => operator.read(one.rows),
    describe: () => operator.describe(),
    dispatches: null,
    destroy: () => operator.destroy(),
  };
}

/** Run once against poisoned outputs; whether the first and the last copy are right. @param {Runner} runner @param {number} number @param {Given} one @param {string} when */
async function verified(runner, number, one, when) {
  await runner.poison();
  await runner.run(1);
  const outputs = await runner.read();
  const looked = new Map([...outputs].filter(([name]) => name === "y.0" || name === `y.${one.copies - 1}`));
  const { ok } = await link.verify(`${number}-${runner.variant}-${when}`, looked);
  return ok;
}

/** Calls that span so many ms at least. @param {Runner} runner @param {number} least_ms */
async function calls(runner, least_ms) {
  let count = 1;
  while (count < MOST_CALLS) {
    const start = performance.now();
    await runner.run(count);
    if (performance.now() - start >= least_ms) break;
    count *= 2;
  }
  return count;
}

/**
 * Keep a GPU at work, every runner in turn, until it gets no faster: one that waited while files were loaded runs at a
 * low clock for a while, and a whole case may pass at half its speed.
 * @param {Runner[]} runners @param {(runner: Runner) => number} count of calls @param {boolean} software has no clock
 */
async function warm(runners, count, software) {
  const begun = performance.now();
  let best = Infinity;
  while (runners.length) {
    const start = performance.now();
    for (const runner of runners) await runner.run(count(runner));
    const now = performance.now();
    const settled = now - begun >= LEAST_WARM_MS && now - start > SETTLED * best;
    if (software || settled || now - begun >= MOST_WARM_MS) break;
    best = Math.min(best, now - start);
  }
}

/**
 * Time every runner in turn, each second round in the other order.
 * @param {Runner[]} runners @param {Given} one @param {Work} work @param {number} least_ms @param {string} label
 * @param {boolean} software
 */
async function rounds(runners, one, work, least_ms, label, software) {
  /** @type {Map<number, {count: number, wall: number[], gpu: number[], ends: number[]}>} */
  const found = new Map();
  for (const runner of runners) found.set(runner.variant, { count: await calls(runner, least_ms), wall: [], gpu: [], ends: [] });
  await warm(runners, (runner) => found.get(runner.variant)?.count ?? 1, software);
  for (let round = 0; round < work.rounds; round++) {
    await stage("measure", `${label}: round ${round + 1} of ${work.rounds}`);
    for (const runner of round % 2 ? [...runners].reverse() : runners) {
      const timed = /** @type {{count: number, wall: number[], gpu: number[], ends: number[]}} */ (found.get(runner.variant));
      const start = performance.now();
      await runner.run(timed.count);
      timed.wall.push((performance.now() - start) / timed.count / one.copies);
      timed.ends.push(Date.now());
      const gpu = await runner.gpuTime();
      if (gpu !== null) timed.gpu.push(gpu / one.copies);
    }
  }
  return found;
}

/** One case on every variant. @param {number} number @param {Shared} shared @param {Work} work @param {number} tick_ms */
async function measureCase(number, shared, work, tick_ms) {
  await stage("load", `case ${number + 1} of ${work.cases}`);
  const one = await given(number);
  // Others have it by now.
  if (!one.variants.length) return link.event("finished", { case: number });
  const { gpu } = shared;
  const weights = await loadTensors(`${base}bundle/weights.safetensors`);
  const inputs = inputsOf(await loadTensors(`${base}bundle/inputs.safetensors`), one.copies);
  /** @type {Runner[]} */
  const runners = [];
  const label = `case ${number + 1} of ${work.cases}`;
  for (const index of one.variants) {
    const variant = work.variants[index];
    await stage("build", label);
    try {
      const made = variant.engine === "native"
        ? await native(shared, variant, index, one, weights, inputs)
        : await peer(shared, variant, index, one, inputs);
      check(gpu, "build");
      runners.push(made);
      await stage("verify", label);
      await link.event("made", { case: number, variant: index, kernels: shared.kernels[index], dispatches: made.dispatches, ...made.describe() });
      if (!(await inStage("verify", () => verified(made, number, one, "first")))) await runners.pop()?.destroy();
    } catch (error) {
      await failed(gpu, number, index, error);
    }
  }
  const timed = await inStage("measure", () => rounds(runners, one, work, Math.max(work.least_ms, TICKS * tick_ms), label, gpu.software));
  for (const runner of runners) {
    const times = /** @type {{count: number, wall: number[], gpu: number[], ends: number[]}} */ (timed.get(runner.variant));
    const right = await inStage("measure", () => verified(runner, number, one, "last"));
    if (right) await link.event("timed", { case: number, variant: runner.variant, ...times, gpu_ms: times.gpu.length ? quantile(times.gpu, 0.5) : null });
    await runner.destroy();
  }
  await link.event("finished", { case: number });
}

/** A variant that cannot run is a row, and the others go on; a device that is gone ends them all. @param {Gpu} gpu @param {number} number @param {number} index @param {unknown} error */
async function failed(gpu, number, index, error) {
  const failure = error instanceof StageError ? error : new StageError("build", error);
  if (failure.outcome === "device_lost" || gpu.lost) throw failure;
  gpu.errors.length = 0;
  await link.event("failed", { case: number, variant: index, ...failure.toJSON() });
}

try {
  const work = /** @type {Work} */ (await (await fetch(`${base}task.json`, { cache: "no-store" })).json());
  await stage("probe", "looking at this browser");
  const found = await inStage("probe", () => probe({ device: work.device }));
  await link.event("probe", found);
  const tick_ms = found.timer_resolution_us / 1000;
  const shared = await inStage("probe", () => open(work, tick_ms));
  await stage("warmup", "measuring what the adapter reaches");
  await link.event("ceilings", await ceilings(shared.gpu, shared.pipelines, []));
  for (let number = 0; number < work.cases; number++) await measureCase(number, shared, work, tick_ms);
  await stage("teardown", "done");
  await link.event("done", {});
} catch (error) {
  const failure = error instanceof StageError ? error : new StageError("load", error);
  const log = document.getElementById("log");
  if (log) log.textContent = words(error).message;
  await link.event("error", { ...failure.toJSON(), stack: failure.stack ?? null });
}
