// The shapes that pass between the rooms of the page, and the WebNN names that TypeScript's library lacks.

/** What a model family yields; the same JSON that `bench/models/program.py` writes, and how each matrix is packed. */
export interface Program {
  format: string;
  name: string;
  family: string;
  weights: { name: string; shape: number[]; role: string }[];
  states: State[];
  entries: Record<string, Graph>;
  phases: Phase[];
  /** The state in which the tokens stand that were chosen, by position; null where none are. */
  transcript: string | null;
  quantization: Record<string, Quantization>;
}

/** What lives on the device between calls; zeros after a reset. */
export interface State {
  name: string;
  shape: number[];
  dtype: "float" | "int32";
}

/** What is timed apart: calls of one entry. After so many `calls` the whole-numbered states are set back (0: never). */
export interface Phase {
  name: string;
  entry: string;
  unit: "inference" | "token";
  calls: number;
}

/** One entry of a program. */
export interface Graph {
  inputs: { name: string; shape: number[]; maximum: number; dtype: "int32" | "float32" }[];
  nodes: GraphNode[];
  outputs: string[];
}

export interface GraphNode {
  op: string;
  name: string;
  inputs: string[];
  output: string;
  shape: [number, number];
  weights: string[];
  attrs: Record<string, number | string>;
  /** States among the inputs that it writes in place. */
  updates: string[];
}

/** How one matrix is packed: codes along K in groups, KP codes a row with padding. */
export interface Quantization {
  bits: number;
  group_size: number;
  scheme: "symmetric" | "asymmetric";
  k: number;
  kp: number;
  /** All values are multiplied with 2 to the power of it; 0 where it is absent. */
  exponent?: number;
}

/** A tensor out of a safetensors file; `bytes` is a view, not a copy. */
export interface StoredTensor {
  dtype: string;
  shape: number[];
  bytes: Uint8Array;
}

export type Tensors = Map<string, StoredTensor>;

/** A tensor, or a part of one that begins at byte `at` of it, a multiple of 4. */
export interface Segment {
  name: string;
  at: number;
  bytes: Uint8Array;
}

/** Where weights come from, in the page already or not. */
export interface TensorSource {
  /** Bytes of a tensor; undefined where there is none of that name. */
  size(name: string): number | undefined;
  /** A copy of a tensor's bytes, aligned for any view. */
  bytes(name: string): Promise<Uint8Array>;
  /** Hand over every tensor once; `pause` is awaited now and then, with how much of it is done. */
  stream(take: (segment: Segment) => void, pause: (done: number, all: number) => Promise<void>): Promise<void>;
  /** Keep nothing; nobody will ask again. */
  release(): void;
}

/** Told of a stage that takes long, so that it is not taken for a hang. */
export type Progress = () => Promise<void>;
export type Inputs = Map<string, Int32Array | Float32Array>;
export type Outputs = Map<string, Float32Array>;

/** What a backend can do; WebGPU and WebNN are the same to the runner. */
export interface Backend {
  /** Make buffers or operands; throws StageError("build"). */
  build(progress: Progress): Promise<void>;
  /** Make pipelines or the graph; throws StageError("compile"). */
  compile(): Promise<void>;
  /** Every state becomes zeros. */
  reset(): Promise<void>;
  setInputs(entry: string, inputs: Inputs): Promise<void>;
  /** Overwrite the named states. */
  setStates(states: Inputs): Promise<void>;
  /** Remember the whole-numbered states, for `run` to set them back to. */
  mark(): Promise<void>;
  /**
   * Submit `count` calls of an entry and wait until the last is done; a failure is of that stage. Before each `back`
   * calls the whole-numbered states are set back to the mark; 0: never.
   */
  run(entry: string, count: number, stage?: string, back?: number): Promise<void>;
  /** Wait until uploads are done, so that no inference is timed with them. */
  flush(): Promise<void>;
  read(entry: string): Promise<Outputs>;
  /** A state of whole numbers; absent where an engine runs no program that chooses tokens. */
  readState?(name: string): Promise<number[]>;
  /** Overwrite the outputs, so that a run that writes nothing cannot pass for one that did. */
  poison(entry: string): Promise<void>;
  /** GPU time of one call in ms, or null where it cannot be had; no further pass begins after the budget. */
  gpuTime(entry: string, budget_ms: number): Promise<number | null>;
  /** What one call gives the device to do; null where that cannot be seen. */
  dispatches(entry: string): number | null;
  /** What the adapter reaches at most, and the work of one inference; absent where neither can be seen. */
  ceilings?(): Promise<Record<string, unknown>>;
  /** Constants for single kernels that the program runs with; absent where an engine has none. */
  used?(): Record<string, Record<string, number>>;
  /** Find such constants for kernels that have none yet; every entry has run once. */
  tune?(how: { seconds: number; forms: number }, progress: () => Promise<void>): Promise<Tuned>;
  /** Look at what was compiled, apart from every time; absent where nothing is to be looked up. */
  inspect?(): Promise<void>;
  /** What really runs, read off what was built. */
  describe(): Effective;
  destroy(): void;
}

