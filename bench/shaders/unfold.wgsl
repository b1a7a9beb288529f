// out[B * T, C * KERNEL] = the windows of x[B * S, C]: column c * KERNEL + i is channel c of row t * STRIDE + i -
// PADDING, zero outside the sequence. A matmul over it is the convolution.
//#include common
@group(0) @binding(0) var<storage, read> x: array<scalar>;
@group(0) @binding(1) var<storage, read_write> out: array<scalar>;

override COUNT: u32;
override C: u32;
override S: u32;
override T: u32;
override KERNEL: u32;
override STRIDE: u32;
override PADDING: u32;
const THREADS = ${THREADS}u;

@compute @workgroup_size(THREADS)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let index = id.x + id.y * groups.x * THREADS;
  if (index >= COUNT) {
    return;
  }
  let width = C * KERNEL;
  let row = index / width;
  let column = index % width;
  // Counted from PADDING rows before the sequence, so that it never is negative.
  let at = (row % T) * STRIDE + column % KERNEL;
  var value = scalar(0.0);
  if (at >= PADDING && at < S + PADDING) {
    value = x[((row / T) * S + at - PADDING) * C + column / KERNEL];
  }
  out[index] = value;
}
