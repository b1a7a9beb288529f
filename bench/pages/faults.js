/**
 * What a page does to itself when the task names a fault (`bench/faults/catalogue.py`); loaded only then.
 * @import {Backend} from "./runtime/types.d.ts"
 * @import {Link} from "./runtime/link.js"
 */

/** @typedef {{link: Link, backend?: Backend}} Hands what a fault can get hold of */

/** @type {{end: () => void}[]} GPU devices and WebNN contexts as they were opened */
const opened = [];

/** @param {any} owner @param {string} name @param {(original: Function) => Function} make */
function replace(owner, name, make) {
  const original = owner[name];
  owner[name] = make(original);
}

/** A browser that looks for finished work so often, whatever the page does. */
const TIMER_MS = 100;

/** Take note of each GPU device. */
function watchDevices() {
  replace(GPUAdapter.prototype, "requestDevice", (original) => /** @this {GPUAdapter} @param {any[]} args */ async function (...args) {
    const device = await original.apply(this, args);
    opened.push({ end: () => device.destroy() });
    return device;
  });
}

/** @param {string} message */
const fails = (message) => () => () => Promise.reject(new DOMException(`fault: ${message}`, "OperationError"));

/** Work that hands an inference over and then goes wrong. @param {Hands} hands @param {() => unknown} act */
function whileMeasuring(hands, act) {
  const backend = /** @type {Backend} */ (hands.backend);
  const run = backend.run.bind(backend);
  let calls = 0;
  backend.run = async (entry, count, stage, back) => {
    await run(entry, count, stage, back);
    if (stage !== "verify" && ++calls === 3) await act();
  };
}

/**
 * The loop over tokens, told before it begins whom it is for; calls of a prompt pass as they are.
 * @param {Hands} hands @param {(run: Backend["run"], entry: string, count: number, stage?: string, back?: number) => Promise<void>} act
 */
function whileWriting(hands, act) {
  const backend = /** @type {Backend} */ (hands.backend);
  const run = backend.run.bind(backend);
  backend.run = (entry, count, stage, back) =>
    entry === "decode" && stage !== "verify" ? act(run, entry, count, stage, back) : run(entry, count, stage, back);
}

