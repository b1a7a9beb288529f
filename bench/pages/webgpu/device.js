import { StageError, words } from "../runtime/errors.js";
import { settle } from "./waiting.js";

/** @typedef {"stock" | "f16" | "all"} Features a feature set: of the browser as it is, plus float16, plus matrix units */

/**
 * A form of matrix that the units of an adapter multiply: M x K by K x N, of one type, summed in another.
 * @typedef {{componentType: string, resultComponentType: string, M: number, N: number, K: number}} MatrixConfig
 */

/**
 * A device with its losses and uncaptured errors on record. `features` is the largest set that it really has;
 * `matrices` is empty unless matrix units were asked for and given; `subgroupSizes` are the least and the most lanes,
 * null where the browser does not say; `dp4a` is `dot4I8Packed` and its like.
 * @typedef {{adapter: GPUAdapter, device: GPUDevice, software: boolean, f16: boolean, subgroups: boolean, timestamps: boolean,
 *   features: Features, matrices: MatrixConfig[], subgroupSizes: [number | null, number | null], dp4a: boolean,
 *   errors: {name: string, message: string}[], lost: {reason: string, message: string} | null}} Gpu
 */

const F16 = /** @type {GPUFeatureName} */ ("shader-f16");
const MATRICES = /** @type {GPUFeatureName} */ ("chromium-experimental-subgroup-matrix");

/** What each feature set takes for granted of an adapter. @type {Record<Features, GPUFeatureName[]>} */
const NEEDED = { stock: [], f16: [F16], all: [F16, MATRICES] };

/** Names by which software adapters go, in any field that a browser shows. */
const SOFTWARE = /swiftshader|llvmpipe|lavapipe|softpipe|microsoft basic render|\bwarp\b/i;

/** Whether an adapter is the processor: by what the browser says of it, or by its name. @param {GPUAdapterInfo} info */
export function isSoftware(info) {
  const { vendor, architecture, device, description } = info;
  return info.isFallbackAdapter === true || SOFTWARE.test([vendor, architecture, device, description].join(" "));
}

/** What the browser says of a device's adapter, for the row. @param {Gpu} gpu */
export function shown({ adapter, software }) {
  const { vendor, architecture, device, description } = adapter.info;
  return { vendor, architecture, device, description, is_fallback_adapter: software };
}

