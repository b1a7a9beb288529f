import { StageError, words } from "../runtime/errors.js";

/**
 * A device with its losses and uncaptured errors on record.
 * @typedef {{adapter: GPUAdapter, device: GPUDevice, f16: boolean, subgroups: boolean, timestamps: boolean,
 *   ticks: boolean, errors: {name: string, message: string}[], lost: {reason: string, message: string} | null}} Gpu
 */

/**
 * Ask for the adapter; once more if the first answer is null, which browsers give now and then under load.
 * @returns {Promise<GPUAdapter | null>}
 */
export async function requestAdapter() {
  for (const wait of [0, 200, 800]) {
    await new Promise((resolve) => setTimeout(resolve, wait));
    const adapter = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
    if (adapter) {
      return adapter;
    }
  }
  return null;
}

/**
 * Open a device with everything the kernels can use and the adapter's own limits.
 * @param {{f16?: boolean}} [want] f16 false leaves `shader-f16` off, for the f32 arm
 * @returns {Promise<Gpu>}
 */
export async function openDevice(want = {}) {
  if (!navigator.gpu) {
    throw new StageError("probe", new Error("navigator.gpu is undefined: this browser has no WebGPU"), {
      outcome: "unsupported",
    });
  }
  const unsupported = (/** @type {unknown} */ error) => new StageError("probe", error, { outcome: "unsupported" });
  const adapter = await requestAdapter().catch((error) => {
    throw unsupported(error);
  });
  if (!adapter) {
    throw new StageError("probe", new Error("navigator.gpu.requestAdapter() resolved to null"), {
      outcome: "unsupported",
    });
  }
  /** @type {GPUFeatureName[]} */
  const useful = ["timestamp-query"];
  if (want.f16 !== false) useful.push("shader-f16");
  useful.push(/** @type {GPUFeatureName} */ ("subgroups"));
  const features = useful.filter((name) => adapter.features.has(name));
  const { maxBufferSize, maxStorageBufferBindingSize, maxComputeWorkgroupStorageSize } = adapter.limits;
  const requiredLimits = { maxBufferSize, maxStorageBufferBindingSize, maxComputeWorkgroupStorageSize };
  const device = await adapter.requestDevice({ requiredFeatures: features, requiredLimits }).catch((error) => {
    throw unsupported(error);
  });
  const gpu = {
    adapter,
    device,
    f16: device.features.has("shader-f16"),
    subgroups: device.features.has(/** @type {GPUFeatureName} */ ("subgroups")),
    timestamps: device.features.has("timestamp-query"),
    ticks: false,
    errors: /** @type {{name: string, message: string}[]} */ ([]),
    lost: /** @type {{reason: string, message: string} | null} */ (null),
  };
  device.addEventListener("uncapturederror", (event) => gpu.errors.push(words(event.error)));
  device.lost.then((info) => {
    gpu.lost = { reason: info.reason, message: info.message };
  });
  gpu.ticks = await completesOnTimer(device);
  return gpu;
}

/**
 * Whether the browser notices finished work only on a slow timer (Firefox: 100 ms). Measured, not guessed by name.
 * @param {GPUDevice} device
 */
async function completesOnTimer(device) {
  let fastest = Infinity;
  for (let i = 0; i < 3; i++) {
    const start = performance.now();
    device.queue.submit([]);
    await device.queue.onSubmittedWorkDone();
    fastest = Math.min(fastest, performance.now() - start);
  }
  return fastest > 40;
}

/** So long a wait is followed to the millisecond; after that a timer (4 ms in browsers) errs by 2 % at most. */
const EAGER_MS = 200;

/**
 * Wait until a promise of the queue settles. Where completion is noticed only on a timer, empty submits make the
 * browser look: without them each wait costs Firefox 100 ms.
 * @template T
 * @param {Gpu} gpu
 * @param {Promise<T>} promise
 * @returns {Promise<T>}
 */
export async function settle(gpu, promise) {
  if (!gpu.ticks) {
    return promise;
  }
  let open = true;
  const done = promise.finally(() => {
    open = false;
  });
  const start = performance.now();
  let last = start;
  const channel = new MessageChannel();
  const again = () => channel.port2.postMessage(null);
  channel.port1.onmessage = () => {
    if (!open) {
      channel.port1.close();
      return;
    }
    const now = performance.now();
    // Once a millisecond is often enough, and a long wait need not be known to the millisecond: an eager page
    // takes the processor from a software adapter, and from the process that does the work.
    if (now - last >= 1) {
      gpu.device.queue.submit([]);
      last = now;
    }
    if (now - start < EAGER_MS) {
      again();
    } else {
      setTimeout(again, 1);
    }
  };
  again();
  return done;
}

/**
 * Run work with validation and memory errors caught; the first becomes a StageError.
 * @template T
 * @param {Gpu} gpu
 * @param {string} stage
 * @param {() => T | Promise<T>} work
 * @param {string | null} [operator]
 * @returns {Promise<T>}
 */
export async function guarded(gpu, stage, work, operator = null) {
  gpu.device.pushErrorScope("internal");
  gpu.device.pushErrorScope("out-of-memory");
  gpu.device.pushErrorScope("validation");
  /** @type {unknown} */
  let thrown = null;
  /** @type {T | undefined} */
  let result;
  try {
    result = await work();
  } catch (error) {
    thrown = error;
  }
  const errors = [];
  for (let i = 0; i < 3; i++) {
    // A dead GPU process answers no scope; what it was working on is told by `thrown` or by `lost`.
    errors.push(await settle(gpu, gpu.device.popErrorScope()).catch((error) => ((thrown ??= error), null)));
  }
  if (thrown) await heardOfLoss(gpu);
  check(gpu, stage);
  if (thrown) {
    throw thrown instanceof StageError ? thrown : new StageError(stage, thrown, { operator });
  }
  const error = errors.find((e) => e !== null);
  if (error) {
    throw new StageError(stage, error, { operator });
  }
  return /** @type {T} */ (result);
}

/** Calls fail a moment before the page hears that the device is lost: wait for that moment. @param {Gpu} gpu */
async function heardOfLoss(gpu) {
  await Promise.race([gpu.device.lost, new Promise((resolve) => setTimeout(resolve, 1000))]);
}

/**
 * Wait for submitted work; a failure while the device is lost is the loss.
 * @param {Gpu} gpu
 * @param {string} stage
 */
export async function finished(gpu, stage) {
  try {
    await settle(gpu, gpu.device.queue.onSubmittedWorkDone());
  } catch (error) {
    await heardOfLoss(gpu);
    check(gpu, stage);
    throw new StageError(stage, error);
  }
  check(gpu, stage);
}

/**
 * Throw if the device was lost or an error slipped past every scope.
 * @param {Gpu} gpu
 * @param {string} stage
 */
export function check(gpu, stage) {
  if (gpu.lost) {
    const error = new Error(`GPUDevice lost (${gpu.lost.reason}): ${gpu.lost.message}`);
    error.name = "GPUDeviceLostInfo";
    throw new StageError(stage, error, { outcome: "device_lost" });
  }
  const error = gpu.errors[0];
  if (error) {
    throw new StageError(stage, Object.assign(new Error(error.message), { name: error.name }));
  }
}
