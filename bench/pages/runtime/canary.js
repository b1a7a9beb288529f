import { finished, openDevice } from "../webgpu/device.js";
import { Pipelines, loadTexts } from "../webgpu/pipelines.js";
import { quantile } from "./steady.js";

/** @import {Task} from "./types.d.ts" */

/**
 * The thermometer of a session: the same work in every run of every campaign, before the model is loaded. A machine
 * that grew hot, or is busy with something else, shows here whatever the model does.
 */

const INVOCATIONS = 64 * 64;
const LEAST_MS = 10;
const TICKS = 100;
const MOST = 8192;
const ROUNDS = 5;

/**
 * Median ms of one unit of work, timed in batches that the clock can tell.
 * @param {(count: number) => void | Promise<void>} work
 * @param {number} tick_ms
 */
async function timed(work, tick_ms) {
  const time = async (/** @type {number} */ count) => {
    const start = performance.now();
    await work(count);
    return performance.now() - start;
  };
  const least = Math.max(LEAST_MS, TICKS * tick_ms);
  await time(1);
  let count = 1;
  while (count < MOST && (await time(count)) < least) count *= 2;
  const values = [];
  for (let round = 0; round < ROUNDS; round++) values.push((await time(count)) / count);
  return quantile(values, 0.5);
}

/** @param {string} base @param {number} tick_ms @param {string} device */
async function onGpu(base, tick_ms, device) {
  const gpu = await openDevice({ f16: false, device });
  try {
    const shader = await loadTexts(["canary.wgsl"], `${base}shaders/`);
    const pipeline = await new Pipelines(gpu, shader).get({ shader: "canary", values: {}, constants: {} });
    const out = gpu.device.createBuffer({ size: INVOCATIONS * 4, usage: GPUBufferUsage.STORAGE });
    const group = gpu.device.createBindGroup({
      layout: pipeline.getBindGroupLayout(0),
      entries: [{ binding: 0, resource: { buffer: out } }],
    });
    return await timed(async (count) => {
      const encoder = gpu.device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, group);
      for (let i = 0; i < count; i++) pass.dispatchWorkgroups(INVOCATIONS / 64);
      pass.end();
      gpu.device.queue.submit([encoder.finish()]);
      await finished(gpu, "probe");
    }, tick_ms);
  } finally {
    gpu.device.destroy();
  }
}

/** @param {number} tick_ms */
function onProcessor(tick_ms) {
  const values = new Float64Array(4096);
  return timed((count) => {
    for (let i = 0; i < count; i++) {
      for (let k = 0; k < 16; k++) {
        for (let at = 0; at < values.length; at++) values[at] = values[at] * 0.999 + 0.001;
      }
    }
  }, tick_ms);
}

/**
 * The canary of this session; what goes wrong with it costs its own number and not the run.
 * @param {string} base
 * @param {Task["platform"]} platform
 * @param {number} tick_ms
 * @param {string} device
 * @returns {Promise<{canary_ms: number | null, canary: string}>}
 */
export async function canary(base, platform, tick_ms, device) {
  const kind = platform === "webgpu" ? "wgsl" : "js";
  try {
    const ms = kind === "wgsl" ? await onGpu(base, tick_ms, device) : await onProcessor(tick_ms);
    return { canary_ms: ms, canary: kind };
  } catch (error) {
    return { canary_ms: null, canary: `${kind}: ${error}` };
  }
}