export interface TunedKernel {
  key: string;
  constants: Record<string, number>;
  default_ms: number;
  tuned_ms: number;
  tried: number;
  refused: number;
  wrong: number;
}

/** What tuning came to, for this adapter and feature set; `left`: kernels for which there was no time. */
export interface Tuned {
  adapter: string;
  features: string;
  found: TunedKernel[];
  left: TunedKernel[];
  /** Kernels of which constants were known before. */
  known: number;
}

/** What ran, as far as the page sees it; null where it cannot. */
export interface Effective {
  /** Absent where it is our own. */
  engine?: string;
  engine_version?: string | null;
  platform: "webgpu" | "webnn" | "wasm";
  /** `cpu` (software adapters too), `gpu`, or what WebNN names; null where the browser does not say. */
  device: string | null;
  bits: number | null;
  bits_mean: number | null;
  group_size: number | null;
  scheme: string | null;
  activations: "f16" | "f32" | "int8-static";
  /** The largest feature set that the device has; null where that cannot be seen. */
  features: "stock" | "f16" | "all" | null;
  weight_path: string;
  /** How the page waits for the work, and what a plain wait would have cost; null where there is no such choice. */
  wait: "eager" | "plain" | null;
  completion_ms: number | null;
  weight_bytes: number;
  notes: Record<string, unknown>;
}

/** How one matrix is stored where it is computed with. */
export interface Format {
  bits: number;
  group_size: number | null;
  scheme: string | null;
  parameters: number;
}

export type Formats = Map<string, Format>;

export interface VerifiedCall {
  label: string;
  entry: string;
  first: boolean;
  forced: string[];
  verified: boolean;
}

/** The run's description, as the harness serves it. */
export interface Task {
  platform: "webgpu" | "webnn" | "wasm";
  engine: string;
  label: string;
  bits: number;
  device: "auto" | "cpu" | "gpu" | "npu";
  /** What of the browser may be used; see `webgpu/device.js`. */
  features: "stock" | "f16" | "all";
  experimental: boolean;
  /** How a WebNN graph holds its weights; see `webnn/plan.js`. */
  webnn_plan?: string;
  program: string;
  /** What the engine made of the bundle: file name -> path. */
  models: Record<string, string>;
  inputs: string;
  /** What is verified, in order; `first` of a set comes after a reset, `forced` states get given values before it. */
  calls: VerifiedCall[];
  shaders: string[];
  modules: string[];
  iterations: number | null;
  max_seconds: number;
  precision: number;
  tuning: Record<string, number>;
  /** Constants that were found for single kernels in this build of the browser, on whatever adapters. */
  tuned?: { adapter: string; features: string; kernels: string; key: string; constants: Record<string, number> }[];
  /** The hash of our own code, of which such constants hold; the page adds it. */
  code?: string;
  /** Find constants for kernels that have none: `on` which adapters, within so many seconds; `only` that. */
  tune?: { on: "gpu" | "any"; seconds: number; forms: number; only: boolean } | null;
  /** Ask for a device with no more than every device has. */
  least_limits?: boolean;
  roofline: boolean;
  fault?: string;
}

declare global {
  // WebNN, as Chromium 153 implements it.
  interface MLOperand { readonly dataType: string; readonly shape: number[] }
  interface MLTensor { destroy(): void }
  interface MLGraph { readonly devices?: string[]; destroy(): void }
  interface MLContext {
    readonly accelerated?: boolean;
    readonly lost: Promise<{ message: string }>;
    opSupportLimits(): Record<string, any>;
    createTensor(descriptor: object): Promise<MLTensor>;
    writeTensor(tensor: MLTensor, data: AllowSharedBufferSource): void;
    readTensor(tensor: MLTensor): Promise<ArrayBuffer>;
    dispatch(graph: MLGraph, inputs: Record<string, MLTensor>, outputs: Record<string, MLTensor>): void;
    destroy(): void;
  }
  interface ML { createContext(options?: object): Promise<MLContext> }
  interface Navigator { readonly ml?: ML }
  class MLGraphBuilder {
    constructor(context: MLContext);
    [operator: string]: any;
    build(outputs: Record<string, MLOperand>): Promise<MLGraph>;
  }
}
