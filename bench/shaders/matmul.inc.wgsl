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
