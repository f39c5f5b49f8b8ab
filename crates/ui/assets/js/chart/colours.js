// The colour and dash of a series. They depend on its labels, and stay the same as long as the page is open:
// across refreshes, in all panels and themes.

/** Solid, dashed and dotted lines of eight colours. */
const SLOTS = 24;
const HUES = 8;
/** Series whose colours are remembered. */
const KNOWN_MAX = 5000;
/** In larger answers neighbours cannot be told apart by colour anyway, and nothing is remembered. */
const REMEMBERED_MAX = 200;

/** Slots of series by the hash of their labels. @type {Map<number, number>} */
const known = new Map();

/**
 * A slot for each series: the one it had before, else the colour of its hash, else, where another series of the answer
 * has that, the next free one.
 * @param {Float64Array} hashes in the order of labels
 */
export function slotsOf(hashes) {
  const slots = new Uint8Array(hashes.length);
  const taken = new Uint8Array(SLOTS);
  /** @type {number[]} */ const fresh = [];
  hashes.forEach((hash, s) => {
    const before = known.get(hash);
    if (before === undefined) { fresh.push(s); return; }
    // If two got the same colour in different panels, the colour stays, and the dash distinguishes them.
    let slot = before;
    while (taken[slot] && slot + HUES < SLOTS) slot += HUES;
    slots[s] = slot;
    taken[slot] = 1;
  });
  const small = hashes.length <= REMEMBERED_MAX;
  for (const s of fresh) {
    const hue = hashes[s] % HUES;
    slots[s] = small ? free(taken, hue) : hue;
    taken[slots[s]] = 1;
    if (small && known.size < KNOWN_MAX) known.set(hashes[s], slots[s]);
  }
  return slots;
}

/** The first free slot: solid lines before dashed ones, the wanted colour before others. @param {Uint8Array} taken @param {number} hue */
function free(taken, hue) {
  for (let dash = 0; dash < SLOTS; dash += HUES) for (let k = 0; k < HUES; k++) if (!taken[dash + ((hue + k) % HUES)]) return dash + ((hue + k) % HUES);
  return hue;
}
