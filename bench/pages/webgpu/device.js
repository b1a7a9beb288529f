import { StageError, words } from "../runtime/errors.js";
import { settle } from "./waiting.js";

/**
 * A device with its losses and uncaptured errors on record.
 * @typedef {{adapter: GPUAdapter, device: GPUDevice, software: boolean, f16: boolean, subgroups: boolean, timestamps: boolean,
 *   errors: {name: string, message: string}[], lost: {reason: string, message: string} | null}} Gpu
 */

/** Names by which software adapters go, in any field that a browser shows. */
const SOFTWARE = /swiftshader|llvmpipe|lavapipe|softpipe|microsoft basic render|\bwarp\b/i;

/** Whether an adapter is the processor: by what the browser says of it, or by its name. @param {GPUAdapterInfo} info */
export function isSoftware(info) {
  const { vendor, architecture, device, description } = info;
  return info.isFallbackAdapter === true || SOFTWARE.test([vendor, architecture, device, description].join(" "));
}

/**
 * Ask for the adapter; once more if the first answer is null, which browsers give now and then under load.
 * @param {string} [device] `cpu` asks for the fallback adapter
 * @returns {Promise<GPUAdapter | null>}
 */
export async function requestAdapter(device = "auto") {
  /** @type {GPURequestAdapterOptions} */
  const options = device === "cpu" ? { forceFallbackAdapter: true } : { powerPreference: "high-performance" };
  for (const wait of [0, 200, 800]) {
    await new Promise((resolve) => setTimeout(resolve, wait));
    const adapter = await navigator.gpu.requestAdapter(options);
    if (adapter) {
      return adapter;
    }
  }
  return null;
}

/**
 * Open a device with everything the kernels can use and the adapter's own limits.
 * @param {{f16?: boolean, device?: string}} [want] f16 false leaves `shader-f16` off, for the f32 arm; a device of
 * `cpu` or `gpu` is refused where the adapter is not of that kind
 * @returns {Promise<Gpu>}
 */
export async function openDevice(want = {}) {
  if (!navigator.gpu) {
    throw new StageError("probe", new Error("navigator.gpu is undefined: this browser has no WebGPU"), {
      outcome: "unsupported",
    });
  }
  const unsupported = (/** @type {unknown} */ error) => new StageError("probe", error, { outcome: "unsupported" });
  const adapter = await requestAdapter(want.device).catch((error) => {
    throw unsupported(error);
  });
  if (!adapter) {
    const asked = want.device === "cpu" ? "{forceFallbackAdapter: true}" : "";
    throw unsupported(new Error(`navigator.gpu.requestAdapter(${asked}) resolved to null`));
  }
  const software = isSoftware(adapter.info);
  if (want.device === (software ? "gpu" : "cpu")) {
    const { vendor, architecture, description } = adapter.info;
    const name = [vendor, architecture, description].filter(Boolean).join(" ") || "an adapter without a name";
    throw unsupported(new Error(`device ${want.device} was asked for, the browser gives ${software ? "a software adapter" : "a GPU"}: ${name}`));
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
    software,
    f16: device.features.has("shader-f16"),
    subgroups: device.features.has(/** @type {GPUFeatureName} */ ("subgroups")),
    timestamps: device.features.has("timestamp-query"),
    errors: /** @type {{name: string, message: string}[]} */ ([]),
    lost: /** @type {{reason: string, message: string} | null} */ (null),
  };
  device.addEventListener("uncapturederror", (event) => gpu.errors.push(words(event.error)));
  device.lost.then((info) => {
    gpu.lost = { reason: info.reason, message: info.message };
  });
  return gpu;
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
