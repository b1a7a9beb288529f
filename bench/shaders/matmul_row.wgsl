// out[M, N] = act(a[M, K] * W[N, K]^T + bias), for one row or a few: bound by reading W once.
// A workgroup makes ROWS neighbouring outputs of one row; its threads walk K together, so that the activations
// are read once for all ROWS, and the zero point is taken out of the sum once a word, not once a code. Where rows
// are whole vectors of words (WVEC), a thread reads 16 bytes at a time.
//#include common
//#include matmul
const THREADS = ${THREADS}u;
const ROWS = ${ROWS}u;
var<workgroup> partial: array<f32, ${THREADS * ROWS}>;

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
//#if SUBGROUPS
  @builtin(subgroup_size) lanes: u32,
  @builtin(subgroup_invocation_id) lane: u32,
//#endif
) {
  let m = group.y;
  let n0 = group.x * ROWS;
//#for r 0 ${ROWS}
  var c_${r} = 0.0;
  let row_${r} = min(n0 + ${r}u, N - 1u);
//#endfor
//#if WVEC
  for (var chunk = thread; chunk < WORDS / 4u; chunk += THREADS) {
//#for x 0 ${32 / BITS}
    let x_${x} = load_a(m, chunk * ${32 / BITS}u + ${x}u);
//#endfor
//#if BITS < 16
//#for w 0 4
    var total_${w} = 0.0;
//#for p 0 ${8 / BITS + (BITS == 16)}
    total_${w} += dot(x_${w * (8 / BITS) + p}, vec4<f32>(1.0));
//#endfor
//#endfor
//#endif
//#for r 0 ${ROWS}
    {
      let words = codes[row_${r} * (WORDS / 4u) + chunk];
//#if BITS == 16
      c_${r} += dot(vec4<f32>(unpack2x16float(words.x), unpack2x16float(words.y)), x_0);
      c_${r} += dot(vec4<f32>(unpack2x16float(words.z), unpack2x16float(words.w)), x_1);
//#else
      var sum = 0.0;
//#for w 0 4
      {
        var part = -zero_of(row_${r}, chunk * 4u + ${w}u) * total_${w};
//#for p 0 ${8 / BITS}
        part += dot(codes4(words[${w}], ${p}u), x_${w * (8 / BITS) + p});
//#endfor
//#if GROUP * BITS >= 128
        sum += part;
//#else
        c_${r} += part * scale_of(row_${r}, chunk * 4u + ${w}u);
//#endif
      }
//#endfor
//#if GROUP * BITS >= 128
      c_${r} += sum * scale_of(row_${r}, chunk * 4u);
//#endif
//#endif
    }
//#endfor
  }
//#else
  for (var unit = thread; unit < UNITS; unit += THREADS) {
    let k4 = unit * (UNIT / 4u);
//#if BITS == 16
    let x = load_a(m, k4);
//#for r 0 ${ROWS}
    c_${r} += dot(half4(row_${r}, unit), x);
//#endfor
//#else
//#for p 0 ${32 / BITS / 4}
    let x_${p} = load_a(m, k4 + ${p}u);
//#endfor
    var total = 0.0;
//#for p 0 ${32 / BITS / 4}
    total += dot(x_${p}, vec4<f32>(1.0));
//#endfor
//#for r 0 ${ROWS}
    {
      let word = codes[row_${r} * WORDS + unit];
      var sum = -zero_of(row_${r}, unit) * total;
//#for p 0 ${32 / BITS / 4}
      sum += dot(codes4(word, ${p}u), x_${p});
//#endfor
      c_${r} += sum * scale_of(row_${r}, unit);
    }
//#endfor
//#endif
  }
//#endif
//#if SUBGROUPS
  // One value a subgroup remains; a workgroup's invocations fill its subgroups in order.
//#for r 0 ${ROWS}
  c_${r} = subgroupAdd(c_${r});
//#endfor
  let parts = (THREADS + lanes - 1u) / lanes;
  if (lane == 0u) {
//#for r 0 ${ROWS}
    partial[(thread / lanes) * ROWS + ${r}u] = c_${r};
//#endfor
  }
  workgroupBarrier();
//#else
//#for r 0 ${ROWS}
  partial[thread * ROWS + ${r}u] = c_${r};
//#endfor
  workgroupBarrier();
  for (var half = THREADS / 2u; half > 1u; half /= 2u) {
    if (thread < half) {
//#for r 0 ${ROWS}
      partial[thread * ROWS + ${r}u] += partial[(thread + half) * ROWS + ${r}u];
//#endfor
    }
    workgroupBarrier();
  }
  let parts = 2u;
//#endif
  let n = n0 + thread;
  if (thread < ROWS && n < N) {
    var sum = 0.0;
    for (var p = 0u; p < parts; p++) {
      sum += partial[p * ROWS + thread];
    }
//#if FACTORS && BITS == 16
    sum *= factor_of(n);
//#endif
//#if BIAS
    sum += unpack2x16float(bias[n >> 1u])[n & 1u];
//#endif
    out[m * N + n] = result(activate(sum));
  }
}
