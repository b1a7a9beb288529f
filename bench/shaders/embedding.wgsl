// out[R, H] = table[ids[R], H] (+ other[R, H]): rows of a packed table, unpacked as they are read.
//#include common
@group(0) @binding(3) var<storage, read> ids: array<i32>;
//#if ADD
@group(0) @binding(4) var<storage, read> other: array<scalar>;
//#endif
//#if WIDE
alias result = f32;
//#else
alias result = scalar;
//#endif
@group(0) @binding(5) var<storage, read_write> out: array<result>;
//#include weights

override R: u32;
override H: u32;
override V: u32;

fn put(row: u32, k: u32, value: vec4<f32>) {
  for (var i = 0u; i < 4u; i++) {
    if (k + i < H) {
      let index = row * H + k + i;
//#if ADD
      out[index] = result(value[i] + f32(other[index]));
//#else
      out[index] = result(value[i]);
//#endif
    }
  }
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let unit = id.x;
  let row = id.y;
  if (unit >= UNITS || row >= R) {
    return;
  }
  let entry = min(u32(max(ids[row], 0)), V - 1u);
//#if BITS == 16
//#if FACTORS
  put(row, unit * 4u, half4(entry, unit) * factor_of(entry));
//#else
  put(row, unit * 4u, half4(entry, unit));
//#endif
//#else
  let word = codes[entry * WORDS + unit];
  let scale = scale_of(entry, unit);
  let shift = vec4<f32>(zero_of(entry, unit));
//#for p 0 ${32 / BITS / 4}
  put(row, unit * UNIT + ${4 * p}u, (codes4(word, ${p}u) - shift) * scale);
//#endfor
//#endif
}
