// The searches of this visit. They are kept in memory alone, and the browser's Back and Forward move over them.

import {byId, make} from './dom.js';
import {isWaiting} from './search.js';

const MOST = 40; // older searches are forgotten
let searches = []; // the newest first
let ids = new WeakMap(); // of searches, for the history of the browser
let last = 0;
let open = () => {};

/** Calls a function with a search that is gone back to; null is the page before the first search. */
export function onBack(call) { open = call; }

/** Adds a search. */
export function add(search) {
  ids.set(search, ++last);
  searches.unshift(search);
  for (const old of searches.splice(MOST)) {
    if (old.picture?.startsWith('blob:')) URL.revokeObjectURL(old.picture);
  }
}

/** Notes in the history of the browser that a search is shown. */
export function visit(search) {
  if (window.history.state?.search !== ids.get(search)) window.history.pushState({search: ids.get(search)}, '');
}

window.addEventListener('popstate', event => {
  open(searches.find(search => ids.get(search) === event.state?.search) ?? null);
});

/** Lists the searches; the one that is shown is marked. */
export function list(shown) {
  byId('history').hidden = searches.length < (shown ? 2 : 1);
  byId('searches').replaceChildren(...searches.map(search => entry(search, search === shown)));
}

function entry(search, isShown) {
  const button = make('button');
  button.type = 'button';
  const waits = isWaiting(search);
  const state = waits ? ', searching' : search.error ? ', failed' : '';
  button.setAttribute('aria-label', `Search with ${search.name}${state}`);
  button.classList.toggle('searching', waits);
  button.classList.toggle('failed', search.error !== null);
  if (isShown) button.setAttribute('aria-current', 'true');
  if (search.picture) {
    const image = make('img');
    Object.assign(image, {src: search.picture, alt: '', draggable: false});
    image.addEventListener('error', () => button.replaceChildren(search.name));
    button.append(image);
  } else {
    button.textContent = search.name;
  }
  button.addEventListener('click', () => open(search));
  const item = make('li');
  item.append(button);
  return item;
}
