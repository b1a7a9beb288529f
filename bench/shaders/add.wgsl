// out = a + b, element by element.
//#include common
@group(0) @binding(0) var<storage, read> a: array<scalar>;
@group(0) @binding(1) var<storage, read> b: array<scalar>;
@group(0) @binding(2) var<storage, read_write> out: array<scalar>;

override COUNT: u32;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let index = id.x + id.y * groups.x * 256u;
  if (index < COUNT) {
    out[index] = scalar(f32(a[index]) + f32(b[index]));
  }
}
