// out[R, H] = softmax of each row: one workgroup a row, the maximum taken out first.
//#include common
@group(0) @binding(0) var<storage, read> x: array<scalar>;
@group(0) @binding(1) var<storage, read_write> out: array<scalar>;

override H: u32;
const THREADS = 64u;
var<workgroup> values: array<f32, THREADS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let base = group.x * H;
  var largest = -3.0e38;
  for (var i = thread; i < H; i += THREADS) {
    largest = max(largest, f32(x[base + i]));
  }
  values[thread] = largest;
  workgroupBarrier();
  for (var half = THREADS / 2u; half > 0u; half /= 2u) {
    if (thread < half) {
      values[thread] = max(values[thread], values[thread + half]);
    }
    workgroupBarrier();
  }
  largest = values[0];
  workgroupBarrier();
  var mine = 0.0;
  for (var i = thread; i < H; i += THREADS) {
    mine += exp(f32(x[base + i]) - largest);
  }
  values[thread] = mine;
  workgroupBarrier();
  for (var half = THREADS / 2u; half > 0u; half /= 2u) {
    if (thread < half) {
      values[thread] += values[thread + half];
    }
    workgroupBarrier();
  }
  // A row of nothing but -inf: zeros.
  let scale = select(1.0 / values[0], 0.0, values[0] == 0.0);
  for (var i = thread; i < H; i += THREADS) {
    out[base + i] = scalar(exp(f32(x[base + i]) - largest) * scale);
  }
}
