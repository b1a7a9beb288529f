/** @import {Graph, Inputs, Tensors} from "./types.d.ts" */

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
 * @returns {Promise<Graph>}
 */
export async function loadGraph(url) {
  const graph = JSON.parse(new TextDecoder().decode(await fetchBytes(url)));
  if (graph.format !== "webquant.graph/1") {
    throw new Error(`unknown graph format ${graph.format}`);
  }
  return graph;
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
 * The n-th input set out of a file of sets, each tensor named `SET.NAME`.
 * @param {Tensors} tensors
 * @param {number} set
 * @returns {Inputs}
 */
export function inputSet(tensors, set) {
  /** @type {Inputs} */
  const inputs = new Map();
  for (const [name, tensor] of tensors) {
    if (name.startsWith(`${set}.`)) {
      const copy = tensor.bytes.slice();
      const values = tensor.dtype === "F32" ? new Float32Array(copy.buffer) : new Int32Array(copy.buffer);
      inputs.set(name.slice(`${set}.`.length), values);
    }
  }
  return inputs;
}
