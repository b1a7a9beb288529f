/**
 * Reads an ONNX file: what the matrices really are is in it, not in the request. A protobuf message is a row of
 * fields, each a key (number << 3 | kind) and a value; the numbers are those of onnx.proto3.
 *
 * @import {Formats} from "../runtime/types.d.ts"
 * @typedef {{op: string, name: string, inputs: string[], attrs: Map<string, number>}} OnnxNode
 * @typedef {{name: string, type: number, dims: number[], bytes: number}} OnnxTensor
 * @typedef {{nodes: OnnxNode[], tensors: Map<string, OnnxTensor>}} OnnxModel
 */

const FLOAT = 1;
const FLOAT16 = 10;
/** Bits of a tensor's values, by its type; of numbers with a point alone. @type {Record<number, number>} */
export const FLOATS = { [FLOAT]: 32, [FLOAT16]: 16 };

const text = new TextDecoder();

/**
 * The fields of a message.
 * @param {Uint8Array} bytes
 * @returns {Generator<{field: number, value: number, part: Uint8Array}>}
 */
function* fields(bytes) {
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = bytes[at++];
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const key = varint();
    const kind = key & 7;
    let value = 0;
    let part = bytes.subarray(0, 0);
    if (kind === 0) value = varint();
    else {
      const length = kind === 2 ? varint() : kind === 5 ? 4 : 8;
      part = bytes.subarray(at, at + length);
      at += length;
    }
    yield { field: Math.floor(key / 8), value, part };
  }
}

/** @param {Uint8Array} bytes @returns {OnnxNode} */
function readNode(bytes) {
  /** @type {OnnxNode} */
  const node = { op: "", name: "", inputs: [], attrs: new Map() };
  for (const { field, part } of fields(bytes)) {
    if (field === 1) node.inputs.push(text.decode(part));
    if (field === 3) node.name = text.decode(part);
    if (field === 4) node.op = text.decode(part);
    if (field !== 5) continue;
    let name = "";
    for (const inner of fields(part)) {
      if (inner.field === 1) name = text.decode(inner.part);
      if (inner.field === 3) node.attrs.set(name, inner.value); // an integer
    }
  }
  return node;
}

/** @param {Uint8Array} bytes @returns {OnnxTensor} */
function readTensor(bytes) {
  /** @type {OnnxTensor} */
  const tensor = { name: "", type: 0, dims: [], bytes: 0 };
  for (const { field, value, part } of fields(bytes)) {
    // Numbers of a list stand in one part, or each for itself.
    if (field === 1) tensor.dims.push(...(part.length ? numbers(part) : [value]));
    if (field === 2) tensor.type = value;
    if (field === 8) tensor.name = text.decode(part);
    if (field === 9) tensor.bytes = part.length;
  }
  return tensor;
}

/** @param {Uint8Array} part */
function numbers(part) {
  const found = [];
  for (let at = 0; at < part.length; ) {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = part[at++];
      value += (byte & 127) * scale;
      if (byte < 128) break;
    }
    found.push(value);
  }
  return found;
}

/** @param {Uint8Array} bytes @returns {OnnxModel} */
export function readModel(bytes) {
  /** @type {OnnxModel} */
  const model = { nodes: [], tensors: new Map() };
  for (const outer of fields(bytes)) {
    if (outer.field !== 7) continue; // the graph
    for (const { field, part } of fields(outer.part)) {
      if (field === 1) model.nodes.push(readNode(part));
      if (field !== 5) continue;
      const tensor = readTensor(part);
      model.tensors.set(tensor.name, tensor);
    }
  }
  return model;
}

/** @param {number[]} dims */
const product = (dims) => dims.reduce((a, b) => a * b, 1);

/**
 * The format of each matrix as the file has it. A matrix that is a table and a layer too is told as the layer.
 * @param {OnnxModel} model
 * @returns {Formats}
 */
export function formatsOf(model) {
  /** @type {Formats} */
  const formats = new Map();
  for (const [name, { type, dims }] of model.tensors) {
    const whole = /^(.*)\.(halves|transposed|values)$/.exec(name);
    if (whole) formats.set(whole[1], { bits: FLOATS[type], group_size: null, scheme: null, parameters: product(dims) });
  }
  for (const op of ["GatherBlockQuantized", "MatMulNBits"]) {
    for (const { inputs, attrs } of model.nodes.filter((node) => node.op === op)) {
      const at = op === "MatMulNBits" ? { data: 1, zeros: 3 } : { data: 0, zeros: 3 };
      const bits = attrs.get("bits") ?? 4;
      const [rows, columns] = model.tensors.get(inputs[at.data])?.dims ?? [0, 0];
      const k = op === "MatMulNBits" ? (attrs.get("K") ?? 0) : (columns * 8) / bits;
      formats.set(inputs[at.data].replace(/\.(codes|table)$/, ""), {
        bits,
        group_size: attrs.get("block_size") ?? null,
        scheme: inputs[at.zeros] ? "asymmetric" : "symmetric",
        parameters: rows * k,
      });
    }
  }
  return formats;
}

/**
 * Bytes of the weights as they are computed with: a float16 tensor that is cast to float32 is cast once, when the
 * session is made, and takes twice the room from then on.
 * @param {OnnxModel} model
 */
export function weightBytes(model) {
  const cast = new Set(model.nodes.filter((node) => node.op === "Cast").map((node) => node.inputs[0]));
  let bytes = 0;
  for (const tensor of model.tensors.values()) {
    bytes += tensor.bytes * (tensor.type === FLOAT16 && cast.has(tensor.name) ? 2 : 1);
  }
  return bytes;
}
