// out = x / sqrt(mean(x^2) + EPSILON) * gamma, x = a (+ b): one workgroup for each of the GROUPS parts, of H values,
// of a row. `a` may be columns of a wider buffer. SUM keeps a + b for whoever reads it later. With EACH a thread keeps
// so many values between the two passes, all of whose loads are on their way at once.
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
//#include row_total

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let source = group.x / GROUPS * STRIDE + OFFSET + group.x % GROUPS * H;
  let target_row = group.x * H;
  var mine = 0.0;
//#if EACH
//#for e 0 ${EACH}
  let i_${e} = thread + ${e}u * THREADS;
  var x_${e} = 0.0;
  if (i_${e} < H) {
    x_${e} = f32(a[source + i_${e}]);
//#if ADD
    x_${e} += f32(b[target_row + i_${e}]);
//#endif
  }
//#endfor
//#for e 0 ${EACH}
//#if SUM
  if (i_${e} < H) { sum[target_row + i_${e}] = x_${e}; }
//#endif
  mine += x_${e} * x_${e};
//#endfor
//#else
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
//#endif
  let scale = inverseSqrt(row_total(thread, mine) / f32(H) + EPSILON);
//#if EACH
//#for e 0 ${EACH}
  if (i_${e} < H) {
    out[target_row + i_${e}] = result(x_${e} * scale * unpack2x16float(gamma[i_${e} >> 1u])[i_${e} & 1u]);
  }
//#endfor
//#else
  for (var i = thread; i < H; i += THREADS) {
    var x = f32(a[source + i]);
//#if ADD
    x += f32(b[target_row + i]);
//#endif
    out[target_row + i] = result(x * scale * unpack2x16float(gamma[i >> 1u])[i & 1u]);
  }
//#endif
}