/** By which constants are kept for an adapter: all that the browser says of it. @param {Pick<Gpu, "adapter">} gpu */
export function adapterName({ adapter }) {
  const { vendor, architecture, device, description } = adapter.info;
  return [vendor, architecture, device, description].filter(Boolean).join(" ") || "without a name";
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

/** The forms of matrix of an adapter, as plain objects. @param {{info: GPUAdapterInfo}} adapter @returns {MatrixConfig[]} */
export function matricesOf(adapter) {
  const { subgroupMatrixConfigs: shown } = /** @type {{subgroupMatrixConfigs?: Iterable<MatrixConfig>}} */ (adapter.info);
  return [...(shown ?? [])].map(({ componentType, resultComponentType, M, N, K }) => ({
    componentType, resultComponentType, M, N, K,
  }));
}

/**
 * The largest feature set that something with these features is: matrix units count where they multiply float16.
 * @param {{has(name: string): boolean}} features @param {MatrixConfig[]} matrices
 * @returns {Features}
 */
export function featureSet(features, matrices) {
  if (!features.has(F16)) return "stock";
  return features.has(MATRICES) && matrices.some((one) => one.componentType === "f16") ? "all" : "f16";
}

/** The largest feature set that a device of this adapter can have. @param {GPUAdapter} adapter */
export const featuresOf = (adapter) => featureSet(adapter.features, matricesOf(adapter));

/**
 * What an adapter lacks of a feature set, by the feature's name; null where it has the whole.
 * @param {GPUAdapter} adapter @param {Features} features
 */
export function lacking(adapter, features) {
  const missing = NEEDED[features].find((name) => !adapter.features.has(name));
  if (missing) return missing;
  return features === "all" && featuresOf(adapter) !== "all" ? `${MATRICES} for f16` : null;
}

/**
 * Refuse a feature set that an adapter does not have whole.
 * @param {GPUAdapter} adapter @param {Features} features
 */
export function demand(adapter, features) {
  const lacks = lacking(adapter, features);
  if (lacks) throw unsupported(new Error(`the feature set ${features} needs ${lacks}, which this adapter does not have`));
}

/** @param {string} device as it was asked for @returns {Promise<GPUAdapter>} of that kind, or a StageError */
async function adapterFor(device) {
  if (!navigator.gpu) throw unsupported(new Error("navigator.gpu is undefined: this browser has no WebGPU"));
  const adapter = await requestAdapter(device).catch((error) => {
    throw unsupported(error);
  });
  if (!adapter) {
    const asked = device === "cpu" ? "{forceFallbackAdapter: true}" : "";
    throw unsupported(new Error(`navigator.gpu.requestAdapter(${asked}) resolved to null`));
  }
  const software = isSoftware(adapter.info);
  if (device === (software ? "gpu" : "cpu")) {
    const { vendor, architecture, description } = adapter.info;
    const name = [vendor, architecture, description].filter(Boolean).join(" ") || "an adapter without a name";
    throw unsupported(new Error(`device ${device} was asked for, the browser gives ${software ? "a software adapter" : "a GPU"}: ${name}`));
  }
  return adapter;
}

/** @param {unknown} error */
const unsupported = (error) => new StageError("probe", error, { outcome: "unsupported" });

/**
 * Open a device with everything the kernels can use and the adapter's own limits. A feature set that the adapter lacks
 * is refused; matrix units are asked for in the set `all` only, or where no set is named.
 * @param {{features?: Features, f16?: boolean, device?: string, lanes?: number, least?: boolean}} [want] f16 false leaves `shader-f16`
 * off, and the matrix units with it, for tests of the f32 arm; a device of `cpu` or `gpu` is refused where the adapter
 * is not of that kind; subgroups of fewer than so many `lanes` are left off, where another engine shares the device;
 * `least` asks for no more than every device has, as a phone may be
 * @returns {Promise<Gpu>}
 */
export async function openDevice(want = {}) {
  const adapter = await adapterFor(want.device ?? "auto");
  if (want.features) demand(adapter, want.features);
  const useful = ["timestamp-query"];
  const { subgroupMaxSize } = adapter.info;
  if (!subgroupMaxSize || subgroupMaxSize >= (want.lanes ?? 0)) useful.push("subgroups", "subgroup-size-control");
  if (want.f16 !== false) {
    useful.push(F16);
    if ((want.features ?? "all") === "all") useful.push(MATRICES);
  }
  const features = /** @type {GPUFeatureName[]} */ (useful).filter((name) => adapter.features.has(name));
  const { limits } = adapter;
  const requiredLimits = {
    maxBufferSize: limits.maxBufferSize,
    maxStorageBufferBindingSize: limits.maxStorageBufferBindingSize,
    maxComputeWorkgroupStorageSize: limits.maxComputeWorkgroupStorageSize,
    maxComputeInvocationsPerWorkgroup: limits.maxComputeInvocationsPerWorkgroup,
    maxComputeWorkgroupSizeX: limits.maxComputeWorkgroupSizeX,
    maxComputeWorkgroupSizeY: limits.maxComputeWorkgroupSizeY,
    maxStorageBuffersPerShaderStage: limits.maxStorageBuffersPerShaderStage,
  };
  const device = await adapter.requestDevice({ requiredFeatures: features, requiredLimits: want.least ? {} : requiredLimits }).catch((error) => {
    throw unsupported(error);
  });
  return watched(adapter, device);
}

/** The device's own limits by which kernels are chosen. @param {Gpu} gpu */
export function limitsOf(gpu) {
  const { maxComputeInvocationsPerWorkgroup, maxComputeWorkgroupStorageSize, maxStorageBufferBindingSize, maxStorageBuffersPerShaderStage } = gpu.device.limits;
  return { maxComputeInvocationsPerWorkgroup, maxComputeWorkgroupStorageSize, maxStorageBufferBindingSize, maxStorageBuffersPerShaderStage };
}

/** A device with its losses and uncaptured errors on record from now on. @param {GPUAdapter} adapter @param {GPUDevice} device @returns {Gpu} */
function watched(adapter, device) {
  const { subgroupMinSize, subgroupMaxSize } = adapter.info;
  const matrices = device.features.has(MATRICES) ? matricesOf(adapter) : [];
  const gpu = /** @type {Gpu} */ ({
    adapter,
    device,
    software: isSoftware(adapter.info),
    f16: device.features.has(F16),
    subgroups: device.features.has(/** @type {GPUFeatureName} */ ("subgroups")),
    timestamps: device.features.has("timestamp-query"),
    features: featureSet(device.features, matrices),
    matrices,
    subgroupSizes: [subgroupMinSize ?? null, subgroupMaxSize ?? null],
    dp4a: navigator.gpu.wgslLanguageFeatures?.has("packed_4x8_integer_dot_product") ?? false,
    errors: [],
    lost: null,
  });
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
