// out = a + b, element by element.
//#include common
//#if WIDE_A
@group(0) @binding(0) var<storage, read> a: array<f32>;
//#else
@group(0) @binding(0) var<storage, read> a: array<scalar>;
//#endif
//#if WIDE_B
@group(0) @binding(1) var<storage, read> b: array<f32>;
//#else
@group(0) @binding(1) var<storage, read> b: array<scalar>;
//#endif
//#if WIDE
alias result = f32;
//#else
alias result = scalar;
//#endif
@group(0) @binding(2) var<storage, read_write> out: array<result>;

override COUNT: u32;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let index = id.x + id.y * groups.x * 256u;
  if (index < COUNT) {
    out[index] = result(f32(a[index]) + f32(b[index]));
  }
}
