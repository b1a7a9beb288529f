import { OrtBackend } from "./ort/backend.js";
import { WebGpuBackend } from "./webgpu/backend.js";
import { WebNnBackend } from "./webnn/backend.js";

/** @import {Backend, Inputs, Program, Task, TensorSource} from "./runtime/types.d.ts" */

/** What an engine's page is given. @typedef {{program: Program, tensors: TensorSource, shaders: Map<string, string>, task: Task, base: string,
 *   samples: Inputs[]}} Given `samples`: the inputs of the verified calls */

/**
 * How each engine opens a backend. `tensors` are empty for an engine whose files hold no `weights.safetensors`.
 * @type {Record<string, (given: Given) => Promise<Backend>>}
 */
export const ENGINES = {
  native: async ({ program, tensors, shaders, task, samples }) =>
    task.platform === "webgpu"
      ? WebGpuBackend.open(program, tensors, shaders, task)
      : WebNnBackend.open(program, tensors, task, samples),
  "ort-web": async ({ program, task, base }) => OrtBackend.open(program, task, base),
};
