// A safetensors file read in pieces from a real server: every byte once, whole words, few pieces at a time.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { HeldTensors, TensorFile, loadTensors } from "../../bench/pages/runtime/bundle.js";
import { Seeded } from "./seeded.js";

/** @type {Map<string, {data: Buffer, ranges: boolean}>} */
const files = new Map();
/** @type {string[]} what was asked for */
let asked = [];
const server = createServer((request, response) => {
  const file = files.get(request.url);
  if (!file) return response.writeHead(404).end();
  asked.push(request.headers.range ?? "whole");
  const range = file.ranges && /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "");
  if (!range) return response.writeHead(200).end(file.data);
  const begin = Number(range[1]);
  const end = Math.min(Number(range[2]) + 1, file.data.length);
  if (begin >= end) return response.writeHead(416).end();
  response.writeHead(206, { "Content-Range": `bytes ${begin}-${end - 1}/${file.data.length}` });
  response.end(file.data.subarray(begin, end));
});
let base = "";
before(async () => {
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  base = `http://127.0.0.1:${server.address().port}`;
});
after(() => server.close());

/** A safetensors file of tensors of these sizes in bytes. @param {string} path @param {number[]} sizes @param {{ranges?: boolean, seed?: number}} [more] */
function write(path, sizes, { ranges = true, seed = 1 } = {}) {
  const random = new Seeded(seed);
  const header = { __metadata__: { a: "b" } };
  let at = 0;
  const tensors = new Map();
  sizes.forEach((size, i) => {
    header[`t${i}`] = { dtype: "U8", shape: [size], data_offsets: [at, at + size] };
    tensors.set(`t${i}`, Uint8Array.from({ length: size }, () => Math.floor(random.next() * 256)));
    at += size;
  });
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  const data = Buffer.concat([length, text, ...tensors.values()]);
  files.set(path, { data, ranges });
  asked = [];
  return { url: base + path, tensors, data, header: 8 + text.length };
}

/** Streams a source and puts it together again. @param {any} source */
async function collect(source, names) {
  const found = new Map([...names].map(([name, data]) => [name, new Uint8Array(data.length)]));
  const seen = new Map([...names].map(([name]) => [name, 0]));
  let most = 0;
  let pauses = 0;
  await source.stream(
    ({ name, at, bytes }) => {
      assert.equal(at % 4, 0);
      assert.ok(bytes.length % 4 === 0 || at + bytes.length === found.get(name).length);
      found.get(name).set(bytes, at);
      seen.set(name, seen.get(name) + bytes.length);
      most = Math.max(most, source.held?.size ?? 0);
    },
    async (done, all) => {
      pauses += 1;
      assert.equal(done, pauses);
      assert.ok(done <= all);
    },
  );
  for (const [name, data] of names) {
    assert.deepEqual(found.get(name), data, name);
    assert.equal(seen.get(name), data.length, `${name}: each byte once`);
  }
  return { most, pauses };
}

const SHAPES = [
  [4],
  [0, 8, 0],
  [2, 6, 10, 3, 1, 7],
  [4096],
  [1000, 2, 999, 64, 64, 64, 5000, 2],
  Array.from({ length: 60 }, (_, i) => (i * 37) % 211),
];
for (const [i, sizes] of SHAPES.entries()) {
  for (const piece of [16, 256, 700, 1 << 20]) {
    test(`sizes ${i} in pieces of ${piece}`, async () => {
      const { url, tensors, header } = write(`/${i}-${piece}`, sizes, { seed: i });
      const file = await TensorFile.open(url, piece);
      for (const [name, data] of tensors) {
        assert.equal(file.size(name), data.length);
        assert.deepEqual(await file.bytes(name), data);
        assert.ok(file.held.size <= 4);
      }
      assert.equal(file.size("nothing"), undefined);
      await assert.rejects(file.bytes("nothing"), /the bundle holds no nothing/);
      const { most } = await collect(file, tensors);
      assert.ok(most <= 4, `${most} pieces at once`);
      file.release();
      assert.equal(file.held.size, 0);
      if (piece > 100_000) assert.deepEqual(asked, [`bytes=0-${piece - 1}`], "a small file is one request");
      if (piece === 256) assert.ok(Math.max(...file.pieces.map((p) => p.end - p.begin)) <= Math.max(256, header));
    });
  }
}

test("what is streamed is asked for once", async () => {
  const { url, tensors } = write("/once", [5000, 3000, 4000]);
  const file = await TensorFile.open(url, 1024);
  const { pauses } = await collect(file, tensors);
  assert.equal(new Set(asked).size, asked.length);
  assert.equal(pauses, file.pieces.length);
  assert.ok(asked.length <= 13, `${asked.length}`);
});

test("a server without ranges", async () => {
  const { url, tensors } = write("/plain", [500, 33, 2], { ranges: false });
  const file = await TensorFile.open(url, 1 << 20);
  await collect(file, tensors);
  assert.equal(asked.length, 1);
  await collect(await TensorFile.open(url, 64), tensors);
});

test("a file that ends early", async () => {
  for (const ranges of [true, false]) {
    const { url, data } = write("/torn", [500, 300], { ranges });
    files.set("/torn", { data: data.subarray(0, 600), ranges });
    await assert.rejects(TensorFile.open(url), /is 600 bytes long, but its header tells of \d+/);
    await assert.rejects(TensorFile.open(url, 64), /is 600 bytes long, but its header tells of \d+/);
    await assert.rejects(loadTensors(url), /ends at 600 bytes, within tensor t\d/);
  }
});

test("a file that shrinks while it is read", async () => {
  const { url, data } = write("/shrinks", [40_000]);
  const file = await TensorFile.open(url, 1024);
  files.set("/shrinks", { data: data.subarray(0, 20_000), ranges: true });
  await assert.rejects(collect(file, new Map([["t0", new Uint8Array(40_000)]])), /ends within tensor t0|answered 416/);
});

test("no safetensors, nothing at all", async () => {
  for (const text of ["", "abc", "\x00{]fault", "<html>".repeat(40)]) {
    files.set("/garbage", { data: Buffer.from(text), ranges: false });
    await assert.rejects(TensorFile.open(`${base}/garbage`), /safetensors|JSON|bytes/);
  }
  await assert.rejects(TensorFile.open(`${base}/none`), /none answered 404/);
});

test("a header longer than a piece", async () => {
  const { url, tensors, header } = write("/long", Array(300).fill(8));
  assert.ok(header > 4096);
  await collect(await TensorFile.open(url, 512), tensors);
});

test("tensors that are here already", async () => {
  const data = Uint8Array.from([1, 2, 3, 4, 5, 6]);
  const held = new HeldTensors(new Map([["a", { dtype: "U8", shape: [6], bytes: data }]]));
  assert.equal(held.size("a"), 6);
  const copy = await held.bytes("a");
  copy[0] = 9;
  assert.equal(data[0], 1);
  await collect(held, new Map([["a", data]]));
  held.release();
  assert.equal(held.size("a"), undefined);
});
