/**
 * Which execution provider runs each node, as onnxruntime itself logs it when a session is made. Its verbose log goes
 * to the console, line by line: a heading for each provider, then a line for each of its nodes.
 *
 * @typedef {Map<string, {nodes: number, operators: Map<string, number>}>} Placements by provider; operator -> nodes
 */

const CONSOLE = /** @type {const} */ (["log", "info", "debug", "warn", "error"]);
const HEADING = /placed on \[(\w+)\]\. Number of nodes: (\d+)/;
const NODE = /\]\s+([A-Za-z][\w.]*) \((.*)\)\s*$/;

/** @type {string[] | null} what is written to the console just now, where somebody listens */
let heard = null;

/**
 * Stand between the console and whoever writes to it. Before onnxruntime's WebAssembly is instantiated, for it keeps
 * the console's functions as it finds them.
 */
export function attend() {
  for (const name of CONSOLE) {
    const plain = console[name].bind(console);
    console[name] = (...words) => {
      if (heard) heard.push(...words.map(String).join(" ").split("\n"));
      else plain(...words);
    };
  }
}

/**
 * What is written to the console while work is done.
 * @template T
 * @param {() => Promise<T>} work
 * @returns {Promise<{result: T, lines: string[]}>}
 */
export async function listen(work) {
  /** @type {string[]} */
  const lines = [];
  heard = lines;
  try {
    return { result: await work(), lines };
  } finally {
    heard = null;
  }
}

/**
 * The placements in a verbose log; empty where there are none in it. Where one provider has all nodes, the log names
 * none of them.
 * @param {string[]} lines
 * @returns {Placements}
 */
export function placements(lines) {
  /** @type {Placements} */
  const found = new Map();
  /** @type {Map<string, number>} */
  let operators = new Map();
  let left = 0;
  for (const line of lines) {
    const heading = HEADING.exec(line);
    if (heading) {
      left = Number(heading[2]);
      operators = new Map();
      found.set(heading[1], { nodes: left, operators });
      continue;
    }
    const node = left > 0 ? NODE.exec(line) : null;
    if (!node) continue;
    operators.set(node[1], (operators.get(node[1]) ?? 0) + 1);
    left -= 1;
  }
  return found;
}

/**
 * Operators that another provider than the one asked for runs -> how many nodes.
 * @param {Placements} placed
 * @param {string} asked
 * @returns {Record<string, number>}
 */
export function elsewhere(placed, asked) {
  /** @type {Record<string, number>} */
  const found = {};
  for (const [provider, { nodes, operators }] of placed) {
    if (provider === asked) continue;
    if (operators.size === 0) found[`all operators (${provider})`] = nodes;
    for (const [operator, count] of operators) {
      const name = `${operator} (${provider})`;
      found[name] = (found[name] ?? 0) + count;
    }
  }
  return found;
}
