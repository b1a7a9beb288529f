// Dawn compiles every variant for a device with no more than one feature set has.
import assert from "node:assert/strict";
import test from "node:test";

import { variants } from "../../bench/pages/lab_variants.js";
import { SETS, codeOf, compiles, gpuOf } from "./dawn.js";

for (const [name, set] of Object.entries(SETS)) {
  test(`every variant compiles with ${name}`, async () => {
    const { gpu, device } = await gpuOf(set);
    const list = variants(gpu);
    const seen = new Set();
    for (const variant of list) {
      const code = codeOf(gpu, variant);
      if (seen.has(code)) continue;
      seen.add(code);
      await compiles(device, variant, code);
    }
    assert.ok(seen.size >= 100, `${seen.size} texts`);
    assert.equal(list.some((one) => one.values.MATRICES === 1), name === "all");
    assert.equal(list.some((one) => one.values.FIXED === 1), name !== "least");
  });
}

test("what Dawn does not know is told", async () => {
  const { device } = await gpuOf(SETS.stock);
  const { messages } = await device.createShaderModule({ code: "enable f16; @compute @workgroup_size(1) fn main() {}" }).getCompilationInfo();
  assert.match(messages.map((one) => one.message).join(), /f16/);
});
