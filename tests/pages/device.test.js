import assert from "node:assert/strict";
import { test } from "node:test";
import { featureSet, featuresOf, lacking } from "../../bench/pages/webgpu/device.js";

const MATRICES = "chromium-experimental-subgroup-matrix";
const form = (componentType) => ({ componentType, resultComponentType: "f32", M: 16, N: 16, K: 16 });

/** An adapter as a browser shows one. */
const adapter = (features, configs) => ({ features: new Set(features), info: { subgroupMatrixConfigs: configs } });

test("a device is of the largest set that it has whole", () => {
  const sets = [
    [[], [], "stock"],
    [["subgroups"], [], "stock"],
    [["shader-f16"], [], "f16"],
    [["shader-f16", MATRICES], [form("f16")], "all"],
    // Units that multiply bytes only, and units without float16, are no set of ours.
    [["shader-f16", MATRICES], [form("i8")], "f16"],
    [[MATRICES], [form("f16")], "stock"],
  ];
  for (const [features, matrices, expected] of sets) {
    assert.equal(featureSet(new Set(features), matrices), expected);
    assert.equal(featuresOf(adapter(features, matrices)), expected);
  }
});

test("what is lacking of a set has a name", () => {
  const bare = adapter([], undefined);
  assert.equal(lacking(bare, "stock"), null);
  assert.equal(lacking(bare, "f16"), "shader-f16");
  assert.equal(lacking(bare, "all"), "shader-f16");
  const half = adapter(["shader-f16"], undefined);
  assert.equal(lacking(half, "f16"), null);
  assert.equal(lacking(half, "all"), MATRICES);
  assert.equal(lacking(adapter(["shader-f16", MATRICES], [form("i8")]), "all"), `${MATRICES} for f16`);
  assert.equal(lacking(adapter(["shader-f16", MATRICES], [form("f16")]), "all"), null);
});
