// One search of this visit: what is asked, how, and the answer.

import {asOption} from './crop.js';

/**
 * @typedef {object} Search
 * @property {File[]} photos to search with; several are one query
 * @property {string|null} like a product or image of the index, in place of photos
 * @property {string|null} url the address of a photo, in place of photos
 * @property {string} name what the query is called
 * @property {string|null} picture the address of what is shown of the query
 * @property {number[]|'auto'|null} part of the photo: left, top, width, height as shares of its sides; null: all of it;
 *   auto: the server finds it
 * @property {Map<string, 'right'|'wrong'>} marks of products
 * @property {string} index that is searched
 * @property {string} where the filter
 * @property {string} top number of hits
 * @property {any} answer of the server, or null
 * @property {Error|null} error why there is none
 * @property {AbortController|null} running while the server is asked
 * @property {Search[]} group all searches with photos that were dropped together
 */

/**
 * Returns a new search.
 * @param {Partial<Search>} fields
 * @returns {Search}
 */
export function newSearch(fields) {
  const rest = {index: '', where: '', top: '10', answer: null, error: null, running: null, group: []};
  return {photos: [], like: null, url: null, name: '', picture: null, part: null, marks: new Map(), ...rest, ...fields};
}

/** Returns a search with one or several photos, of which the first is shown. */
export function ofPhotos(photos, settings) {
  const more = photos.length > 1 ? ` and ${photos.length - 1} more` : '';
  return newSearch({photos, name: (photos[0].name || 'photo') + more, picture: URL.createObjectURL(photos[0]), ...settings});
}

/** Returns whether the answer to a search is still to come. */
export const isWaiting = search => search.running !== null || (search.answer === null && search.error === null);

/** Returns what the server must know of a photo: the index and the part of the photo. */
export const place = search => ({index: search.index, crop: search.photos.length === 1 ? asOption(search.part) : null});

/** Takes over the part that the server has found, once it has answered. */
export async function takePart(search) {
  if (search.part !== 'auto') return;
  const {crop} = search.answer;
  const {width, height} = await createImageBitmap(search.photos[0]);
  search.part = crop && [crop[0] / width, crop[1] / height, (crop[2] - crop[0]) / width, (crop[3] - crop[1]) / height];
}

/** Returns the options of a search, as the server takes them. */
export function options(search) {
  const marked = kind => [...search.marks].filter(([, mark]) => mark === kind).map(([key]) => key);
  return {...place(search), top_k: search.top, where: search.where, right: marked('right'), wrong: marked('wrong')};
}
