/**
 * The template of `bench/shaders`: see its README for the directives. Expressions are integers over named values;
 * a name that is not given counts as 0 in a condition and is an error in a substitution.
 * @param {string} source
 * @param {Record<string, number>} values
 * @param {(name: string) => string} include gives the text of `NAME.inc.wgsl`
 * @returns {string}
 */
export function expand(source, values, include) {
  const lines = source.split("\n");
  const out = /** @type {string[]} */ ([]);
  emit(parse(lines, { at: 0 }, null), values, include, out);
  return out.join("\n");
}

/**
 * @typedef {{kind: "text", text: string} | {kind: "include", name: string}
 *   | {kind: "if", test: string, yes: Part[], no: Part[]}
 *   | {kind: "for", name: string, from: string, to: string, body: Part[]}} Part
 */

/**
 * @param {string[]} lines
 * @param {{at: number}} cursor
 * @param {string | null} inside the directive that is open
 * @returns {Part[]}
 */
function parse(lines, cursor, inside) {
  /** @type {Part[]} */
  const parts = [];
  while (cursor.at < lines.length) {
    const line = lines[cursor.at];
    const match = /^\s*\/\/#(\w+)\s*(.*)$/.exec(line);
    if (!match) {
      parts.push({ kind: "text", text: line });
      cursor.at++;
      continue;
    }
    const [, word, rest] = match;
    if (word === "else" || word === "endif" || word === "endfor") {
      if (inside === null) {
        throw new Error(`line ${cursor.at + 1}: //#${word} closes nothing`);
      }
      return parts;
    }
    cursor.at++;
    if (word === "include") {
      parts.push({ kind: "include", name: rest.trim() });
    } else if (word === "if") {
      const yes = parse(lines, cursor, "if");
      let no = /** @type {Part[]} */ ([]);
      if (closing(lines, cursor) === "else") {
        cursor.at++;
        no = parse(lines, cursor, "if");
      }
      close(lines, cursor, "endif");
      parts.push({ kind: "if", test: rest, yes, no });
    } else if (word === "for") {
      const [name, from, ...to] = rest.trim().split(/\s+/);
      const body = parse(lines, cursor, "for");
      close(lines, cursor, "endfor");
      parts.push({ kind: "for", name, from, to: to.join(" "), body });
    } else {
      throw new Error(`line ${cursor.at}: unknown directive //#${word}`);
    }
  }
  if (inside !== null) {
    throw new Error(`//#${inside} is never closed`);
  }
  return parts;
}

/** @param {string[]} lines @param {{at: number}} cursor */
function closing(lines, cursor) {
  return /^\s*\/\/#(\w+)/.exec(lines[cursor.at] ?? "")?.[1];
}

/** @param {string[]} lines @param {{at: number}} cursor @param {string} word */
function close(lines, cursor, word) {
  if (closing(lines, cursor) !== word) {
    throw new Error(`line ${cursor.at + 1}: expected //#${word}`);
  }
  cursor.at++;
}

/**
 * @param {Part[]} parts
 * @param {Record<string, number>} values
 * @param {(name: string) => string} include
 * @param {string[]} out
 */
function emit(parts, values, include, out) {
  for (const part of parts) {
    if (part.kind === "text") {
      out.push(substitute(part.text, values));
    } else if (part.kind === "include") {
      emit(parse(include(part.name).split("\n"), { at: 0 }, null), values, include, out);
    } else if (part.kind === "if") {
      emit(evaluate(part.test, values, true) ? part.yes : part.no, values, include, out);
    } else {
      const from = evaluate(substitute(part.from, values), values, false);
      const to = evaluate(substitute(part.to, values), values, false);
      for (let i = from; i < to; i++) {
        emit(part.body, { ...values, [part.name]: i }, include, out);
      }
    }
  }
}

/** @param {string} text @param {Record<string, number>} values */
function substitute(text, values) {
  return text.replace(/\$\{([^}]*)\}/g, (_, expression) => String(evaluate(expression, values, false)));
}

const LEVELS = [["||"], ["&&"], ["==", "!="], ["<", ">", "<=", ">="], ["<<"], ["+", "-"], ["*", "/", "%"]];

/**
 * Integer arithmetic without `eval`, which the page's content policy forbids. Division truncates.
 * @param {string} text
 * @param {Record<string, number>} values
 * @param {boolean} lenient unknown names are 0
 * @returns {number}
 */
function evaluate(text, values, lenient) {
  const tokens = text.match(/\d+|\w+|<<|[<>=!]=|&&|\|\||[-+*/%()<>!]/g) ?? [];
  let at = 0;
  /** @param {number} level @returns {number} */
  const binary = (level) => {
    if (level === LEVELS.length) {
      return unary();
    }
    let left = binary(level + 1);
    while (LEVELS[level].includes(tokens[at])) {
      const sign = tokens[at++];
      left = apply(sign, left, binary(level + 1));
    }
    return left;
  };
  /** @returns {number} */
  const unary = () => {
    const token = tokens[at++];
    if (token === "(") {
      const inner = binary(0);
      at++; // the closing parenthesis
      return inner;
    }
    if (token === "!") return unary() ? 0 : 1;
    if (token === "-") return -unary();
    if (/^\d+$/.test(token)) return Number(token);
    if (token in values) return values[token];
    if (lenient && /^\w+$/.test(token)) return 0;
    throw new Error(`shader template: ${token} in "${text}" has no value`);
  };
  const result = binary(0);
  if (at !== tokens.length) {
    throw new Error(`shader template: cannot read "${text}"`);
  }
  return result;
}

/** @param {string} sign @param {number} a @param {number} b @returns {number} */
function apply(sign, a, b) {
  switch (sign) {
    case "||": return a || b ? 1 : 0;
    case "&&": return a && b ? 1 : 0;
    case "==": return a === b ? 1 : 0;
    case "!=": return a !== b ? 1 : 0;
    case "<": return a < b ? 1 : 0;
    case ">": return a > b ? 1 : 0;
    case "<=": return a <= b ? 1 : 0;
    case ">=": return a >= b ? 1 : 0;
    case "<<": return a << b;
    case "+": return a + b;
    case "-": return a - b;
    case "*": return a * b;
    case "/": return Math.trunc(a / b);
    default: return a % b;
  }
}
