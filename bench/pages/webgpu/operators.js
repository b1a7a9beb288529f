import * as decoder from "./decoder.js";

/** @import {Planner} from "./plan.js" */
/** @import {GraphNode} from "../runtime/types.d.ts" */

/**
 * One function an operator of the graph: it pushes the dispatches that compute the node's output.
 * @type {Record<string, (planner: Planner, node: GraphNode) => void>}
 */
export const OPERATORS = {
  embedding: (planner, node) => planner.embedding(node),
  add: (planner, node) => planner.sum(node),
  layer_norm: (planner, node) => planner.layerNorm(node, null, node),
  linear: (planner, node) => planner.linear(node),
  activation: decoder.activation,
  attention: (planner, node) => planner.attention(node),
  unfold: (planner, node) => planner.unfold(node),
  mean_pool: (planner, node) => planner.simple(node, "mean_pool", { sequence: Number(node.attrs.sequence) }),
  first_token: (planner, node) => planner.simple(node, "first_token", { sequence: Number(node.attrs.sequence) }),
  l2_normalize: (planner, node) => planner.simple(node, "l2_normalize", { epsilon: Number(node.attrs.epsilon) }),
  softmax: (planner, node) => planner.simple(node, "softmax"),
  multiply: decoder.multiply,
  rms_norm: (planner, node) => decoder.rmsNorm(planner, node),
  rope: decoder.rope,
  cached_attention: decoder.cachedAttention,
  last_token: decoder.lastToken,
  next_token: decoder.nextToken,
};
