import { isSteady, relativeHalfWidth } from "./steady.js";

/**
 * Timing of one phase in one session. All times are wall milliseconds from submit to done, for one call.
 * @typedef {{kind: "warmup" | "measure", batch: number, value_ms: number}} Sample
 * `ends` are the samples' ends by the wall clock (ms since 1970): the harness knows when the machine slept. `busy` is
 * the share of the sampling that the device had work in hand: a GPU that waits between samples clocks down.
 * @typedef {{batch: number, samples: Sample[], ends: number[], busy: number, steady: boolean, stopped: string}} Timing
 */

/** A sample spans at least this many ticks of the page's clock, so that reading it errs by 1 % at most. */
const TICKS = 100;
const MAX_BATCH = 4096;
const MIN_SAMPLES = 3;
/** Sampling ends early on the width of no interval of fewer: it could be narrow by chance. */
const MIN_FOR_INTERVAL = 10;
/** Warming up is over once so many samples in a row are steady. */
const WINDOW = 10;
const MAX_SAMPLES = 500;

/** Smallest step of `performance.now()` in ms, seen over many reads. */
export function clockTick() {
  let smallest = Infinity;
  let last = performance.now();
  const end = last + 200; // a clock of 1 ms needs a while to show ten steps
  for (let steps = 0, reads = 0; (steps < 10_000 && last < end) || reads < 10_000; reads++) {
    const now = performance.now();
    if (now > last) {
      smallest = Math.min(smallest, now - last);
      steps++;
      last = now;
    }
    if (last >= end && steps > 10) break;
  }
  return smallest;
}

/**
 * Calibrate, warm up until steady, then sample until the interval is narrow or time is up.
 * @param {(count: number) => Promise<void>} run makes so many calls, a multiple of `unit`
 * @param {{tick_ms: number, iterations: number | null, max_seconds: number, precision: number, unit?: number,
 *   progress: (stage: string, samples: number) => Promise<void>}} options
 * @returns {Promise<Timing>}
 */
export async function measure(run, options) {
  /** @type {Sample[]} */
  const samples = [];
  /** @type {number[]} */
  const ends = [];
  const time = async (/** @type {"warmup" | "measure"} */ kind, /** @type {number} */ batch) => {
    const start = performance.now();
    await run(batch);
    const taken = performance.now() - start;
    if (taken < 0) throw new Error(`the page's clock went back by ${-taken} ms`);
    samples.push({ kind, batch, value_ms: taken / batch });
    ends.push(Date.now());
    return taken;
  };
  await options.progress("warmup", 0);
  const started = performance.now();
  // A batch is a whole number of units: of a text, all its tokens.
  let batch = options.unit || 1;
  const short = (/** @type {number} */ taken) => taken < TICKS * options.tick_ms && batch < MAX_BATCH;
  let taken = await time("warmup", batch);
  while (short(taken)) {
    batch *= 2;
    taken = await time("warmup", batch);
  }
  const warm = /** @type {number[]} */ ([]);
  // Warming up may take a third of the budget; what is not steady by then is measured and flagged.
  let told = started;
  while (!isSteady(warm.slice(-WINDOW)) && performance.now() - started < (options.max_seconds * 1000) / 3) {
    const taken = await time("warmup", batch);
    if (short(taken)) {
      // It was cold when the batch was chosen, and is faster now.
      batch *= 2;
      warm.length = 0;
    } else {
      warm.push(taken / batch);
    }
    if (performance.now() - told > 1000) {
      await options.progress("warmup", warm.length);
      told = performance.now();
    }
  }
  const steady = isSteady(warm.slice(-WINDOW));
  const values = /** @type {number[]} */ ([]);
  // One that took all the time there is for sampling is a sample: the verification has just made the same calls.
  if (samples.length === 1 && options.iterations === null && taken >= options.max_seconds * 1000) {
    samples[0].kind = "measure";
    values.push(taken / batch);
  }
  let stopped = "time";
  await options.progress("measure", 0);
  const begin = performance.now();
  let reported = begin;
  let working = 0;
  while (true) {
    const taken = await time("measure", batch);
    working += taken;
    values.push(taken / batch);
    const now = performance.now();
    if (options.iterations !== null) {
      stopped = "iterations";
      if (values.length >= options.iterations) break;
    } else if (values.length >= MIN_SAMPLES) {
      const narrow = values.length >= MIN_FOR_INTERVAL && relativeHalfWidth(values) <= options.precision;
      if (narrow) stopped = "precision";
      else if (values.length >= MAX_SAMPLES) stopped = "samples";
      if (narrow || now - begin >= options.max_seconds * 1000 || values.length >= MAX_SAMPLES) break;
    }
    if (now - reported > 1000) {
      // Between samples, so that it costs none of them anything.
      await options.progress("measure", values.length);
      reported = performance.now();
    }
  }
  const busy = working / Math.max(performance.now() - begin, working, Number.MIN_VALUE);
  return { batch, samples, ends, busy, steady, stopped };
}
