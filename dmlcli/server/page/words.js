// How hits and errors are put into words.

/** Returns the name of a hit: its product, or its image where it has none. */
export const nameOf = hit => hit.product || `image ${hit.id}`;

/** Returns what the server calls a hit: its product, or the id of its image. */
export const keyOf = hit => hit.product || `id:${hit.id}`;

/** Returns how sure the answer is of a hit: its probability, or its score where the index has no probabilities. */
export function sureness(hit) {
  if (hit.confidence === null || hit.confidence === undefined) return `score ${hit.score.toFixed(3)}`;
  if (hit.confidence >= 0.995) return '> 99\u00a0%';
  return hit.confidence < 0.005 ? '< 1\u00a0%' : percent(hit.confidence);
}

/** Returns a share in percent. */
export const percent = share => `${Math.round(100 * share)}\u00a0%`;

/** Returns a text as a sentence: with a capital and a full stop. */
export const sentence = text => (text ? text[0].toUpperCase() + text.slice(1).replace(/[.:]?$/, '.') : '');

/** Returns a number with what is counted. */
export const count = (number, word) => `${number.toLocaleString('en')} ${word}${number === 1 ? '' : 's'}`;

let decimals = new Map(); // of the numbers of a column, by its name

/** Sets the columns of the index that is shown. */
export function setColumns(columns) { decimals = new Map(columns.map(column => [column.name, column.decimals])); }

/** Returns the category and columns of a hit that have a value, as pairs of name and text: 12.50 as in the catalog. */
export function facts(hit) {
  const all = Object.entries({category: hit.category, ...hit.columns});
  const text = (name, value) => (typeof value === 'number' && decimals.get(name) ? value.toFixed(decimals.get(name)) : String(value));
  return all.filter(([, value]) => value !== null && value !== '').map(([name, value]) => [name, text(name, value)]);
}

/** Returns how many hits there are; "" for none. */
export const counted = hits => (hits.length ? count(hits.length, hits.every(hit => hit.product) ? 'product' : 'hit') : '');

/** Returns an answer in a sentence, as it is read aloud; "" without hits. */
export const summary = hits => (hits.length ? `${counted(hits)}, first ${nameOf(hits[0])}, ${sureness(hits[0])}` : '');
