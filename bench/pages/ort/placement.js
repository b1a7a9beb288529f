/**
 * Which execution provider runs each node, as onnxruntime itself logs it when a session is made. Its verbose log goes
 * to the console, line by line: a heading for each provider, then a line for each of its nodes.
 *
 * @typedef {Map<string, Map<string, number>>} Placements provider -> operator -> nodes
 */

const CONSOLE = /** @type {const} */ (["log", "info", "debug", "warn", "error"]);
const HEADING = /placed on \[(\w+)\]\. Number of nodes: (\d+)/;
const NODE = /\]\s+([A-Za-z][\w.]*) \((.*)\)\s*$/;

/**
 * What is written to the console while work is done.
 * @template T
 * @param {() => Promise<T>} work
 * @returns {Promise<{result: T, lines: string[]}>}
 */
export async function listen(work) {
  /** @type {string[]} */
  const lines = [];
  const kept = CONSOLE.map((name) => console[name]);
  for (const name of CONSOLE) {
    console[name] = (...words) => {
      lines.push(...words.map(String).join(" ").split("\n"));
    };
  }
  try {
    return { result: await work(), lines };
  } finally {
    CONSOLE.forEach((name, index) => {
      console[name] = kept[index];
    });
  }
}

/**
 * The placements in a verbose log; empty where there are none in it.
 * @param {string[]} lines
 * @returns {Placements}
 */
export function placements(lines) {
  /** @type {Placements} */
  const found = new Map();
  let left = 0;
  /** @type {Map<string, number>} */
  let operators = new Map();
  for (const line of lines) {
    const heading = HEADING.exec(line);
    if (heading) {
      operators = found.get(heading[1]) ?? new Map();
      found.set(heading[1], operators);
      left = Number(heading[2]);
      continue;
    }
    const node = left > 0 ? NODE.exec(line) : null;
    if (!node) continue;
    operators.set(node[1], (operators.get(node[1]) ?? 0) + 1);
    left -= 1;
  }
  return found;
}
