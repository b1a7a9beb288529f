import { canary } from "./runtime/canary.js";
import { HeldTensors, TensorFile, inputsOf, loadProgram, loadTensors } from "./runtime/bundle.js";
import { StageError, inStage } from "./runtime/errors.js";
import { VERSION, kernelsHash } from "./runtime/identity.js";
import { Link } from "./runtime/link.js";
import { measure } from "./runtime/measure.js";
import { probe } from "./runtime/probe.js";
import { ENGINES } from "./engines.js";
import { loadTexts } from "./webgpu/pipelines.js";

/** @import {Backend, Phase, Program, Task, Tensors, VerifiedCall} from "./runtime/types.d.ts" */

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
  const weights = task.models["weights.safetensors"];
  const [program, tensors, inputs, shaders] = await Promise.all([
    loadProgram(base + task.program),
    weights ? TensorFile.open(base + weights) : new HeldTensors(new Map()),
    loadTensors(base + task.inputs),
    loadTexts(task.shaders, `${base}shaders/`),
  ]);
  const load_ms = performance.now() - start;
  const modules = await loadTexts(task.modules, `${base}pages/`);
  const texts = new Map([...modules, ...shaders]);
  task.code = await kernelsHash(texts, {});
  return { program, tensors, inputs, shaders, texts, load_ms };
}

/**
 * Bring the backend to where a call begins: from a reset on, every call before it has been made.
 * @param {Backend} backend @param {Tensors} inputs @param {VerifiedCall} call
 * @param {boolean} [forced] whether states are given the values that the call has forced
 */
async function prepare(backend, inputs, call, forced = true) {
  const given = inputsOf(inputs, call.label);
  if (call.first) await backend.reset();
  await backend.setInputs(call.entry, given.inputs);
  if (forced && given.states.size) await backend.setStates(given.states);
}

/** The calls by sets, each of which begins with a reset. @param {VerifiedCall[]} calls @returns {VerifiedCall[][]} */
function setsOf(calls) {
  /** @type {VerifiedCall[][]} */
  const sets = [];
  for (const call of calls) {
    if (call.first) sets.push([]);
    sets[sets.length - 1].push(call);
  }
  return sets;
}

/**
 * Make every call of the list against poisoned outputs; the first one is the cold one.
 * @param {Backend} backend
 * @param {Tensors} inputs
 * @param {VerifiedCall[]} calls
 * @param {(label: string) => string} [name] what an answer is handed over as
 * @returns {Promise<number | null>} first_inference_ms, or null if an answer was wrong
 */
async function verify(backend, inputs, calls, name = (label) => label) {
  let first = NaN;
  for (const call of calls.filter((one) => one.verified)) {
    await prepare(backend, inputs, call);
    await backend.poison(call.entry);
    await backend.flush();
    const elapsed = await timed(() => backend.run(call.entry, 1, "verify"));
    if (Number.isNaN(first)) first = elapsed;
    const verdict = await link.verify(name(call.label), await backend.read(call.entry));
    if (!verdict.ok) return null;
  }
  return first;
}

/**
 * Time one phase, from where the first of its calls in a set begins. What the call would have forced is not: a text
 * is written as it would be without us.
 * @param {Backend} backend @param {Phase} phase @param {Tensors} inputs @param {VerifiedCall[]} set
 * @param {number} tick_ms @param {Task} task
 * @param {Phase | null} before the phase whose calls were the last to be made, and came to their end; where each of them
 *   began anew and the set goes on from one, nothing need be called again
 */
async function timePhase(backend, phase, inputs, set, tick_ms, task, before) {
  let stageOf = "warmup";
  await inStage("verify", async () => {
    const at = set.findIndex((call) => call.entry === phase.entry);
    const ready = at === 1 && before?.calls === 1 && before.entry === set[0].entry;
    for (const call of ready ? [] : set.slice(0, at)) {
      await prepare(backend, inputs, call);
      await backend.run(call.entry, 1, "verify");
    }
    await prepare(backend, inputs, set[at], false);
    await backend.mark();
  });
  return inStage(() => stageOf, () =>
    measure((count) => backend.run(phase.entry, count, stageOf, phase.calls), {
      tick_ms,
      iterations: task.iterations,
      max_seconds: task.max_seconds,
      precision: task.precision,
      unit: phase.unit === "token" ? phase.calls : 1,
      progress: (name, samples) => {
        stageOf = name;
        return stage(name, { samples }, backend);
      },
    }),
  );
}