/** At which stage it begins, and what it does. @type {Record<string, [string, (hands: Hands) => unknown]>} */
const FAULTS = {
  no_webgpu: ["probe", () => Object.defineProperty(navigator, "gpu", { value: undefined })],
  no_adapter: ["probe", () => replace(GPU.prototype, "requestAdapter", () => async () => null)],
  device_refused: ["probe", () => replace(GPUAdapter.prototype, "requestDevice", fails("no device"))],
  no_f16: ["probe", () => replace(GPUAdapter.prototype, "requestDevice", (original) => /** @this {GPUAdapter} @param {GPUDeviceDescriptor} wanted */ function (wanted) {
    const left = [...(wanted.requiredFeatures ?? [])].filter((feature) => feature !== "shader-f16");
    return original.call(this, { ...wanted, requiredFeatures: left });
  })],
  small_bindings: ["probe", () => Object.defineProperty(GPUSupportedLimits.prototype, "maxStorageBufferBindingSize", { get: () => 1000 })],
  samples_on_timer: ["probe", () => replace(GPUQueue.prototype, "onSubmittedWorkDone", (original) => /** @this {GPUQueue} */ async function () {
    await original.call(this);
    await new Promise((resolve) => setTimeout(resolve, TIMER_MS - (performance.now() % TIMER_MS)));
  })],
  waits_plainly: ["probe", () => replace(GPUQueue.prototype, "submit", (original) => /** @this {GPUQueue} @param {GPUCommandBuffer[]} commands */ function (commands) {
    if (commands.length) original.call(this, commands);
  })],
  device_lost_building: ["build", () => { // by then the thermometer has come and gone with a device of its own
    watchDevices();
    replace(GPUDevice.prototype, "createBuffer", (original) => /** @this {GPUDevice} @param {any[]} args */ function (...args) {
      opened[0].end();
      return original.apply(this, args);
    });
  }],
  device_lost_measuring: ["verify", (hands) => whileMeasuring(hands, () => /** @type {any} */ (hands.backend).gpu.device.destroy())],
  device_lost_writing: ["verify", (hands) => whileWriting(hands, async (run, entry, count, stage, back) => {
    await run(entry, 17, stage, back);
    /** @type {any} */ (hands.backend).gpu.device.destroy();
    await run(entry, count - 17, stage);
  })],
  gpu_clock_fails: ["verify", (hands) => {
    const backend = /** @type {Backend} */ (hands.backend);
    replace(backend, "gpuTime", (original) => async (/** @type {string} */ entry, /** @type {number} */ budget_ms) => {
      if (entry !== "prefill") return original.call(backend, entry, budget_ms);
      await backend.reset(); // as after the states were set back and before the prompt was read again
      throw new DOMException("fault: no timestamps", "OperationError");
    });
  }],
  writes_on: ["verify", (hands) => whileWriting(hands, async (run, entry, count, stage, back) => {
    await run(entry, count, stage, back);
    await run(entry, 3, stage);
  })],
  wrong_token: ["verify", (hands) => whileWriting(hands, async (run, entry, count, stage, back) => {
    await run(entry, 5, stage, back);
    await /** @type {Backend} */ (hands.backend).setStates(new Map([["token", Int32Array.of(3)]]));
    await run(entry, count - 5, stage);
  })],
  validation_error: ["verify", (hands) => whileMeasuring(hands, () => {
    const { device } = /** @type {any} */ (hands.backend).gpu;
    device.queue.writeBuffer(device.createBuffer({ size: 16, usage: GPUBufferUsage.MAP_READ }), 0, new Uint8Array(16));
  })],
  buffer_too_large: ["build", () => {
    replace(GPUDevice.prototype, "createBuffer", (original) => /** @this {GPUDevice} @param {GPUBufferDescriptor} descriptor */ function (descriptor) {
      return original.call(this, { ...descriptor, size: this.limits.maxBufferSize + 4 });
    });
  }],
  stops_computing: ["warmup", (hands) => { /** @type {Backend} */ (hands.backend).run = async () => {}; }],
  no_webnn: ["probe", () => Object.defineProperty(navigator, "ml", { value: undefined })],
  context_refused: ["probe", () => { /** @type {any} */ (navigator.ml).createContext = fails("no context")(); }],
  operator_missing: ["probe", () => { Object.assign(MLGraphBuilder.prototype, { gemm: undefined }); }],
  graph_refused: ["probe", () => replace(MLGraphBuilder.prototype, "build", fails("refused"))],
  context_lost: ["verify", (hands) => whileMeasuring(hands, () => /** @type {any} */ (hands.backend).context.destroy())],
  dialog: ["verify", (hands) => whileMeasuring(hands, () => alert("fault: a dialog"))],
  navigates_away: ["verify", (hands) => whileMeasuring(hands, () => {
    location.href = "about:blank";
    return new Promise(() => {});
  })],
  never_done: ["verify", (hands) => whileMeasuring(hands, () => new Promise(() => {}))],
  infinite_loop: ["verify", (hands) => whileMeasuring(hands, () => { for (;;); })],
  done_twice: ["warmup", (hands) => { replace(hands.link, "event", (original) => async (/** @type {string} */ kind, /** @type {any} */ data) => {
    await original.call(hands.link, kind, data);
    if (kind === "done") await original.call(hands.link, kind, data);
  }); }],
  unhandled_rejection: ["verify", (hands) => whileMeasuring(hands, () => { Promise.reject(new Error("fault: unheard")); })],
  stray_exception: ["verify", (hands) => whileMeasuring(hands, () => {
    setTimeout(() => { throw new Error("fault: stray"); });
  })],
  clock_back: ["verify", (hands) => whileMeasuring(hands, () => {
    const now = performance.now.bind(performance);
    performance.now = () => now() - 3_600_000;
  })],
  event_of_garbage: ["verify", (hands) => whileMeasuring(hands, () => hands.link.post("event", "\0{]", "application/json"))],
  out_of_memory: ["verify", (hands) => whileMeasuring(hands, () => {
    const kept = [];
    for (;;) kept.push(Array.from({ length: 1000 }, (_, i) => ({ i })));
  })],
};

/**
 * Called at the beginning of each stage.
 * @param {string} name the task's fault
 * @param {string} stage
 * @param {Hands} hands
 */
export async function inject(name, stage, hands) {
  const fault = FAULTS[name];
  if (!fault) throw new Error(`the page knows no fault ${name}`);
  if (fault[0] === stage) await fault[1](hands);
}
