// The sum over a workgroup of THREADS, in each thread; `parts` has room for one number a thread.
var<workgroup> parts: array<f32, THREADS>;

fn row_total(thread: u32, mine: f32) -> f32 {
//#if SUBGROUPS
  let own = subgroupAdd(mine);
  if (thread % ${LANES}u == 0u) { parts[thread / ${LANES}u] = own; }
  workgroupBarrier();
  var result = 0.0;
  for (var s = 0u; s < THREADS / ${LANES}u; s++) { result += parts[s]; }
//#else
  parts[thread] = mine;
  workgroupBarrier();
  for (var half = THREADS / 2u; half > 0u; half /= 2u) {
    if (thread < half) {
      parts[thread] += parts[thread + half];
    }
    workgroupBarrier();
  }
  let result = parts[0];
//#endif
  workgroupBarrier();
  return result;
}
