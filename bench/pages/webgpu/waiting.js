import { quantile } from "../runtime/steady.js";

/**
 * How a page learns that submitted work is done. Browsers look for finished GPU work now and then (Firefox on a timer
 * of 100 ms, Chromium's GPU process every 1 to 2 ms) and whenever a command arrives. So every wait of ours submits
 * nothing every so often: in every browser, in every session, whatever that session found out.
 *
 * @typedef {{device: GPUDevice, software: boolean}} Waiting what a wait needs of a `Gpu`
 * @typedef {{completion_ms: number, first_ms: number[], next_ms: number[]}} Completion
 */

/**
 * How closely a wait is followed: ms between two submits of nothing, at least `finest`, and `late` of the time waited
 * so far, so that a long wait costs less. Whoever `sleeps` in between leaves the processor to others.
 * @typedef {{finest: number, late: number, sleeps: boolean}} Pace
 */

/** A GPU does not mind a page that spins; a submit costs the browser's two processes tens of microseconds. */
export const HARDWARE = /** @type {Pace} */ ({ finest: 0.1, late: 0.01, sleeps: false });

/** A software adapter is the processor that a spinning page would take (benchmarks/waits.py). */
export const SOFTWARE = /** @type {Pace} */ ({ finest: 1, late: 0.02, sleeps: true });

/** From this gap on even a GPU's page sleeps: a timer is fine enough. */
const SLEEP_MS = 4;

/**
 * Call back after so many ms. Browsers clamp a chain of timeouts to 4 ms, not one of tasks.
 * @param {() => void} call @param {number} ms
 */
function after(call, ms) {
  const { scheduler } = /** @type {any} */ (globalThis);
  if (scheduler?.postTask) scheduler.postTask(call, { delay: ms, priority: "user-blocking" });
  else setTimeout(call, ms);
}

/**
 * Wait until a promise of the queue settles, and make the browser look meanwhile.
 * @template T
 * @param {Waiting} gpu
 * @param {Promise<T>} promise
 * @param {Pace} [pace] a benchmark sets it
 * @returns {Promise<T>}
 */
export async function settle(gpu, promise, pace = gpu.software ? SOFTWARE : HARDWARE) {
  let open = true;
  const done = promise.finally(() => {
    open = false;
  });
  const start = performance.now();
  let last = start;
  const channel = new MessageChannel();
  const spin = () => channel.port2.postMessage(null);
  const look = () => {
    if (!open) {
      channel.port1.close();
      return;
    }
    const now = performance.now();
    const gap = Math.max(pace.finest, pace.late * (now - start));
    if (now - last >= gap) {
      gpu.device.queue.submit([]);
      last = now;
    }
    if (pace.sleeps || gap >= SLEEP_MS) after(look, gap);
    else spin();
  };
  channel.port1.onmessage = look;
  spin();
  return done;
}

/** Pauses before the plain waits that are measured: a timer's tick is met in several phases. */
const PHASES_MS = [0, 23, 47, 71];

/**
 * What a plain wait costs in this session, for work that takes next to nothing: what a page sees that does not look.
 * `first_ms` are waits begun at some moment, which last what is left of a timer's tick; `next_ms` began right after
 * them, as in a page that runs one inference after the other. `completion_ms` is the median of those.
 * @param {Waiting} gpu
 * @returns {Promise<Completion>}
 */
export async function completion(gpu) {
  const { device } = gpu;
  const usage = GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
  const [from, to] = [0, 1].map(() => device.createBuffer({ size: 16, usage }));
  const plain = async () => {
    const encoder = device.createCommandEncoder();
    encoder.copyBufferToBuffer(from, 0, to, 0, 16);
    const start = performance.now();
    device.queue.submit([encoder.finish()]);
    await device.queue.onSubmittedWorkDone();
    return performance.now() - start;
  };
  const first_ms = [];
  const next_ms = [];
  for (const pause of PHASES_MS) {
    await new Promise((resolve) => setTimeout(resolve, pause));
    first_ms.push(await plain());
    next_ms.push(await plain());
  }
  from.destroy();
  to.destroy();
  return { completion_ms: quantile(next_ms, 0.5), first_ms, next_ms };
}

/**
 * The first bytes of a buffer, once what was submitted before has been done.
 * @param {Waiting} gpu
 * @param {GPUBuffer} source usable as COPY_SRC
 * @param {number} bytes
 * @returns {Promise<ArrayBuffer>}
 */
export async function readBack(gpu, source, bytes) {
  const { device } = gpu;
  const size = Math.ceil(bytes / 4) * 4;
  const staging = device.createBuffer({ size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
  const encoder = device.createCommandEncoder();
  encoder.copyBufferToBuffer(source, 0, staging, 0, size);
  device.queue.submit([encoder.finish()]);
  await settle(gpu, staging.mapAsync(GPUMapMode.READ));
  const copy = staging.getMappedRange().slice(0, bytes);
  staging.destroy();
  return copy;
}

/**
 * The first numbers of a buffer of floats or of halves, as floats.
 * @param {Waiting} gpu @param {GPUBuffer} source @param {number} elements @param {boolean} half
 */
export async function readFloats(gpu, source, elements, half) {
  const bytes = await readBack(gpu, source, elements * (half ? 2 : 4));
  return half ? Float32Array.from(new Float16Array(bytes)) : new Float32Array(bytes);
}
