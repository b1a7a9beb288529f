// out[R, H] = (x - mean) / sqrt(variance + EPSILON) * gamma + beta, x = a (+ b): one workgroup a row.
//#include common
@group(0) @binding(0) var<storage, read> gamma: array<u32>;
@group(0) @binding(1) var<storage, read> beta: array<u32>;
@group(0) @binding(2) var<storage, read> a: array<scalar>;
//#if ADD
@group(0) @binding(3) var<storage, read> b: array<scalar>;
//#endif
@group(0) @binding(4) var<storage, read_write> out: array<scalar>;

override H: u32;
override EPSILON: f32;
const THREADS = ${THREADS}u;
var<workgroup> sums: array<f32, THREADS>;

fn value(index: u32) -> f32 {
//#if ADD
  return f32(a[index]) + f32(b[index]);
//#else
  return f32(a[index]);
//#endif
}

fn total(thread: u32, mine: f32) -> f32 {
  sums[thread] = mine;
  workgroupBarrier();
  for (var half = THREADS / 2u; half > 0u; half /= 2u) {
    if (thread < half) {
      sums[thread] += sums[thread + half];
    }
    workgroupBarrier();
  }
  let result = sums[0];
  workgroupBarrier();
  return result;
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let base = group.x * H;
  // Told from the row's first value: of a row of equal values nothing is left, where the rounding of a plain
  // mean would be all that is divided by its own size.
  let first = value(base);
  var sum = 0.0;
  for (var i = thread; i < H; i += THREADS) {
    sum += value(base + i) - first;
  }
  let mean = total(thread, sum) / f32(H);
  // The second pass costs a read that the cache holds, and keeps what E[x^2] - E[x]^2 would cancel.
  var squares = 0.0;
  for (var i = thread; i < H; i += THREADS) {
    let d = value(base + i) - first - mean;
    squares += d * d;
  }
  let scale = inverseSqrt(total(thread, squares) / f32(H) + EPSILON);
  for (var i = thread; i < H; i += THREADS) {
    let g = unpack2x16float(gamma[i >> 1u])[i & 1u];
    let o = unpack2x16float(beta[i >> 1u])[i & 1u];
    out[base + i] = scalar((value(base + i) - first - mean) * scale * g + o);
  }
}
