import { finished, guarded } from "./device.js";

/** @import {Gpu} from "./device.js" */
/** @import {Pipelines} from "./pipelines.js" */
/** @import {Dispatch} from "./kernels.js" */

/**
 * What the adapter reaches with arithmetic alone and with reading alone, measured in the session of the run: the roof
 * of its roofline (Williams, Waterman and Patterson, 2009). Nothing is taken from a data sheet.
 * @typedef {{gflops: number, gbytes_per_s: number, flop: number, bytes: number, read_bytes: number,
 *   arithmetic: string, clock: string}} Ceilings
 */

const THREADS = 256;
const ROUNDS = 512;
const FLOP_A_ROUND = 64; // 8 chains, 4 lanes, multiply and add
const LEAST_MS = 30;
const REPEATS = 5;
const MOST_GROUPS = 16384;
const READ_GROUPS = 2048;
const READ_BYTES = 256 * 1024 * 1024;
const SOFTWARE_BYTES = 64 * 1024 * 1024;

/**
 * Best seconds a dispatch over some repeats: a ceiling is what can be reached.
 * @param {Gpu} gpu @param {GPUComputePipeline} pipeline @param {GPUBindGroup} group @param {number} groups
 * @param {number} count dispatches a submit
 */
async function best(gpu, pipeline, group, groups, count) {
  let fastest = Infinity;
  for (let repeat = 0; repeat < REPEATS; repeat++) {
    const encoder = gpu.device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    for (let i = 0; i < count; i++) pass.dispatchWorkgroups(groups);
    pass.end();
    const start = performance.now();
    gpu.device.queue.submit([encoder.finish()]);
    await finished(gpu, "measure");
    fastest = Math.min(fastest, performance.now() - start);
    if (repeat === 0 && fastest > 10 * LEAST_MS) break; // slow enough that once tells
  }
  return fastest / 1000 / count;
}

/**
 * Grow the work until a submit of it is long against what a submit costs.
 * @param {Gpu} gpu @param {GPUComputePipeline} pipeline @param {GPUBindGroup} group @param {number} most
 * @param {(groups: number) => number} work of one dispatch
 */
async function rate(gpu, pipeline, group, most, work) {
  let groups = Math.min(64, most);
  let count = 1;
  let seconds = await best(gpu, pipeline, group, groups, count);
  while (seconds * count * 1000 < LEAST_MS && count < 4096) {
    if (groups < most) groups = Math.min(most, groups * 2);
    else count *= 2;
    seconds = await best(gpu, pipeline, group, groups, count);
  }
  return work(groups) / seconds;
}

/**
 * @param {Gpu} gpu
 * @param {Pipelines} pipelines
 * @param {Dispatch[]} dispatches of one inference
 * @returns {Promise<Ceilings>}
 */
export async function ceilings(gpu, pipelines, dispatches) {
  const { device } = gpu;
  const software = gpu.software;
  const read = Math.min(
    software ? SOFTWARE_BYTES : READ_BYTES,
    device.limits.maxStorageBufferBindingSize,
    device.limits.maxBufferSize,
  );
  /** @type {GPUBuffer[]} */
  const buffers = [];
  const buffer = (/** @type {number} */ size) => {
    const made = device.createBuffer({ size, usage: GPUBufferUsage.STORAGE });
    buffers.push(made);
    return made;
  };
  const bind = (/** @type {GPUComputePipeline} */ pipeline, /** @type {GPUBuffer[]} */ bound) =>
    device.createBindGroup({
      layout: pipeline.getBindGroupLayout(0),
      entries: bound.map((one, binding) => ({ binding, resource: { buffer: one } })),
    });
  try {
    return await guarded(gpu, "measure", async () => {
      const flops = await pipelines.get({ shader: "peak_flops", values: {}, constants: { ROUNDS } });
      const reads = await pipelines.get({
        shader: "peak_read",
        values: {},
        constants: { STRIDE: READ_GROUPS * THREADS },
      });
      const out = buffer(READ_GROUPS * THREADS * 4);
      const arithmetic = await rate(
        gpu, flops, bind(flops, [out]), MOST_GROUPS, (groups) => groups * THREADS * ROUNDS * FLOP_A_ROUND,
      );
      // The stride is that of all groups: fewer would leave a part unread.
      const reading = bind(reads, [buffer(read), out]);
      let count = 1;
      let seconds = await best(gpu, reads, reading, READ_GROUPS, count);
      while (seconds * count * 1000 < LEAST_MS && count < 4096) {
        count *= 2;
        seconds = await best(gpu, reads, reading, READ_GROUPS, count);
      }
      return {
        gflops: arithmetic / 1e9,
        gbytes_per_s: read / seconds / 1e9,
        flop: dispatches.reduce((sum, one) => sum + one.flops, 0),
        bytes: dispatches.reduce((sum, one) => sum + one.bytes, 0),
        read_bytes: read,
        arithmetic: "f32",
        clock: "wall",
      };
    });
  } finally {
    for (const one of buffers) one.destroy();
  }
}
