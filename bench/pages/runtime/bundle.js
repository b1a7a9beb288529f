/** @import {Inputs, Program, Segment, StoredTensor, Tensors, TensorSource} from "./types.d.ts" */

/** Bytes of one request for weights, unless a caller says otherwise: what the page holds of a large file at a time. */
const PIECE = 16 * 2 ** 20;
/** Pieces that are held at once at most; those of a file's beginning are fetched while it is opened. */
const HELD = 4;
/** A write to a GPU buffer is of whole words: a tensor is cut at multiples of it. */
const WORD = 4;
/** Bytes of a safetensors header, as its library allows. */
const MOST_HEADER = 100_000_000;

/**
 * @param {string} url
 * @param {{begin: number, end: number}} [range] bytes that are wanted of it
 * @returns {Promise<{bytes: Uint8Array, whole: number}>} what came, and the size of the file
 */
async function fetchBytes(url, range) {
  const headers = range ? { Range: `bytes=${range.begin}-${range.end - 1}` } : undefined;
  const response = await fetch(url, { cache: "no-store", headers });
  if (!response.ok) {
    throw new Error(`GET ${url} answered ${response.status}`);
  }
  const bytes = await bodyOf(response);
  if (response.status !== 206 || !range) {
    // A server may answer a request for a part with the whole; then it is no large file.
    const found = range ? bytes.subarray(range.begin, range.end) : bytes;
    return { bytes: found, whole: bytes.length };
  }
  const [, begin, whole] = /^bytes (\d+)-\d+\/(\d+)$/.exec(response.headers.get("Content-Range") ?? "") ?? [];
  const wanted = Math.min(range.end, Number(whole)) - range.begin;
  if (Number(begin) !== range.begin || bytes.length !== wanted) {
    throw new Error(`GET ${url} answered ${bytes.length} bytes from ${begin}; asked for ${wanted} from ${range.begin}`);
  }
  return { bytes, whole: Number(whole) };
}

/** Some browsers hold a body twice while they make one buffer of it; so what comes is put in its place here. @param {Response} response */
async function bodyOf(response) {
  const length = Number(response.headers.get("Content-Length"));
  if (!length || !response.body) return new Uint8Array(await response.arrayBuffer());
  const whole = new Uint8Array(length);
  const reader = response.body.getReader();
  let at = 0;
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    whole.set(part.value, at);
    at += part.value.byteLength;
  }
  return whole.subarray(0, at);
}

/**
 * @param {string} url
 * @returns {Promise<Program>}
 */
export async function loadProgram(url) {
  const program = JSON.parse(new TextDecoder().decode((await fetchBytes(url)).bytes));
  if (program.format !== "webquant.program/1") {
    throw new Error(`unknown program format ${program.format}`);
  }
  return program;
}

/** @typedef {{dtype: string, shape: number[], begin: number, end: number}} Placed where in the file a tensor lies */

/**
 * The header of a safetensors file: a u64 length, then JSON; the data follow.
 * @param {Uint8Array} bytes from the file's beginning, the whole header among them
 * @returns {{tensors: Map<string, Placed>, begin: number, end: number}} in the file's order, and where the data lie
 */
function headerOf(bytes) {
  const length = headerBytes(bytes);
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, length)));
  const found = Object.entries(header).filter(([name]) => name !== "__metadata__");
  const placed = found.map(([name, { dtype, shape, data_offsets }]) => {
    const [begin, end] = data_offsets;
    return /** @type {[string, Placed]} */ ([name, { dtype, shape, begin: length + begin, end: length + end }]);
  });
  placed.sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end);
  const end = placed.reduce((last, [, tensor]) => Math.max(last, tensor.end), length);
  return { tensors: new Map(placed), begin: length, end };
}

/** Bytes before the data of a safetensors file. @param {Uint8Array} bytes */
function headerBytes(bytes) {
  const length = bytes.length < 8 ? Infinity : Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  if (length > MOST_HEADER) throw new Error("not a safetensors file: its header has no length");
  return 8 + length;
}

/**
 * Read a whole safetensors file; for small ones.
 * @param {string} url
 * @returns {Promise<Tensors>}
 */
export async function loadTensors(url) {
  const { bytes } = await fetchBytes(url);
  const { tensors } = headerOf(bytes);
  return new Map(
    [...tensors].map(([name, { dtype, shape, begin, end }]) => {
      if (end > bytes.length) throw new Error(`${url} ends at ${bytes.length} bytes, within tensor ${name}`);
      return [name, { dtype, shape, bytes: bytes.subarray(begin, end) }];
    }),
  );
}

/** Tensors that the page has already. @implements {TensorSource} */
export class HeldTensors {
  /** @param {Tensors} tensors */
  constructor(tensors) {
    this.tensors = tensors;
  }

  /** @param {string} name */
  size(name) {
    return this.tensors.get(name)?.bytes.byteLength;
  }

  /** @param {string} name @returns {Promise<Uint8Array>} */
  async bytes(name) {
    const found = this.tensors.get(name);
    if (!found) throw new Error(`the bundle holds no ${name}`);
    return found.bytes.slice();
  }

  /** @param {(segment: Segment) => void} take @param {(done: number, all: number) => Promise<void>} pause */
  async stream(take, pause) {
    for (const [name, { bytes }] of this.tensors) take({ name, at: 0, bytes });
    await pause(1, 1);
  }

