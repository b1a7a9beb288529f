import { HeldTensors, TensorFile, loadTensors } from "./runtime/bundle.js";
import { guarded } from "./webgpu/device.js";
import { Memory } from "./webgpu/memory.js";
import { readBack, settle } from "./webgpu/waiting.js";

/** @import {Gpu} from "./webgpu/device.js" */

/**
 * Bring the tensors of a safetensors file into GPU buffers as a run does; read the ends of each back.
 * @param {Gpu} gpu @param {string} url
 * @param {boolean} [whole] fetch all of it at once instead, for comparison
 */
export async function streamFile(gpu, url, whole) {
  const begin = performance.now();
  const source = whole ? new HeldTensors(await loadTensors(url)) : await TensorFile.open(url);
  const load_ms = performance.now() - begin;
  const names = [...source.tensors.keys()];
  return guarded(gpu, "build", async () => {
    const memory = new Memory(gpu.device);
    try {
      for (const name of names) memory.weights.set(name, memory.joined([name], source, name, GPUBufferUsage.COPY_SRC));
      const sizes = names.map((name) => source.size(name) ?? 0);
      await memory.upload(source, () => settle(gpu, gpu.device.queue.onSubmittedWorkDone()), async () => {});
      const build_ms = performance.now() - begin - load_ms;
      const { COPY_DST, COPY_SRC } = GPUBufferUsage;
      const words = memory.buffer(8 * names.length, COPY_DST | COPY_SRC, "ends");
      const encoder = gpu.device.createCommandEncoder();
      for (const [i, name] of names.entries()) {
        const buffer = /** @type {GPUBuffer} */ (memory.weights.get(name));
        for (const [j, at] of [0, (sizes[i] & ~3) - 4].entries()) encoder.copyBufferToBuffer(buffer, at, words, 8 * i + 4 * j, 4);
      }
      gpu.device.queue.submit([encoder.finish()]);
      const ends = [...new Uint32Array(await readBack(gpu, words, 8 * names.length))];
      return { load_ms, build_ms, bytes: memory.weightBytes, names, ends };
    } finally {
      memory.destroy();
    }
  });
}
