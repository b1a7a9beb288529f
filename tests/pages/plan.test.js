import assert from "node:assert/strict";
import test from "node:test";

import { Memory } from "../../bench/pages/webgpu/memory.js";
import { makePlan } from "../../bench/pages/webgpu/plan.js";
import { Seeded } from "./seeded.js";

globalThis.GPUBufferUsage = { STORAGE: 128, UNIFORM: 64, COPY_SRC: 4, COPY_DST: 8 };
const device = { createBuffer: ({ label, size }) => ({ label, size }), limits: { maxStorageBufferBindingSize: 2 ** 30, maxBufferSize: 2 ** 30, maxStorageBuffersPerShaderStage: 8, maxComputeWorkgroupStorageSize: 16384 } };
const gpu = { f16: false, subgroups: false, software: false, device };
// Many rows, and few: of the latter a linear takes more along.
const MANY = 10;
const FEW = 2;

/** A random graph of the operators that the planner knows, in an order that its nodes can run in. */
class Graphs {
  constructor(seed) {
    this.random = new Seeded(seed);
    this.rows = seed % 2 ? FEW : MANY;
    this.nodes = [];
    this.weights = [];
    this.quantization = {};
    this.inputs = ["ids", "mask"].map((name) => ({ name, shape: [1, this.rows], maximum: 9, dtype: "int32" }));
    this.values = []; // [name, width]
  }

  weight(shape, packed) {
    const name = `w${this.weights.length}`;
    this.weights.push({ name, shape, role: packed ? "linear" : "vector" });
    const bits = this.random.of([16, 8, 4, 2]);
    const [group_size, kp] = [bits === 16 ? 2 : 16, Math.ceil(shape.at(-1) / 16) * 16];
    if (packed) this.quantization[name] = { bits, group_size, scheme: "symmetric", k: shape.at(-1), kp };
    return name;
  }

  node(op, inputs, width, weights = [], attrs = {}) {
    const name = `n${this.nodes.length}`;
    this.nodes.push({ op, name, inputs, output: `v${name}`, shape: [this.rows, width], weights, attrs, updates: [] });
    this.values.push([`v${name}`, width]);
    return `v${name}`;
  }

  linear(input, from, to, like = null) {
    const weight = this.weight([to, from], true);
    if (like) this.quantization[weight] = { ...this.quantization[like], exponent: this.random.whole(0, 1) };
    return [this.node("linear", [input], to, [weight, this.weight([to], false)]), weight];
  }

  step() {
    const [x, width] = this.random.of(this.values);
    const same = this.values.filter(([, other]) => other === width);
    switch (this.random.of(["linear", "activation", "add", "norm", "attention", "embedding", "add_norm", "linear_act", "gate", "residual", "block", "convolution"])) {
      case "linear": return this.linear(x, width, this.random.of([8, 16, 32]));
      case "activation": return this.node("activation", [x], width, [], { kind: this.random.of(["gelu", "relu"]) });
      case "add": return this.node("add", [x, this.random.of(same)[0]], width);
      case "norm": return this.norm(x, width);
      case "add_norm": return this.norm(this.node("add", [x, this.random.of(same)[0]], width), width);
      case "linear_act": return this.node("activation", [this.linear(x, width, 16)[0]], 16, [], { kind: "gelu" });
      case "embedding": {
        const table = this.node("embedding", ["ids"], width, [this.weight([10, width], true)]);
        return this.random.next() < 0.5 ? this.node("add", [table, x], width) : table;
      }
      case "gate": return this.gate(x, width);
      case "residual": return this.residual(x, width);
      case "block": return this.block(x, width);
      case "convolution": return this.convolution(x, width);
      default: return this.attention(x, width);
    }
  }

  /** Two linears, one through an activation, multiplied. */
  gate(x, width) {
    const [a, like] = this.linear(x, width, 16);
    const [b] = this.linear(x, width, 16, this.random.next() < 0.8 ? like : null);
    const act = this.node("activation", [a], 16, [], { kind: "silu" });
    return this.node("multiply", this.random.next() < 0.5 ? [act, b] : [b, act], 16);
  }

