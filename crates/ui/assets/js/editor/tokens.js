// The lexer of PromQL for colours. It must give the same tokens as the server's.

/**
 * @typedef {"space" | "comment" | "string" | "number" | "duration" | "name" | "keyword" | "function" | "label" | "operator" | "punct" | "bad"} Kind
 * @typedef {{kind: Kind, from: number, to: number}} Token offsets in UTF-16 units
 */

export const AGGREGATIONS = ["sum", "avg", "count", "min", "max", "group", "stddev", "stdvar", "topk", "bottomk", "count_values", "quantile", "limitk", "limit_ratio"];
const KEYWORDS = new Set([...AGGREGATIONS, "and", "or", "unless", "atan2", "by", "without", "on", "ignoring", "group_left", "group_right", "bool", "offset", "start", "end", "step", "range", "anchored", "smoothed", "fill", "fill_left", "fill_right"]);
const NUMBER_WORDS = new Set(["inf", "nan"]);

const SPACE = /[ \t\r\n]+/y;
const COMMENT = /#[^\n\r]*/y;
const WORD = /[a-zA-Z_:][a-zA-Z0-9_:]*/y;
const DURATION = /(?:\d+(?:ms|[smhdwy]))+(?![a-zA-Z0-9_])/y;
const NUMBER = /(?:0[xX][0-9a-fA-F]+(?:_[0-9a-fA-F]+)*|(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][+-]?\d[\d_]*)?)(?![a-zA-Z0-9_])/y;
const OPERATOR = /=~|!~|==|!=|<=|>=|<\/|>\/|[-+*/%^<>=@!]/y;

/** @param {RegExp} pattern @param {string} text @param {number} at */
function at(pattern, text, at) {
  pattern.lastIndex = at;
  return pattern.exec(text)?.[0].length ?? 0;
}

/** End of a string that begins here; whether it is closed. @param {string} text @param {number} from @returns {[number, boolean]} */
function stringEnd(text, from) {
  const quote = text[from];
  for (let i = from + 1; i < text.length; i++) {
    const c = text[i];
    if (c === quote) return [i + 1, true];
    if (quote !== "`" && c === "\n") return [i, false];
    if (quote !== "`" && c === "\\") i += 1;
  }
  return [text.length, false];
}

/** All tokens of a text; every character belongs to exactly one. @param {string} text @returns {Token[]} */
export function tokens(text) {
  /** @type {Token[]} */
  const out = [];
  let i = 0;
  let braces = 0;
  /** In a range, a colon is a token of its own and does not begin a name. */
  let range = false;
  /** After `by (` and the like, names are labels. */
  let labels = false;
  let last = /** @type {Token | null} */ (null);
  const push = (/** @type {Kind} */ kind, /** @type {number} */ length) => {
    const token = { kind, from: i, to: i + length };
    out.push(token);
    i += length;
    if (kind !== "space" && kind !== "comment") last = token;
  };
  while (i < text.length) {
    let n = at(SPACE, text, i);
    if (n) { push("space", n); continue; }
    n = at(COMMENT, text, i);
    if (n) { push("comment", n); continue; }
    const c = text[i];
    if (c === '"' || c === "'" || c === "`") {
      const [end, closed] = stringEnd(text, i);
      push(closed ? "string" : "bad", end - i);
      continue;
    }
    n = range && c === ":" ? 0 : at(WORD, text, i);
    if (n) {
      push(wordKind(text, i, n, braces > 0, labels), n);
      continue;
    }
    n = at(DURATION, text, i);
    if (n) { push("duration", n); continue; }
    n = at(NUMBER, text, i);
    if (n) { push("number", n); continue; }
    n = at(OPERATOR, text, i);
    if (n) { push("operator", n); continue; }
    if ("(){}[],:.".includes(c)) {
      if (c === "[" || c === "]") range = c === "[";
      if (c === "{") braces += 1;
      if (c === "}") braces = Math.max(0, braces - 1);
      if (c === "(" && last !== null) labels = /^(by|without|on|ignoring|group_left|group_right)$/i.test(text.slice(/** @type {Token} */ (last).from, /** @type {Token} */ (last).to));
      if (c === ")") labels = false;
      push("punct", 1);
      continue;
    }
    push("bad", (text.codePointAt(i) ?? 0) > 0xffff ? 2 : 1);
  }
  return out;
}

/** @param {string} text @param {number} from @param {number} length @param {boolean} inBraces @param {boolean} labels @returns {Kind} */
function wordKind(text, from, length, inBraces, labels) {
  const word = text.slice(from, from + length);
  if (inBraces || labels) return "label";
  const lower = word.toLowerCase();
  if (NUMBER_WORDS.has(lower)) return "number";
  if (KEYWORDS.has(lower)) return "keyword";
  return /^\s*\(/.test(text.slice(from + length, from + length + 40)) ? "function" : "name";
}