  release() {
    this.tensors = new Map();
  }
}

/** One request: bytes [begin, end) of the file, and the tensors, or parts of them, that lie there. @typedef {{begin: number, end: number, names: string[]}} Piece */

/**
 * The tensors of a safetensors file that stays with the server: a few pieces of it are here at a time.
 * @implements {TensorSource}
 */
export class TensorFile {
  /** @param {string} url @param {Map<string, Placed>} tensors @param {Piece[]} pieces */
  constructor(url, tensors, pieces) {
    this.url = url;
    this.tensors = tensors;
    this.pieces = pieces;
    /** @type {Map<Piece, Promise<Uint8Array>>} the latest used last */
    this.held = new Map();
  }

  /**
   * Read the header and the first pieces: of a small file all there is.
   * @param {string} url
   * @param {number} [size] bytes of a piece
   */
  static async open(url, size = PIECE) {
    let first = await fetchBytes(url, { begin: 0, end: size });
    const header = headerBytes(first.bytes);
    if (header > first.bytes.length) first = await fetchBytes(url, { begin: 0, end: header });
    const { tensors, begin, end } = headerOf(first.bytes);
    if (end !== first.whole) {
      throw new Error(`${url} is ${first.whole} bytes long, but its header tells of ${end}`);
    }
    const file = new TensorFile(url, tensors, cut(tensors, begin, size, first.bytes.length));
    // What came with the header is not asked for again.
    const here = file.pieces.filter((piece) => piece.end <= first.bytes.length);
    for (const piece of here) file.held.set(piece, Promise.resolve(first.bytes.subarray(piece.begin, piece.end)));
    await Promise.all(file.pieces.slice(0, HELD).map((piece) => file.piece(piece)));
    return file;
  }

  /** @param {string} name */
  size(name) {
    const found = this.tensors.get(name);
    return found && found.end - found.begin;
  }

  /** @param {string} name @returns {Promise<Uint8Array>} */
  async bytes(name) {
    const found = this.tensors.get(name);
    if (!found) throw new Error(`the bundle holds no ${name}`);
    const { begin, end } = found;
    const whole = new Uint8Array(end - begin);
    for (const piece of this.pieces) {
      if (piece.end <= begin || end <= piece.begin) continue;
      const from = Math.max(begin, piece.begin);
      const part = (await this.piece(piece)).subarray(from - piece.begin, Math.min(end, piece.end) - piece.begin);
      whole.set(part, from - begin);
    }
    return whole;
  }

  /**
   * Hand over every tensor in the file's order, each byte once: large ones in parts that begin at whole words.
   * @param {(segment: Segment) => void} take
   * @param {(done: number, all: number) => Promise<void>} pause awaited after each piece, while the next one comes
   */
  async stream(take, pause) {
    for (const [index, piece] of this.pieces.entries()) {
      const data = await this.piece(piece);
      const next = this.pieces[index + 1];
      const coming = next && this.piece(next);
      coming?.catch(() => {}); // told when its turn comes
      for (const name of piece.names) {
        const { begin, end } = /** @type {Placed} */ (this.tensors.get(name));
        const from = Math.max(begin, piece.begin);
        const bytes = data.subarray(from - piece.begin, Math.min(end, piece.end) - piece.begin);
        take({ name, at: from - begin, bytes });
      }
      this.held.delete(piece);
      await pause(index + 1, this.pieces.length);
    }
  }

  /** @param {Piece} piece @returns {Promise<Uint8Array>} */
  piece(piece) {
    const found = this.held.get(piece) ?? this.ask(piece);
    this.held.delete(piece);
    this.held.set(piece, found);
    for (const old of this.held.keys()) {
      if (this.held.size <= HELD) break;
      this.held.delete(old);
    }
    return found;
  }

  /** @param {Piece} piece */
  async ask(piece) {
    if (piece.begin === piece.end) return new Uint8Array(0);
    const { bytes } = await fetchBytes(this.url, piece);
    if (bytes.length !== piece.end - piece.begin) {
      throw new Error(`${this.url} ends within tensor ${piece.names[piece.names.length - 1]}`);
    }
    return bytes;
  }

  release() {
    this.held.clear();
  }
}

/**
 * Requests of about `size` bytes that cover the data without gaps; a tensor is cut at whole words of its own.
 * @param {Map<string, Placed>} tensors in the file's order @param {number} from where the data begin @param {number} size
 * @param {number} here where the first piece ends at the latest: what has come with the header
 * @returns {Piece[]}
 */
function cut(tensors, from, size, here) {
  /** @type {Piece} */
  let piece = { begin: from, end: from, names: [] };
  const pieces = [piece];
  for (const [name, { begin, end }] of tensors) {
    let at = begin;
    do {
      let room = (pieces.length === 1 ? here : piece.begin + size) - at;
      if (end - at > room) room -= (at + room - begin) % WORD;
      if (room <= 0 && (piece.names.length > 0 || pieces.length === 1)) {
        piece = { begin: at, end: at, names: [] };
        pieces.push(piece);
        continue;
      }
      piece.names.push(name);
      at = piece.end = Math.min(end, at + Math.max(room, WORD));
    } while (at < end);
  }
  return pieces;
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
