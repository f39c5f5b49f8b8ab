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
const OPERATOR = /=~|!~|==|!=|<=|>=|[-+*/%^<>=@!]/y;

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
  /** After `by (` and the like names are labels. */
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
    n = at(WORD, text, i);
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

/**
 * What the text around the cursor asks for.
 * @param {string} text
 * @param {number} cursor
 * @returns {{kind: "metric" | "label" | "value" | "grouping" | "duration" | "none", from: number, to: number, word: string, metric?: string, label?: string, matchers?: string[], quote?: string}}
 */
export function contextAt(text, cursor) {
  const all = tokens(text).filter((token) => token.kind !== "space" && token.kind !== "comment");
  const none = { kind: /** @type {const} */ ("none"), from: cursor, to: cursor, word: "" };
  if (tokens(text).some((token) => token.kind === "comment" && token.from < cursor && cursor <= token.to)) return none;
  const index = all.findIndex((token) => token.from < cursor && cursor <= token.to);
  const here = index >= 0 ? all[index] : null;
  const before = index >= 0 ? all.slice(0, index) : all.filter((token) => token.to <= cursor);
  const is = (/** @type {Token | undefined} */ token, /** @type {string} */ what) => token !== undefined && text.slice(token.from, token.to) === what;
  const open = openBracket(text, before);
  const isWord = here !== null && ["name", "label", "keyword", "function"].includes(here.kind);
  const from = here && isWord ? here.from : cursor;
  const to = here && isWord ? here.to : cursor;
  const word = text.slice(from, cursor);
  if (here && (here.kind === "string" || here.kind === "bad") && /["'`]/.test(text[here.from]) && (here.kind === "bad" || cursor < here.to)) {
    const operator = before[before.length - 1];
    const label = before[before.length - 2];
    if (open?.bracket !== "{" || !operator || operator.kind !== "operator" || !label) return none;
    const closed = here.kind === "string";
    return { kind: "value", from: here.from + 1, to: closed ? here.to - 1 : here.to, word: text.slice(here.from + 1, cursor), label: bare(text, label), quote: closed ? "" : text[here.from], ...selectorAt(text, all, before, open.at, label) };
  }
  if (here && !isWord && here.to === cursor && (here.kind === "number" || here.kind === "duration")) {
    return open?.bracket === "[" ? { kind: "duration", from: here.from, to: here.to, word: text.slice(here.from, cursor) } : none;
  }
  if (here && here.kind === "string") return none;
  // A closing bracket or an opening one just before the cursor decides like any token before it.
  const left = isWord ? before : all.filter((token) => token.to <= cursor);
  const now = openBracket(text, left);
  const previous = left[left.length - 1];
  if (now?.bracket === "{") {
    if (is(previous, "{") || is(previous, ",")) return { kind: "label", from, to, word, ...selectorAt(text, all, left, now.at, null) };
    return none;
  }
  if (now?.bracket === "[") return is(previous, "[") || is(previous, ":") ? { kind: "duration", from, to, word } : none;
  if (now?.bracket === "(" && now.at > 0 && /^(by|without|on|ignoring|group_left|group_right)$/i.test(text.slice(left[now.at - 1].from, left[now.at - 1].to))) {
    return { kind: "grouping", from, to, word };
  }
  if (previous && (previous.kind === "name" || previous.kind === "number" || previous.kind === "string" || is(previous, "}") || is(previous, "]")) && !isWord) return none;
  return { kind: "metric", from, to, word };
}

/** The bracket that is open at the end of the tokens. @param {string} text @param {Token[]} list */
function openBracket(text, list) {
  const stack = [];
  for (let i = 0; i < list.length; i++) {
    const c = text.slice(list[i].from, list[i].to);
    if (c === "(" || c === "{" || c === "[") stack.push({ bracket: c, at: i });
    else if (c === ")" || c === "}" || c === "]") stack.pop();
  }
  return stack.pop() ?? null;
}

/** A label name, unquoted. @param {string} text @param {Token} token */
function bare(text, token) {
  const word = text.slice(token.from, token.to);
  return /^["'`]/.test(word) ? word.slice(1, -1) : word;
}

/** Metric and finished matchers of the selector around the cursor. @param {string} text @param {Token[]} all @param {Token[]} before @param {number} brace index of the opening one @param {Token | null} skip label whose matcher is being written */
function selectorAt(text, all, before, brace, skip) {
  const name = before[brace - 1];
  const metric = name && name.kind === "name" && name.to === before[brace].from ? text.slice(name.from, name.to) : undefined;
  const matchers = [];
  const start = all.indexOf(before[brace]);
  for (let i = start + 1; i + 2 < all.length && text[all[i].from] !== "}"; i++) {
    const [label, operator, value] = all.slice(i, i + 3);
    if (operator.kind !== "operator" || value.kind !== "string" || label === skip) continue;
    if (label.kind === "label" || label.kind === "string") matchers.push(text.slice(label.from, value.to));
  }
  return { metric, matchers };
}
