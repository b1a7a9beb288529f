/** @import {Inputs, Program, Tensors} from "./types.d.ts" */

/**
 * @param {string} url
 * @returns {Promise<ArrayBuffer>}
 */
async function fetchBytes(url) {
  const response = await fetch(url, { cache: "no-store" });
  if (!response.ok) {
    throw new Error(`GET ${url} answered ${response.status}`);
  }
  return response.arrayBuffer();
}

/**
 * @param {string} url
 * @returns {Promise<Program>}
 */
export async function loadProgram(url) {
  const program = JSON.parse(new TextDecoder().decode(await fetchBytes(url)));
  if (program.format !== "webquant.program/1") {
    throw new Error(`unknown program format ${program.format}`);
  }
  return program;
}

/**
 * Read a safetensors file: a u64 header length, a JSON header, then the data.
 * @param {string} url
 * @returns {Promise<Tensors>}
 */
export async function loadTensors(url) {
  const buffer = await fetchBytes(url);
  const length = Number(new DataView(buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
  const tensors = new Map();
  for (const [name, entry] of Object.entries(header)) {
    if (name !== "__metadata__") {
      const [start, end] = entry.data_offsets;
      const bytes = new Uint8Array(buffer, 8 + length + start, end - start);
      tensors.set(name, { dtype: entry.dtype, shape: entry.shape, bytes });
    }
  }
  return tensors;
}

/**
 * The inputs of one call out of a file of calls, each tensor named `LABEL.NAME`, and the states that it has forced,
 * named `LABEL.=NAME`.
 * @param {Tensors} tensors
 * @param {string} label
 */
export function inputsOf(tensors, label) {
  /** @type {Inputs} */
  const inputs = new Map();
  /** @type {Inputs} */
  const states = new Map();
  for (const [name, tensor] of tensors) {
    if (name.startsWith(`${label}.`)) {
      const copy = tensor.bytes.slice();
      const values = tensor.dtype === "F32" ? new Float32Array(copy.buffer) : new Int32Array(copy.buffer);
      const own = name.slice(`${label}.`.length);
      if (own.startsWith("=")) states.set(own.slice(1), values);
      else inputs.set(own, values);
    }
  }
  return { inputs, states };
}
