import { canary } from "./runtime/canary.js";
import { inputSet, loadGraph, loadTensors } from "./runtime/bundle.js";
import { StageError, inStage } from "./runtime/errors.js";
import { VERSION, kernelsHash } from "./runtime/identity.js";
import { Link } from "./runtime/link.js";
import { measure } from "./runtime/measure.js";
import { probe } from "./runtime/probe.js";
import { OrtBackend } from "./ort/backend.js";
import { WebGpuBackend } from "./webgpu/backend.js";
import { loadTexts } from "./webgpu/pipelines.js";
import { WebNnBackend } from "./webnn/backend.js";

/** @import {Backend, Task} from "./runtime/types.d.ts" */

const base = new URL("..", location.href).pathname;
const link = new Link(base);

/** @param {string} id @param {string} text */
function show(id, text) {
  const element = document.getElementById(id);
  if (element) element.textContent = text;
}

/** Does what the task's fault does at a stage; nothing in an honest run. @type {(stage: string, backend?: Backend) => Promise<void>} */
let fault = async () => {};

/** @param {string} name @param {Record<string, unknown>} [data] @param {Backend} [backend] */
async function stage(name, data = {}, backend = undefined) {
  show("stage", name);
  await link.event("stage", { stage: name, ...data });
  await fault(name, backend);
}

/** @param {() => Promise<void>} work */
async function timed(work) {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

/** @param {Task} task */
async function load(task) {
  const start = performance.now();
  const [graph, tensors, inputs, shaders] = await Promise.all([
    loadGraph(base + task.graph),
    task.engine === "native" ? loadTensors(base + task.weights) : new Map(),
    loadTensors(base + task.inputs),
    loadTexts(task.shaders, `${base}shaders/`),
  ]);
  const load_ms = performance.now() - start;
  const modules = await loadTexts(task.modules, `${base}pages/`);
  const kernels = await kernelsHash(new Map([...modules, ...shaders]), task.tuning);
  return { graph, tensors, inputs, shaders, kernels, load_ms };
}

/**
 * Run every input set once against poisoned outputs; the first run is the cold one.
 * @param {Backend} backend
 * @param {import("./runtime/types.d.ts").Tensors} inputs
 * @param {number} sets
 * @returns {Promise<number | null>} first_inference_ms, or null if an answer was wrong
 */
async function verify(backend, inputs, sets) {
  let first = NaN;
  for (let set = 0; set < sets; set++) {
    await backend.setInputs(inputSet(inputs, set));
    await backend.poison();
    await backend.flush();
    const elapsed = await timed(() => backend.run(1, "verify"));
    if (set === 0) first = elapsed;
    const verdict = await link.verify(String(set), await backend.read());
    if (!verdict.ok) return null;
  }
  return first;
}

/** A clock of the GPU that fails costs its own number, not the measurement. @param {Backend} backend @param {Task} task */
async function gpuTime(backend, task) {
  try {
    return { gpu_ms: await backend.gpuTime(task.max_seconds * 1000) };
  } catch (error) {
    if (error instanceof StageError && error.outcome === "device_lost") throw error;
    return { gpu_ms: null, gpu_note: String(error) };
  }
}

/** The roof over this run, where it is asked for and the platform shows one; it costs no run. @param {Backend} backend */
async function ceilings(backend) {
  if (!backend.ceilings) return { note: "neither the work nor what it runs on is shown here" };
  try {
    return await backend.ceilings();
  } catch (error) {
    if (error instanceof StageError && error.outcome === "device_lost") throw error;
    return { note: String(error) };
  }
}

/** @param {Task} task */
async function run(task) {
  if (task.fault) {
    const { inject } = await import("./faults.js");
    fault = (name, backend) => inject(/** @type {string} */ (task.fault), name, { link, backend });
  }
  await stage("probe");
  const found = await inStage("probe", () => probe({ device: task.platform === "webgpu" ? task.device : "auto" }));
  await link.event("probe", found);
  await link.event("canary", await canary(base, task.platform, found.timer_resolution_us / 1000, task.device));

  await stage("load");
  const { graph, tensors, inputs, shaders, kernels, load_ms } = await inStage("load", () => load(task));

  await stage("build");
  const backend = /** @type {Backend} */ (
    await inStage("build", async () =>
      task.engine === "ort-web"
        ? OrtBackend.open(graph, task, base)
        : task.platform === "webgpu"
          ? WebGpuBackend.open(graph, tensors, shaders, task)
          : WebNnBackend.open(graph, tensors, task),
    )
  );
  const build_ms = await timed(() => inStage("build", () => backend.build()));

  await stage("compile");
  const compile_ms = await timed(() => inStage("compile", () => backend.compile()));
  await inStage("compile", async () => backend.inspect?.());
  await link.event("effective", { engine: "native", engine_version: VERSION, kernels, ...backend.describe() });

  await stage("verify", {}, backend);
  const first_inference_ms = await inStage("verify", () => verify(backend, inputs, task.input_sets));
  await link.event("cold", { load_ms, build_ms, compile_ms, first_inference_ms });
  if (first_inference_ms === null) return;

  await inStage("verify", () => backend.setInputs(inputSet(inputs, 0)));
  let phase = "warmup";
  const timing = await inStage(() => phase, () =>
    measure((count) => backend.run(count, phase), {
      tick_ms: found.timer_resolution_us / 1000,
      iterations: task.iterations,
      max_seconds: task.max_seconds,
      precision: task.precision,
      progress: (name, samples) => {
        phase = name;
        return stage(name, { samples }, backend);
      },
    }),
  );
  // What was timed must still be right when nothing is left of an earlier answer.
  const last = await inStage("measure", async () => {
    await backend.poison();
    await backend.run(1);
    return link.verify("last", await backend.read());
  });
  if (!last.ok) return;
  await link.event("timing", { ...timing, gpu_ms: null });
  await link.event("timing", { ...timing, ...(await gpuTime(backend, task)) });
  if (task.roofline) await link.event("ceilings", await ceilings(backend));
  await stage("teardown");
  backend.destroy();
}

try {
  const response = await fetch(`${base}task.json`, { cache: "no-store" });
  const task = /** @type {Task} */ (await response.json());
  show("what", task.label);
  await run(task);
  await link.event("done", {});
  show("stage", "done");
} catch (error) {
  const failure = error instanceof StageError ? error : new StageError("load", error);
  show("log", `${failure.stage}: ${failure.name}: ${failure.message}`);
  await link.event("error", { ...failure.toJSON(), stack: failure.stack ?? null });
}
