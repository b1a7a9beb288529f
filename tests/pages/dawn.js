// Dawn, the WebGPU of Chromium, with its null backend: it compiles for all features, on a machine that has none.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

import { create, globals } from "webgpu";
import { expand } from "../../bench/pages/webgpu/template.js";

Object.assign(globalThis, globals);
const dawn = create(["backend=null", "enable-dawn-features=allow_unsafe_apis"]);
const folder = new URL("../../bench/shaders/", import.meta.url);
const text = (name) => readFileSync(new URL(`${name}.wgsl`, folder), "utf-8");
const UNITS = { componentType: "f16", resultComponentType: "f32", M: 16, N: 16, K: 16 };
export const SETS = {
  least: { features: [], dp4a: false, matrices: [] },
  stock: { features: ["subgroups"], dp4a: true, matrices: [] },
  f16: { features: ["subgroups", "shader-f16"], dp4a: true, matrices: [] },
  all: { features: ["subgroups", "shader-f16", "chromium-experimental-subgroup-matrix"], dp4a: true, matrices: [UNITS] },
};

/** A GPU with that device; a workgroup's memory is the planner's own affair (tuning.test.js), and this backend has little. */
export async function gpuOf({ features, dp4a, matrices }) {
  const adapter = await dawn.requestAdapter();
  const device = await adapter.requestDevice({ requiredFeatures: features });
  const limits = { maxStorageBuffersPerShaderStage: 8, maxComputeWorkgroupStorageSize: 49152, maxComputeInvocationsPerWorkgroup: 1024, maxComputeWorkgroupSizeX: 1024 };
  const subgroups = features.includes("subgroups");
  return { gpu: { device: { limits }, f16: features.includes("shader-f16"), subgroups, subgroupSizes: subgroups ? [32, 32] : [null, null], dp4a, matrices, software: false }, device };
}

/** The WGSL of a variant. */
export const codeOf = (gpu, variant) => expand(text(variant.shader), { F16: gpu.f16 ? 1 : 0, ...variant.values }, (part) => text(`${part}.inc`));

/** A variant's text compiles. */
export async function compiles(device, variant, code) {
  const { messages } = await device.createShaderModule({ code }).getCompilationInfo();
  const wrong = messages.filter((one) => one.type === "error");
  assert.deepEqual(wrong.map((one) => `${one.message}: ${code.split("\n")[one.lineNum - 1]}`), [], `${variant.shader} ${JSON.stringify(variant.values)}`);
}
