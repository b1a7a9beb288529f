// A fixed amount of arithmetic that no model shares: timed in every session, it is the machine's thermometer.
@group(0) @binding(0) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  var x = f32(id.x) * 0.001;
  for (var i = 0u; i < 256u; i++) {
    x = fma(x, 0.999, 0.001);
  }
  out[id.x] = x;
}
