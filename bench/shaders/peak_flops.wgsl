// Arithmetic and nothing else: eight independent chains of fma hide each other's latency, so that the time is
// that of the arithmetic units. ROUNDS times 8 chains of 4 lanes, two operations each: 64 * ROUNDS an invocation.
@group(0) @binding(0) var<storage, read_write> out: array<f32>;

override ROUNDS: u32;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let a = vec4<f32>(0.999, 0.998, 0.997, 0.996);
  let b = vec4<f32>(f32(id.x) * 1e-6);
  //#for i 0 8
  var x${i} = b + f32(${i});
  //#endfor
  for (var k = 0u; k < ROUNDS; k++) {
    //#for i 0 8
    x${i} = fma(x${i}, a, b);
    //#endfor
  }
  let sum = x0 + x1 + x2 + x3 + x4 + x5 + x6 + x7;
  out[id.x % arrayLength(&out)] = sum.x + sum.y + sum.z + sum.w;
}
