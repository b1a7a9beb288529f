// The next token is the index of the largest logit; COUNT positions are filled now, and it will stand at the next.
//#include common
//#include best
@group(0) @binding(0) var<storage, read> parts: array<vec2<f32>>;
@group(0) @binding(1) var<storage, read_write> token: array<i32>;
@group(0) @binding(2) var<storage, read_write> tokens: array<i32>;
@group(0) @binding(3) var<storage, read_write> length: array<i32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

override PARTS: u32;
override COUNT: i32;
override POSITIONS: i32;

@compute @workgroup_size(THREADS)
fn main(@builtin(local_invocation_index) thread: u32) {
  var mine = LOWEST;
  for (var i = thread; i < PARTS; i += THREADS) {
    mine = better(mine, parts[i]);
  }
  let best = best_of_all(thread, mine);
  if (thread == 0u) {
    let at = length[0] + COUNT;
    token[0] = i32(best.y);
    if (at < POSITIONS) {
      tokens[at] = i32(best.y);
    }
    length[0] = at;
    out[0] = best.x;
  }
}
