/**
 * The device that onnxruntime runs on is its own, with one exception. On SwiftShader, whose subgroups have four lanes,
 * its answers are 6 % off beyond 16 tokens, and right without `subgroups` (onnxruntime-web 1.30.0, Chromium 153); why
 * was not isolated. Below eight lanes it is given a device without them, and the row says so.
 */

export const LEAST_LANES = 8;
const FEATURES = /** @type {GPUFeatureName[]} */ (["shader-f16", "timestamp-query"]);
const LIMITS = /** @type {const} */ ([
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupSizeY",
  "maxComputeWorkgroupSizeZ",
  "maxComputeWorkgroupsPerDimension",
]);

/**
 * What is kept from onnxruntime, in words; null on any adapter but those.
 * @param {GPUAdapter} adapter
 */
export function withheld(adapter) {
  const { subgroupMaxSize } = /** @type {GPUAdapterInfo & {subgroupMaxSize?: number}} */ (adapter.info);
  const has = adapter.features.has(/** @type {GPUFeatureName} */ ("subgroups"));
  if (!has || !subgroupMaxSize || subgroupMaxSize >= LEAST_LANES) return null;
  return `subgroups: this adapter's have ${subgroupMaxSize} lanes, with which its answers are wrong`;
}

/**
 * A device with everything that onnxruntime asks for but subgroups.
 * @param {GPUAdapter} adapter
 */
export function withoutSubgroups(adapter) {
  const requiredFeatures = FEATURES.filter((name) => adapter.features.has(name));
  const requiredLimits = Object.fromEntries(LIMITS.map((name) => [name, adapter.limits[name]]));
  return adapter.requestDevice({ requiredFeatures, requiredLimits });
}
