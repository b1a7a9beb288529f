import { StageError } from "../runtime/errors.js";
import { expand } from "./template.js";

/** @import {Gpu} from "./device.js" */

/**
 * One kernel variant at one shape.
 * @typedef {{shader: string, values: Record<string, number>, constants: Record<string, number>}} Variant
 */

/** Loads shader sources once, expands variants, and makes each distinct pipeline once, asynchronously. */
export class Pipelines {
  /** @param {Gpu} gpu @param {Map<string, string>} sources file name -> text */
  constructor(gpu, sources) {
    this.gpu = gpu;
    this.sources = sources;
    /** @type {Map<string, Promise<GPUShaderModule>>} */
    this.modules = new Map();
    /** @type {Map<string, Promise<GPUComputePipeline>>} */
    this.made = new Map();
  }

  /** @param {Variant} variant @returns {string} the WGSL of a variant */
  source(variant) {
    const values = { F16: this.gpu.f16 ? 1 : 0, ...variant.values };
    const include = (/** @type {string} */ name) => this.text(`${name}.inc.wgsl`);
    return expand(this.text(`${variant.shader}.wgsl`), values, include);
  }

  /** @param {string} file */
  text(file) {
    const text = this.sources.get(file);
    if (text === undefined) {
      throw new Error(`shader file ${file} was not loaded`);
    }
    return text;
  }

  /** @param {Variant} variant @returns {Promise<GPUComputePipeline>} */
  get(variant) {
    const key = JSON.stringify([variant.shader, variant.values, variant.constants]);
    let pipeline = this.made.get(key);
    if (!pipeline) {
      pipeline = this.make(variant);
      this.made.set(key, pipeline);
    }
    return pipeline;
  }

  /** @param {Variant} variant */
  async make(variant) {
    const module = await this.module(variant);
    try {
      return await this.gpu.device.createComputePipelineAsync({
        label: variant.shader,
        layout: "auto",
        compute: { module, entryPoint: "main", constants: variant.constants },
      });
    } catch (error) {
      throw new StageError("compile", error, { operator: variant.shader });
    }
  }

  /** @param {Variant} variant @returns {Promise<GPUShaderModule>} */
  module(variant) {
    const key = JSON.stringify([variant.shader, variant.values]);
    let module = this.modules.get(key);
    if (!module) {
      module = this.compile(variant);
      this.modules.set(key, module);
    }
    return module;
  }

  /** @param {Variant} variant */
  async compile(variant) {
    const module = this.gpu.device.createShaderModule({ label: variant.shader, code: this.source(variant) });
    const info = await module.getCompilationInfo();
    const errors = info.messages.filter((m) => m.type === "error");
    if (errors.length > 0) {
      const text = errors.map((m) => `${m.lineNum}:${m.linePos} ${m.message}`).join("\n");
      const error = Object.assign(new Error(text), { name: "GPUCompilationMessage" });
      throw new StageError("compile", error, { operator: variant.shader });
    }
    return module;
  }
}

/**
 * @param {string[]} files
 * @param {string} base
 * @returns {Promise<Map<string, string>>}
 */
export async function loadTexts(files, base) {
  const texts = await Promise.all(
    files.map(async (file) => {
      const response = await fetch(base + file, { cache: "no-store" });
      if (!response.ok) {
        throw new Error(`GET ${base + file} answered ${response.status}`);
      }
      return /** @type {[string, string]} */ ([file, await response.text()]);
    }),
  );
  return new Map(texts);
}