/**
 * A clock of the GPU that fails costs its own number, not the measurement. A phase of which one call takes all the
 * time that there is for sampling is not run once more for it. `undone`: it failed somewhere within the phase, whose
 * states then may stand anywhere.
 * @param {Backend} backend @param {Phase} phase @param {Task} task @param {import("./runtime/measure.js").Timing} timing
 */
async function gpuTime(backend, phase, task, timing) {
  const fastest = timing.samples.reduce((least, { value_ms }) => Math.min(least, value_ms), Infinity);
  if (fastest > task.max_seconds * 1000) return { undone: false, gpu_ms: null, gpu_note: "one call takes longer than --max-seconds" };
  try {
    return { undone: false, gpu_ms: await backend.gpuTime(phase.entry, task.max_seconds * 1000) };
  } catch (error) {
    if (error instanceof StageError && error.outcome === "device_lost") throw error;
    return { undone: true, gpu_ms: null, gpu_note: String(error) };
  }
}

/** The tokens that the last sample chose. @param {Backend} backend @param {Program} program */
async function written(backend, program) {
  if (!backend.readState || !program.transcript) return { tokens: [], length: null };
  const tokens = await backend.readState(program.transcript);
  const [length] = await backend.readState("length");
  return { tokens, length };
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

/** @param {Backend} backend @param {Map<string, string>} texts @param {Task} task */
async function tellEffective(backend, texts, task) {
  const kernels = await kernelsHash(texts, task.tuning, backend.used?.());
  await link.event("effective", { engine: "native", engine_version: VERSION, kernels, ...backend.describe() });
}

/**
 * Find constants for the kernels, where that is asked for and can be; what was verified with others is verified again.
 * @param {Backend} backend @param {Tensors} inputs @param {Map<string, string>} texts @param {Task} task
 * @returns {Promise<boolean>} false if an answer was wrong
 */
async function tuned(backend, inputs, texts, task) {
  const { tune } = task;
  if (!tune || !backend.tune || (tune.on === "gpu" && backend.describe().device !== "gpu")) return true;
  const found = await inStage("warmup", () => /** @type {NonNullable<Backend["tune"]>} */ (backend.tune)(tune, () => stage("warmup")));
  if (found.found.some(({ constants }) => Object.keys(constants).length)) {
    await tellEffective(backend, texts, task);
    if ((await inStage("verify", () => verify(backend, inputs, task.calls))) === null) return false;
  }
  await link.event("tuned", { ...found, kernels: task.code });
  return true;
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
  const { program, tensors, inputs, shaders, texts, load_ms } = await inStage("load", () => load(task));

  await stage("build");
  const samples = task.calls.filter((one) => one.verified).map(({ label }) => inputsOf(inputs, label).inputs);
  const backend = await inStage("build", () => ENGINES[task.engine]({ program, tensors, shaders, task, base, samples }));
  const build_ms = await timed(() => inStage("build", () => backend.build(async () => void (await link.event("stage", { stage: "build" })))));

  await stage("compile");
  const compile_ms = await timed(() => inStage("compile", () => backend.compile()));
  await inStage("compile", async () => backend.inspect?.());
  await tellEffective(backend, texts, task);

  await stage("verify", {}, backend);
  const first_inference_ms = await inStage("verify", () => verify(backend, inputs, task.calls));
  await link.event("cold", { load_ms, build_ms, compile_ms, first_inference_ms });
  if (first_inference_ms === null || !(await tuned(backend, inputs, texts, task))) return;
  if (task.tune?.only) return;

  const sets = setsOf(task.calls);
  const calls = (/** @type {VerifiedCall[]} */ set, /** @type {Phase} */ phase) => set.some((call) => call.entry === phase.entry);
  const way = sets.find((set) => program.phases.every((phase) => calls(set, phase))) ?? sets[0];
  const timings = [];
  /** @type {Phase | null} */
  let before = null;
  for (const phase of program.phases) {
    const timing = await timePhase(backend, phase, inputs, way, found.timer_resolution_us / 1000, task, before);
    // Before the GPU's clock is asked: it runs the phase again.
    if (phase.unit === "token" && program.transcript) await link.event("generated", await written(backend, program));
    const { undone, ...clock } = await gpuTime(backend, phase, task, timing);
    before = undone ? null : phase;
    timings.push({ phase: phase.name, dispatches: backend.dispatches(phase.entry), ...timing, ...clock });
  }
  // What was timed must still be right when nothing is left of an earlier answer.
  const right = await inStage("measure", () =>
    verify(backend, inputs, sets[0], (label) => label.replace(/^0/, "last")),
  );
  if (right === null) return;
  for (const timing of timings) await link.event("timing", timing);
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
