// What both matmuls bind and read: packed weights, bias and activations.
//#if BIAS
@group(0) @binding(3) var<storage, read> bias: array<u32>;
//#endif
//#if WIDE_A
alias given = f32;
//#else
alias given = scalar;
//#endif
//#if RAW
@group(0) @binding(4) var<storage, read> a: array<vec4<u32>>; // eight halves each
//#else
//#if KVEC
@group(0) @binding(4) var<storage, read> a: array<vec4<given>>;
//#else
@group(0) @binding(4) var<storage, read> a: array<given>;
//#endif
//#endif
//#if WIDE
alias result = f32;
//#else
alias result = scalar;
//#endif
@group(0) @binding(5) var<storage, read_write> out: array<result>;
//#include weights
//#include activation

//#if UNIFORM
// Shapes are told at each call, so that one pipeline serves them all: a processor takes half a second to make one.
@group(0) @binding(15) var<uniform> shape: vec4<u32>;
var<private> M: u32;
var<private> N: u32;
var<private> K: u32;
fn take_shape() {
  M = shape.x;
  N = shape.y;
  K = shape.z;
  take_row(shape.w);
}
//#else
override M: u32;
override N: u32;
override K: u32;
fn take_shape() {}
//#endif

//#if WINDOW
// A convolution: `a` is x[B * STEPS, K / KERNEL], and a row of the matrix is one of its windows (see unfold.wgsl),
// which are WINDOWS a sequence.
const KERNEL = ${KERNEL}u;
//#if UNIFORM
@group(0) @binding(14) var<uniform> window: vec4<u32>;
//#else
override STEPS: u32;
override WINDOWS: u32;
override STRIDE: u32;
override PADDING: u32;
//#endif

// Four neighbouring values of a window; zeros outside the sequence and outside the matrix.
fn load_a(row: u32, k4: u32) -> vec4<f32> {
//#if UNIFORM
  let STEPS = window.x;
  let WINDOWS = window.y;
  let STRIDE = window.z;
  let PADDING = window.w;
//#endif
  var v = vec4<f32>();
  if (row >= M) {
    return v;
  }
  let channels = K / KERNEL;
  let base = row / WINDOWS * STEPS;
  // Counted from PADDING rows before the sequence, so that it never is negative.
  let first = row % WINDOWS * STRIDE;
//#for i 0 4
  {
    let k = k4 * 4u + ${i}u;
    let at = first + k % KERNEL;
    if (k < K && at >= PADDING && at < STEPS + PADDING) {
      v[${i}] = f32(a[(base + at - PADDING) * channels + k / KERNEL]);
    }
  }
//#endfor
  return v;
}
//#else
//#if !RAW
// Four neighbouring activations; zeros outside the matrix.
fn load_a(row: u32, k4: u32) -> vec4<f32> {
  if (row >= M) {
    return vec4<f32>();
  }
//#if KVEC
  if (k4 * 4u < K) {
    return vec4<f32>(a[row * (K / 4u) + k4]);
  }
  return vec4<f32>();
//#else
  var v = vec4<f32>();
  let k = k4 * 4u;
  let base = row * K + k;
  if (k < K) { v.x = f32(a[base]); }
  if (k + 1u < K) { v.y = f32(a[base + 1u]); }
  if (k + 2u < K) { v.z = f32(a[base + 2u]); }
  if (k + 3u < K) { v.w = f32(a[base + 3u]); }
  return v;
//#endif
}
//#endif
//#endif
