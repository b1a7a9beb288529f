import { quantile } from "../runtime/steady.js";
import { candidates } from "./candidates.js";
import { PassClock } from "./clock.js";
import { finished, guarded } from "./device.js";
import { dispatch } from "./entry.js";
import { readFloats } from "./waiting.js";

/** @import {WebGpuBackend} from "./backend.js" */
/** @import {Entry, Step} from "./entry.js" */
/** @import {Constants, Dispatch} from "./kernels.js" */

/**
 * What was found for one kernel: constants that are faster than the usual ones, or none. Times are of one dispatch;
 * `tried` forms were timed, `refused` did not compile, `wrong` gave another answer than the usual form.
 * @typedef {{key: string, constants: Constants, default_ms: number, tuned_ms: number, tried: number, refused: number,
 *   wrong: number}} Found
 * @typedef {{entry: Entry, key: string, dispatches: Dispatch[]}} Kernel all dispatches of one work, each with its weights
 * @typedef {{constants: Constants, steps: Step[], times: number[]}} Form
 */

const ROUNDS = 5;
/** After the first round, forms that are so much slower than the best are left. */
const HOPELESS = 1.3;
/** A form replaces the usual one where it takes at most this share of its time, in the median of the rounds. */
const BETTER = 0.97;
/** Of a sample on a GPU, whose clock may tick every 0.1 ms. */
const LEAST_MS = 1;
const MOST_REPEATS = 64;
/** Of one dispatch. */
const LONG_MS = 5;
/** Distance to the usual form's answer, by the size of an activation: twice what each may be from the truth. */
const ALLOWED = /** @type {Record<number, number>} */ ({ 2: 1e-2, 4: 2e-3 });

/** Finds faster forms of a program's kernels, on the buffers and weights that it runs with. */
export class Tuner {
  /** @param {WebGpuBackend} backend whose entries have run once: their values are real ones @param {() => Promise<void>} progress */
  constructor(backend, progress) {
    this.backend = backend;
    this.gpu = backend.gpu;
    this.progress = progress;
    this.clock = this.gpu.timestamps ? new PassClock(this.gpu, "measure") : null;
  }

  /**
   * @param {Set<string>} known keys that are left out
   * @param {number} budget_ms for all of them; no form is begun later
   * @param {number} most forms of one kernel, the usual one among them
   * @returns {Promise<{found: Found[], left: Found[]}>} `left`: those for which there was no time
   */
  async run(known, budget_ms, most) {
    const end = performance.now() + budget_ms;
    const timed = [];
    for (const kernel of this.kernels().filter(({ key }) => !known.has(key))) {
      const usual = await this.form(kernel, {}, kernel.dispatches);
      const repeats = await this.repeats(usual);
      const share = usual.times[0] * usual.steps.length;
      // Each dispatch has weights of its own, which keeps them out of a GPU's cache. A processor that takes so long computes.
      if (this.gpu.software && usual.times[0] > LONG_MS) kernel.dispatches.length = usual.steps.length = 1;
      timed.push({ kernel, usual, repeats, share });
    }
    // Where the time goes comes first: there may be no time for the rest.
    timed.sort((a, b) => b.share - a.share);
    const found = [];
    const left = [];
    for (const { kernel, usual, repeats } of timed) {
      if (performance.now() >= end) left.push(untried(kernel.key, usual.times[0]));
      else found.push(await this.kernel(kernel, usual, repeats, most, end));
    }
    this.clock?.destroy();
    return { found, left };
  }

  /** @returns {Kernel[]} */
  kernels() {
    /** @type {Map<string, Kernel>} */
    const found = new Map();
    for (const entry of this.backend.entries.values()) {
      for (const dispatch of entry.plan.dispatches) {
        const { key } = dispatch;
        if (key === undefined) continue;
        const kernel = found.get(key) ?? { entry, key, dispatches: [] };
        // The same work in two entries has two sets of buffers: one of them is enough.
        if (kernel.entry === entry) kernel.dispatches.push(dispatch);
        found.set(key, kernel);
      }
    }
    return [...found.values()];
  }

  /** @param {Kernel} kernel @param {Constants} constants @param {Dispatch[]} dispatches @returns {Promise<Form>} */
  async form({ entry }, constants, dispatches) {
    const { pipelines, memory } = this.backend;
    const steps = await guarded(this.gpu, "compile", () => entry.stepsOf(dispatches, pipelines, memory));
    return { constants, steps, times: [] };
  }

  /** How often a form runs in a sample; its first time goes into its times. @param {Form} form */
  async repeats(form) {
    await this.time(form, 1); // the first one may wait for memory
    const once = await this.time(form, 1);
    form.times.push(once);
    const sample = once * form.steps.length;
    return this.gpu.software ? 1 : Math.max(1, Math.min(MOST_REPEATS, Math.ceil(LEAST_MS / Math.max(sample, 1e-3))));
  }

