// out[R, H] = (x - mean) / sqrt(variance + EPSILON) * gamma + beta, x = a (+ b): one workgroup a row.
// With EACH a thread keeps so many values between the passes, all of whose loads are on their way at once.
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
//#include row_total

fn value(index: u32) -> f32 {
//#if ADD
  return f32(a[index]) + f32(b[index]);
//#else
  return f32(a[index]);
//#endif
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let base = group.x * H;
  // Told from the row's first value: of a row of equal values nothing is left, where the rounding of a plain
  // mean would be all that is divided by its own size.
  let first = value(base);
  var sum = 0.0;
//#if EACH
//#for e 0 ${EACH}
  let i_${e} = thread + ${e}u * THREADS;
  var x_${e} = 0.0;
  if (i_${e} < H) { x_${e} = value(base + i_${e}) - first; }
//#endfor
//#for e 0 ${EACH}
  sum += x_${e};
//#endfor
//#else
  for (var i = thread; i < H; i += THREADS) {
    sum += value(base + i) - first;
  }
//#endif
  let mean = row_total(thread, sum) / f32(H);
  // A second pass keeps what E[x^2] - E[x]^2 would cancel.
  var squares = 0.0;
//#if EACH
//#for e 0 ${EACH}
  if (i_${e} < H) { squares += (x_${e} - mean) * (x_${e} - mean); }
//#endfor
//#else
  for (var i = thread; i < H; i += THREADS) {
    let d = value(base + i) - first - mean;
    squares += d * d;
  }
//#endif
  let scale = inverseSqrt(row_total(thread, squares) / f32(H) + EPSILON);
//#if EACH
//#for e 0 ${EACH}
  if (i_${e} < H) {
    let g = unpack2x16float(gamma[i_${e} >> 1u])[i_${e} & 1u];
    let o = unpack2x16float(beta[i_${e} >> 1u])[i_${e} & 1u];
    out[base + i_${e}] = scalar((x_${e} - mean) * scale * g + o);
  }
//#endfor
//#else
  for (var i = thread; i < H; i += THREADS) {
    let g = unpack2x16float(gamma[i >> 1u])[i & 1u];
    let o = unpack2x16float(beta[i >> 1u])[i & 1u];
    out[base + i] = scalar((value(base + i) - first - mean) * scale * g + o);
  }
//#endif
}
