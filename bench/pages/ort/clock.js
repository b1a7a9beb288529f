/** GPU time of work that we do not encode ourselves: every compute pass of a device is given two timestamps. */

const MOST = 2048; // passes; a query set holds 4096

/**
 * Time all passes that `work` encodes on a device.
 * @param {GPUDevice} device with `timestamp-query`
 * @param {() => Promise<void>} work
 * @param {(buffer: GPUBuffer, bytes: number) => Promise<ArrayBuffer>} read
 * @returns {Promise<number | null>} their sum in ms; null without one, or where the clock was reset
 */
export async function passTimes(device, work, read) {
  const querySet = device.createQuerySet({ type: "timestamp", count: 2 * MOST });
  const usage = GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC;
  const resolved = device.createBuffer({ size: 16 * MOST, usage });
  const plain = device.createCommandEncoder;
  let passes = 0;
  device.createCommandEncoder = (descriptor) => {
    const encoder = plain.call(device, descriptor);
    const begin = encoder.beginComputePass;
    encoder.beginComputePass = (wanted = {}) => {
      if (wanted.timestampWrites || passes >= MOST) return begin.call(encoder, wanted);
      const at = 2 * passes++;
      const timestampWrites = { querySet, beginningOfPassWriteIndex: at, endOfPassWriteIndex: at + 1 };
      return begin.call(encoder, { ...wanted, timestampWrites });
    };
    return encoder;
  };
  try {
    await work();
  } finally {
    device.createCommandEncoder = plain;
  }
  let sum = 0n;
  if (passes > 0 && passes < MOST) {
    const encoder = device.createCommandEncoder();
    encoder.resolveQuerySet(querySet, 0, 2 * passes, resolved, 0);
    device.queue.submit([encoder.finish()]);
    const times = new BigUint64Array(await read(resolved, 16 * passes));
    for (let pass = 0; pass < passes; pass++) {
      const [start, end] = [times[2 * pass], times[2 * pass + 1]];
      if (end < start) {
        sum = 0n;
        break;
      }
      sum += end - start;
    }
  }
  querySet.destroy();
  resolved.destroy();
  return sum > 0n ? Number(sum) / 1e6 : null;
}