  /** @param {Kernel} kernel @param {Form} usual @param {number} repeats @param {number} most @param {number} end @returns {Promise<Found>} */
  async kernel(kernel, usual, repeats, most, end) {
    const others = candidates(this.gpu, kernel.dispatches[0], most - 1);
    const expected = await this.answer(kernel, usual);
    /** @type {Form[]} */
    const right = [];
    let refused = 0;
    let wrong = 0;
    let tried = 1;
    for (const { constants } of others) {
      if (performance.now() >= end) break;
      tried++;
      await this.progress();
      const form = await this.form(kernel, constants, kernel.dispatches.map((one) => one.remake?.(constants) ?? one)).catch(() => null);
      if (!form) refused++;
      else if (this.differs(await this.answer(kernel, form), expected)) wrong++;
      else right.push(form);
    }
    usual.times = [];
    const forms = await this.rounds([usual, ...right], repeats, end);
    const median = (/** @type {Form} */ form) => quantile(form.times, 0.5);
    const best = forms.reduce((a, b) => (median(b) < median(a) ? b : a));
    const better = best !== usual && median(best) <= BETTER * median(usual) ? best : usual;
    return { key: kernel.key, constants: better.constants, default_ms: median(usual), tuned_ms: median(better), tried, refused, wrong };
  }

  /** Time forms in turn; those that had no chance in the first round are left. @param {Form[]} forms @param {number} repeats @param {number} end */
  async rounds(forms, repeats, end) {
    let left = forms;
    for (let round = 0; round < ROUNDS; round++) {
      // Back and forth, so that a drift of the clock meets all alike.
      for (const form of round % 2 ? [...left].reverse() : left) form.times.push(await this.time(form, repeats));
      await this.progress();
      const best = Math.min(...left.map((form) => quantile(form.times, 0.5)));
      left = left.filter((form, i) => i === 0 || quantile(form.times, 0.5) <= HOPELESS * best);
      if (left.length === 1 || (round && performance.now() >= end)) break;
    }
    return left;
  }

  /** The first dispatch's answer. @param {Kernel} kernel @param {Form} form @returns {Promise<Float32Array>} */
  async answer({ entry, dispatches }, form) {
    const { device } = this.gpu;
    const [, resource] = dispatches[0].bindings[dispatches[0].bindings.length - 1];
    if (!("value" in resource)) throw new Error(`webgpu: the last binding of ${dispatches[0].name} is no output`);
    const buffer = this.backend.memory.of(resource, entry.values);
    const elements = /** @type {number} */ (entry.plan.values.get(resource.value));
    const half = entry.scalarOf(resource.value) === 2;
    // NaN, so that no answer of before is read; no more of them than are written, for others share the buffer.
    device.queue.writeBuffer(buffer, 0, new Uint8Array(((half ? 2 : 4) * elements) & ~3).fill(255));
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    dispatch(pass, form.steps.slice(0, 1));
    pass.end();
    device.queue.submit([encoder.finish()]);
    return guarded(this.gpu, "measure", () => readFloats(this.gpu, buffer, elements, half));
  }

  /** @param {Float32Array} got @param {Float32Array} expected */
  differs(got, expected) {
    let off = 0;
    let all = 0;
    for (let i = 0; i < expected.length; i++) {
      off += (got[i] - expected[i]) ** 2;
      all += expected[i] ** 2;
    }
    // NaN is no less than anything, so it differs.
    return !(Math.sqrt(off) <= ALLOWED[this.backend.scalar] * Math.max(Math.sqrt(all), 1e-30));
  }

  /** Milliseconds of one dispatch, by the GPU's clock where there is one. @param {Form} form @param {number} repeats @returns {Promise<number>} */
  async time(form, repeats) {
    const { device } = this.gpu;
    // A clock that was set back, or that ticks too rarely for this sample, is asked again, of twice as much.
    for (let count = repeats; count <= repeats * MOST_REPEATS; count *= 2) {
      const encoder = device.createCommandEncoder();
      const pass = encoder.beginComputePass(this.clock ? { timestampWrites: this.clock.writes } : {});
      for (let i = 0; i < count; i++) dispatch(pass, form.steps);
      pass.end();
      const elapsed = this.clock ? await this.clock.time(encoder) : await this.wall(encoder);
      if (elapsed !== null) return elapsed / count / form.steps.length;
    }
    throw new Error("webgpu: the clock of the GPU stands still");
  }

  /** @param {GPUCommandEncoder} encoder */
  async wall(encoder) {
    const start = performance.now();
    this.gpu.device.queue.submit([encoder.finish()]);
    await finished(this.gpu, "measure");
    return performance.now() - start;
  }
}

/** The usual form, of which nothing else was tried. @param {string} key @param {number} ms @returns {Found} */
function untried(key, ms) {
  return { key, constants: {}, default_ms: ms, tuned_ms: ms, tried: 1, refused: 0, wrong: 0 };
}
