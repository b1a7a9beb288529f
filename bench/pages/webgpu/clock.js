import { guarded } from "./device.js";
import { readBack } from "./waiting.js";

/** @import {Gpu} from "./device.js" */

/** The GPU's own clock around one compute pass; for a device with timestamps. */
export class PassClock {
  /** @param {Gpu} gpu @param {string} stage whose failure it is where it cannot be read */
  constructor(gpu, stage) {
    this.gpu = gpu;
    this.stage = stage;
    const { device } = gpu;
    this.querySet = device.createQuerySet({ type: "timestamp", count: 2 });
    this.resolved = device.createBuffer({ size: 16, usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC });
    /** For the pass that is timed. @type {GPUComputePassTimestampWrites} */
    this.writes = { querySet: this.querySet, beginningOfPassWriteIndex: 0, endOfPassWriteIndex: 1 };
  }

  /**
   * Submit the commands of the pass and wait for them.
   * @param {GPUCommandEncoder} encoder @param {GPUCommandBuffer[]} [before] what is submitted with them, and not timed
   * @returns {Promise<number | null>} ms; null where the clock was set back, which the specification lets it be
   */
  async time(encoder, before = []) {
    encoder.resolveQuerySet(this.querySet, 0, 2, this.resolved, 0);
    this.gpu.device.queue.submit([...before, encoder.finish()]);
    const [start, end] = new BigUint64Array(await guarded(this.gpu, this.stage, () => readBack(this.gpu, this.resolved, 16)));
    return end > start ? Number(end - start) / 1e6 : null;
  }

  destroy() {
    this.querySet.destroy();
    this.resolved.destroy();
  }
}
