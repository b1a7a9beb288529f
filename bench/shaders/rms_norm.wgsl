// out = x / sqrt(mean(x^2) + EPSILON) * gamma, x = a (+ b): one workgroup for each of the GROUPS parts, of H values,
// of a row. `a` may be columns of a wider buffer. SUM keeps a + b for whoever reads it later.
//#include common
@group(0) @binding(0) var<storage, read> gamma: array<u32>;
//#if WIDE
@group(0) @binding(1) var<storage, read> a: array<f32>;
//#else
@group(0) @binding(1) var<storage, read> a: array<scalar>;
//#endif
//#if ADD && WIDE_B
@group(0) @binding(2) var<storage, read> b: array<f32>;
//#endif
//#if ADD && !WIDE_B
@group(0) @binding(2) var<storage, read> b: array<scalar>;
//#endif
//#if SUM
@group(0) @binding(3) var<storage, read_write> sum: array<f32>;
//#endif
//#if WIDE_OUT
alias result = f32;
//#else
alias result = scalar;
//#endif
@group(0) @binding(4) var<storage, read_write> out: array<result>;

override H: u32;
override EPSILON: f32;
override GROUPS: u32;
override STRIDE: u32;
override OFFSET: u32;
const THREADS = ${THREADS}u;
var<workgroup> squares: array<f32, THREADS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let source = group.x / GROUPS * STRIDE + OFFSET + group.x % GROUPS * H;
  let target_row = group.x * H;
  var mine = 0.0;
  for (var i = thread; i < H; i += THREADS) {
    var x = f32(a[source + i]);
//#if ADD
    x += f32(b[target_row + i]);
//#endif
//#if SUM
    sum[target_row + i] = x;
//#endif
    mine += x * x;
  }
  squares[thread] = mine;
  workgroupBarrier();
  for (var half = THREADS / 2u; half > 0u; half /= 2u) {
    if (thread < half) {
      squares[thread] += squares[thread + half];
    }
    workgroupBarrier();
  }
  let scale = inverseSqrt(squares[0] / f32(H) + EPSILON);
  for (var i = thread; i < H; i += THREADS) {
    var x = f32(a[source + i]);
//#if ADD
    x += f32(b[target_row + i]);
//#endif
    out[target_row + i] = result(x * scale * unpack2x16float(gamma[i >> 1u])[i & 1u]);
  }
}