  /** A sum in float32 and its norm, which may be all that reads it. */
  residual(x, width) {
    const wide = this.node("add", [x, x], width, [], { wide: 1 });
    this.values.pop(); // not every operator reads float32
    const sum = this.node("add", [wide, x], width, [], { wide: 1 });
    this.values.pop();
    if (this.random.next() < 0.5) {
      this.node("last_token", [sum], width);
      this.values.pop();
      this.nodes.at(-1).shape = [1, width];
    }
    return this.node("rms_norm", [sum], width, [this.weight([width], false)], { epsilon: 1e-6 });
  }

  /** What a decoder's layer ends in and the next begins with: a linear, its sum with the residual, a norm, linears. */
  block(x, width) {
    const wide = this.node("add", [x, x], width, [], { wide: 1 });
    this.values.pop(); // not every operator reads float32
    const [linear] = this.linear(x, width, width);
    this.values.pop();
    this.nodes.at(-1).attrs = { wide: 1 };
    const sum = this.node("add", this.random.next() < 0.5 ? [wide, linear] : [linear, wide], width, [], { wide: 1 });
    this.values.pop();
    const norm = this.node("rms_norm", [sum], width, [this.weight([width], false)], { epsilon: 1e-6, wide: 1 });
    this.values.pop();
    return this.random.next() < 0.5 ? this.gate(norm, width) : this.linear(norm, width, 16)[0];
  }

  /** Windows and their linear, at times with another reader beside it. */
  convolution(x, width) {
    const attrs = { batch: 1, sequence: this.rows, kernel: 3, stride: 1, padding: 1 };
    const windows = this.node("unfold", [x], 3 * width, [], attrs);
    this.values.pop(); // widths would grow without end
    const [out] = this.linear(windows, 3 * width, width);
    return this.random.next() < 0.3 ? this.linear(windows, 3 * width, width) : out;
  }

  norm(x, width) {
    return this.node("layer_norm", [x], width, [this.weight([width], false), this.weight([width], false)], { epsilon: 1e-12 });
  }

  /** With q, k and v that may be joined, or one of them looked at by others too. */
  attention(x, width) {
    const [q, like] = this.linear(x, width, width);
    const [k] = this.linear(x, width, width, this.random.next() < 0.8 ? like : null);
    const [v] = this.linear(x, width, width, like);
    const attrs = { batch: 1, sequence: this.rows, heads: 2, scale: 0.5 };
    return this.node("attention", [q, k, v, "mask"], width, [], attrs);
  }

  made() {
    this.node("embedding", ["ids"], 16, [this.weight([10, 16], true)]);
    const steps = this.random.whole(1, 24);
    for (let i = 0; i < steps; i++) this.step();
    const outputs = [...new Set([this.nodes.at(-1).output, this.random.of(this.nodes).output])];
    const graph = { inputs: this.inputs, nodes: this.nodes, outputs };
    const program = { weights: this.weights, states: [], entries: { forward: graph }, phases: [], quantization: this.quantization };
    return { program, graph };
  }
}

const values = ({ bindings }) => bindings.filter(([, r]) => "value" in r).map(([, r]) => r.value);
// One output, but for a norm that keeps the sum which it is of.
const outputs = ({ variant }) => (variant.values.SUM ? 2 : 1);
const written = (dispatch) => values(dispatch).slice(-outputs(dispatch));
const read = (dispatch) => values(dispatch).slice(0, -outputs(dispatch));

const fusions = {};

