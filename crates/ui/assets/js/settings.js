// Settings of this browser. Kept in localStorage under Prometheus' keys where the meaning is the same.

/** @type {Record<string, {key: string, initial: any}>} */
const TABLE = {
  theme: { key: "ferula.theme", initial: "auto" },
  localTime: { key: "settings.useLocalTime", initial: false },
  zone: { key: "ferula.zone", initial: "" },
  history: { key: "settings.enableQueryHistory", initial: true },
  complete: { key: "settings.enableAutocomplete", initial: true },
  highlight: { key: "settings.enableSyntaxHighlighting", initial: true },
  lint: { key: "settings.enableLinter", initial: true },
  annotations: { key: "settings.showAnnotations", initial: false },
  warnings: { key: "settings.showQueryWarnings", initial: true },
  traceLink: { key: "ferula.traceLink", initial: "" },
  infos: { key: "settings.showQueryInfoNotices", initial: true },
};

/** @type {Map<string, any>} */
const current = new Map();
/** @type {Set<(name: string) => void>} */
const listeners = new Set();

/** @param {string} key */
export function readStored(key) {
  try {
    const text = localStorage.getItem(key);
    return text === null ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Stores a value if the browser allows it: a full or forbidden storage must not stop the page. @param {string} key @param {any} value */
export function writeStored(key, value) {
  try {
    localStorage.setItem(key, JSON.stringify(value));
    return true;
  } catch {
    return false;
  }
}

/** @param {string} name */
export function setting(name) {
  if (!current.has(name)) {
    const entry = TABLE[name];
    const stored = readStored(entry.key);
    current.set(name, typeof stored === typeof entry.initial ? stored : entry.initial);
  }
  return current.get(name);
}

/** @param {string} name @param {any} value */
export function setSetting(name, value) {
  current.set(name, value);
  writeStored(TABLE[name].key, value);
  for (const listener of listeners) listener(name);
}

/** @param {(name: string) => void} listener @returns {() => void} */
export function onSetting(listener) {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

/** Applies the chosen theme to the document. */
export function applyTheme() {
  const theme = setting("theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
}

/** The time zone in which times are shown, as named in the zone database. */
export function zone() {
  const fromAddress = new URLSearchParams(location.search).get("tz");
  for (const name of [fromAddress, setting("zone")]) if (name && isZone(name)) return name;
  return setting("localTime") ? localZone() : "UTC";
}

export const localZone = () => Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";

/** @param {string} name */
export function isZone(name) {
  try {
    return Boolean(new Intl.DateTimeFormat("en", { timeZone: name }));
  } catch {
    return false;
  }
}

const HISTORY_KEY = "queryPage.queryHistory";
const STARS_KEY = "ferula.starredQueries";
const HISTORY_MAX = 500;

/** Queries that ran, newest first. @returns {string[]} */
export function history() {
  const stored = readStored(HISTORY_KEY);
  return Array.isArray(stored) ? stored.filter((query) => typeof query === "string") : [];
}

/** @param {string} query */
export function remember(query) {
  if (!setting("history") || query.trim() === "" || query.length > 20_000) return;
  writeStored(HISTORY_KEY, [query, ...history().filter((old) => old !== query)].slice(0, HISTORY_MAX));
}

/** @returns {string[]} */
export function starred() {
  const stored = readStored(STARS_KEY);
  return Array.isArray(stored) ? stored.filter((query) => typeof query === "string") : [];
}

/** @param {string} query */
export function toggleStar(query) {
  const stars = starred();
  writeStored(STARS_KEY, stars.includes(query) ? stars.filter((other) => other !== query) : [query, ...stars]);
}

/** Forgets the queries that ran; starred ones stay. */
export const forgetHistory = () => writeStored(HISTORY_KEY, []);
