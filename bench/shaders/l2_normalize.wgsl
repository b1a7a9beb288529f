// out[R, H] = x / max(|x|, EPSILON): one workgroup a row.
//#include common
@group(0) @binding(0) var<storage, read> x: array<scalar>;
@group(0) @binding(1) var<storage, read_write> out: array<scalar>;

override H: u32;
override EPSILON: f32;
const THREADS = 64u;
var<workgroup> sums: array<f32, THREADS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let base = group.x * H;
  var mine = 0.0;
  for (var i = thread; i < H; i += THREADS) {
    let value = f32(x[base + i]);
    mine += value * value;
  }
  sums[thread] = mine;
  workgroupBarrier();
  for (var half = THREADS / 2u; half > 0u; half /= 2u) {
    if (thread < half) {
      sums[thread] += sums[thread + half];
    }
    workgroupBarrier();
  }
  let scale = 1.0 / max(sqrt(sums[0]), EPSILON);
  for (var i = thread; i < H; i += THREADS) {
    out[base + i] = scalar(f32(x[base + i]) * scale);
  }
}