for (let seed = 0; seed < 300; seed++) {
  const { program, graph } = new Graphs(seed).made();
  const plan = makePlan(gpu, program, graph, { WINDOW: 1 });

  for (const [kind, count] of Object.entries(plan.fused)) fusions[kind] = (fusions[kind] ?? 0) + count;

  test(`every node of graph ${seed} ends in exactly one dispatch`, () => {
    const joined = plan.dispatches.flatMap((d) => d.name.split("+"));
    const pairs = Object.values(plan.fused).reduce((a, b) => a + b, 0) - plan.fused.joined_linears;
    const joins = joined.length - plan.dispatches.length;
    assert.equal(new Set(joined).size, joined.length, "none twice");
    // A fused pair has the name of one of the two; joined linears have the names of all.
    assert.equal(joined.length + pairs, graph.nodes.length);
    assert.equal(plan.dispatches.filter((d) => d.name.includes("+")).length, plan.fused.joined_linears);
    assert.ok(joins >= plan.fused.joined_linears);
    const weights = plan.dispatches.flatMap((d) => d.bindings.flatMap(([, r]) => ("weights" in r && r.part !== "scales" ? r.weights : [])));
    assert.deepEqual([...weights].sort(), graph.nodes.flatMap((node) => node.weights).sort(), "each weight once");
  });

  test(`what graph ${seed} reads was written before, and once`, () => {
    const there = new Set(graph.inputs.map((input) => input.name));
    for (const dispatch of plan.dispatches) {
      for (const name of read(dispatch)) assert.ok(there.has(name), `${dispatch.name} reads ${name}`);
      for (const name of written(dispatch)) {
        assert.ok(!there.has(name), `${name} is written twice`);
        assert.ok(plan.values.get(name) > 0);
        there.add(name);
      }
    }
    for (const name of graph.outputs) assert.ok(there.has(name), `the output ${name} is there`);
  });

  test(`buffers of graph ${seed} that are live at once never overlap`, () => {
    const memory = new Memory(device);
    const placed = new Map(graph.inputs.map((input) => [input.name, memory.buffer(24, 0, input.name)]));
    const sizes = new Map([...plan.values].map(([name, elements]) => [name, 4 * elements]));
    memory.place(plan.dispatches, sizes, new Set(graph.outputs), placed);
    /** Who wrote last into each buffer: a reader must find what it asks for. */
    const holds = new Map(graph.inputs.map((input) => [placed.get(input.name), input.name]));
    for (const dispatch of plan.dispatches) {
      const out = written(dispatch).map((name) => placed.get(name));
      for (const name of read(dispatch)) {
        assert.equal(holds.get(placed.get(name)), name, `${dispatch.name} reads ${name}`);
        assert.ok(!out.includes(placed.get(name)), `${dispatch.name} writes what it reads`);
      }
      for (const [i, name] of written(dispatch).entries()) {
        assert.ok(out[i].size >= sizes.get(name));
        holds.set(out[i], name);
      }
    }
    for (const name of graph.outputs) assert.equal(holds.get(placed.get(name)), name, `the output ${name} is kept`);
    const whole = [...sizes.values()].reduce((a, b) => a + b, 0);
    assert.ok(memory.activationBytes <= whole);
  });
}

test("the graphs have every fusion in them", () => {
  delete fusions.turned; // with its caches: tests/browser/test_few_rows.py
  assert.deepEqual(Object.keys(fusions).sort(), ["add_layer_norm", "add_rms_norm", "embedding_add", "gated", "joined_linears", "linear_activation", "norm_linear", "residual", "window_linear"]);
  for (const [kind, count] of Object.entries(fusions)) assert.ok(count >= 20, `${kind}: ${count}`);
});

