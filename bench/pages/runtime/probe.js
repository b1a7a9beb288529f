import { isSoftware, lacking, matricesOf, requestAdapter } from "../webgpu/device.js";
import { words } from "./errors.js";
import { clockTick } from "./measure.js";

/** @param {object} limits @returns {Record<string, number>} */
function plain(limits) {
  /** @type {Record<string, number>} */
  const all = {};
  for (const name in limits) {
    const value = /** @type {any} */ (limits)[name];
    if (typeof value === "number") all[name] = value;
  }
  return all;
}

/** What WebGL calls its renderer: the one place where a browser that hides its WebGPU adapter may name it. */
function webglRenderer() {
  try {
    const gl = document.createElement("canvas").getContext("webgl2");
    const info = gl?.getExtension("WEBGL_debug_renderer_info");
    return gl && info ? String(gl.getParameter(info.UNMASKED_RENDERER_WEBGL)) : null;
  } catch {
    return null;
  }
}

/** The WebGPU adapter: name, features, limits; or null with the browser's words. @param {string} device */
async function webgpu(device) {
  if (!navigator.gpu) return { supported: false, reason: "navigator.gpu is undefined" };
  try {
    const adapter = await requestAdapter(device);
    if (!adapter) return { supported: false, reason: "requestAdapter() resolved to null" };
    const { vendor, architecture, device: model, description, subgroupMinSize, subgroupMaxSize } = adapter.info;
    return {
      supported: true,
      vendor,
      architecture,
      device: model,
      description,
      subgroup_sizes: [subgroupMinSize ?? null, subgroupMaxSize ?? null],
      is_fallback_adapter: isSoftware(adapter.info),
      features: [...adapter.features].sort(),
      lacks: { f16: lacking(adapter, "f16"), all: lacking(adapter, "all") },
      matrices: matricesOf(adapter),
      language_features: [...(navigator.gpu.wgslLanguageFeatures ?? [])].sort(),
      limits: plain(adapter.limits),
      webgl_renderer: webglRenderer(),
    };
  } catch (error) {
    return { supported: false, reason: words(error).message };
  }
}

/**
 * The data types each operator takes, and which devices answer.
 * @param {boolean} full the whole of opSupportLimits rather than the types of a few operators
 */
async function webnn(full) {
  if (!navigator.ml) return { supported: false, reason: "navigator.ml is undefined" };
  /** @type {Record<string, string>} */
  const devices = {};
  /** @type {Record<string, any> | null} */
  let limits = null;
  let reason = null;
  for (const deviceType of ["cpu", "gpu", "npu"]) {
    try {
      const context = await navigator.ml.createContext({ deviceType });
      limits ??= context.opSupportLimits();
      const builder = new MLGraphBuilder(context);
      const x = builder.input("x", { dataType: "float32", shape: [1] });
      const graph = await builder.build({ y: builder.add(x, x) });
      devices[deviceType] = graph.devices ? `runs on ${graph.devices.join("+")}` : "answers";
      context.destroy();
    } catch (error) {
      const { name, message } = words(error);
      devices[deviceType] = `${name}: ${message}`;
      reason ??= devices[deviceType];
    }
  }
  const types = limits && {
    constant: limits.constant?.dataTypes,
    dequantizeLinear: limits.dequantizeLinear?.input?.dataTypes,
    matmul: limits.matmul?.a?.dataTypes,
    gather: limits.gather?.input?.dataTypes,
  };
  return { supported: limits !== null, reason, devices, data_types: types, ...(full ? { limits } : {}) };
}

/** Everything that says where a run ran. @param {{full?: boolean, device?: string}} [options] */
export async function probe(options = {}) {
  const tick = clockTick();
  return {
    user_agent: navigator.userAgent,
    cross_origin_isolated: self.crossOriginIsolated,
    timer_resolution_us: tick * 1000,
    hardware_concurrency: navigator.hardwareConcurrency ?? null,
    visibility: document.visibilityState,
    webgpu: await webgpu(options.device ?? "auto"),
    webnn: await webnn(options.full === true),
  };
}
