// out = act(x), element by element, where it could not be joined to the matmul before it.
//#include common
@group(0) @binding(0) var<storage, read> x: array<scalar>;
@group(0) @binding(1) var<storage, read_write> out: array<scalar>;
//#include activation

override COUNT: u32;

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let index = id.x + id.y * groups.x * 256u;
  if (index < COUNT) {
    out[index] = scalar(activate(f32(x[index])));
  }
}
