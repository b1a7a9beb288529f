import { tracked } from "./context.js";

/** @import {Program} from "../runtime/types.d.ts" */

/** Float32 bytes of each packed matrix that a product reads. @param {Program} program @returns {number[]} */
export function matrixBytes(program) {
  const names = new Set(
    Object.values(program.entries).flatMap(({ nodes }) =>
      nodes.filter(({ op }) => op === "linear").map(({ weights }) => weights[0]),
    ),
  );
  const packed = program.weights.filter(({ name }) => names.has(name) && program.quantization[name].bits < 16);
  return packed.map(({ shape }) => 4 * shape[0] * shape[1]);
}

/**
 * The values of an operand that needs no input, as the browser itself computes them: a graph of its own, run once.
 * @param {MLContext} context @param {(builder: any) => MLOperand} make
 * @returns {Promise<Float32Array>}
 */
export async function computedOnce(context, make) {
  const builder = new MLGraphBuilder(context);
  const values = make(tracked(builder));
  const graph = await builder.build({ values });
  const tensor = await context.createTensor({ dataType: "float32", shape: values.shape, readable: true });
  try {
    context.dispatch(graph, {}, { values: tensor });
    return new Float32Array(await context.readTensor(tensor));
  } finally {
    tensor.destroy();
    graph.destroy();
  }
}

/** Half floats where these hold every value exactly, else the values themselves. @param {Float32Array} values */
export function narrowest(values) {
  const halves = new Float16Array(values);
  return values.every((value, i) => value === halves[i]) ? halves : values;
}