test("windows are written where their linear cannot find them itself", () => {
  const attrs = { batch: 2, sequence: 9, kernel: 3, stride: 2, padding: 1 };
  const node = (op, name, inputs, shape, more = {}) => ({ op, name, inputs, output: `v${name}`, shape, weights: [], attrs: {}, updates: [], ...more });
  const made = (rows, more, forced = {}) => {
    const nodes = [
      node("unfold", "u", ["x"], [rows, 24], { attrs: { ...attrs, batch: rows / 5 } }),
      node("linear", "l", ["vu"], [rows, 6], { weights: ["w"] }),
      ...more,
    ];
    const program = { weights: [{ name: "w", shape: [6, 24] }], states: [], quantization: { w: { bits: 16, group_size: null, scheme: null, k: 24, kp: 24 } } };
    const graph = { inputs: [{ name: "x", shape: [(9 * rows) / 5, 8], dtype: "float32", maximum: 0 }], nodes, outputs: [nodes.at(-1).output] };
    return makePlan(gpu, program, graph, forced);
  };
  const shaders = (plan) => plan.dispatches.map((d) => d.variant.shader);
  const WINDOW = { WINDOW: 1 };
  const joined = made(10, [], WINDOW);
  assert.deepEqual(shaders(joined), ["matmul_tile"]);
  assert.equal(joined.fused.window_linear, 1);
  const [{ variant, bindings, bytes, flops }] = joined.dispatches;
  assert.deepEqual(variant.constants, { M: 10, N: 6, K: 24, KP: 24, STEPS: 9, WINDOWS: 5, STRIDE: 2, PADDING: 1 });
  assert.deepEqual([variant.values.WINDOW, variant.values.KERNEL, variant.values.KVEC], [1, 3, 0]);
  assert.ok(bindings.some(([slot, r]) => slot === 4 && r.value === "x"));
  assert.equal(bytes, 6 * 24 * 2 + 4 * (18 * 8 + 10 * 6), "the windows are neither written nor read");
  assert.equal(flops, 2 * 10 * 6 * 24);
  const [told] = made(10, [], { ...WINDOW, UNIFORM: 1 }).dispatches;
  assert.deepEqual(told.variant.constants, {});
  assert.deepEqual(told.bindings.filter(([slot]) => slot >= 14).map(([, r]) => r.words), [[10, 6, 24, 24], [9, 5, 2, 1]]);
  assert.deepEqual(shaders(made(5, [], WINDOW)), ["unfold", "matmul_row"], "few rows");
  assert.deepEqual(shaders(made(10, [], { ...WINDOW, ROW_KERNEL: 1 })), ["unfold", "matmul_row"], "the same, forced");
  assert.deepEqual(shaders(made(10, [])), ["unfold", "matmul_tile"], "nobody asked");
  const beside = node("activation", "a", ["vu"], [10, 24], { attrs: { kind: "relu" } });
  assert.deepEqual(shaders(made(10, [beside], WINDOW)), ["unfold", "matmul_tile", "activation"], "another reader");
});

test("a chain reuses its buffers", () => {
  const nodes = [...Array(12)].map((_, i) => ({
    op: "activation", name: `a${i}`, inputs: [i ? `v${i - 1}` : "x"], output: `v${i}`, shape: [4, 8], weights: [],
    attrs: { kind: "relu" }, updates: [],
  }));
  const graph = { inputs: [{ name: "x", shape: [4, 8], dtype: "float32", maximum: 0 }], nodes, outputs: ["v11"] };
  const plan = makePlan(gpu, { weights: [], quantization: {}, states: [] }, graph, {});
  const memory = new Memory(device);
  memory.place(plan.dispatches, new Map([...plan.values].map(([name, n]) => [name, 4 * n])), new Set(["v11"]), new Map([["x", {}]]));
  assert.equal(memory.owned.size, 3, "two in turn, and the output, which nobody else gets");
});

test("an operator without a kernel, and a weight that is none, are named", () => {
  const node = { op: "convolve", name: "c", inputs: ["x"], output: "y", shape: [1, 1], weights: [], attrs: {}, updates: [] };
  const bare = { inputs: [], outputs: ["y"] };
  assert.throws(() => makePlan(gpu, { weights: [] }, { ...bare, nodes: [node] }, {}), /no kernel for operator convolve/);
  const table = { ...node, op: "embedding", weights: ["w"] };
  const program = { weights: [], quantization: {} };
  assert.throws(() => makePlan(gpu, program, { ...bare, nodes: [table] }, {}), /names no weight w/);
  assert.throws(() => new Memory(device).of({ value: "nobody" }, new Map()), /nothing is placed for nobody/);
});
