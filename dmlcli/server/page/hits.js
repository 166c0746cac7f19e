// The products of an answer, with their marks; names come from tables of users and are only ever text.

import {thumbnail} from './server.js';

const list = document.getElementById('hits');

/** Returns an element with a class and text. */
export function make(tag, name = '', text = '') {
  const element = document.createElement(tag);
  if (name) element.className = name;
  if (text) element.textContent = text;
  return element;
}

/** Returns the name of a hit: its product, or its image where it has none. */
export const nameOf = hit => hit.product || `image ${hit.id}`;
/** Returns what the server calls it: its product, or its id. */
export const keyOf = hit => hit.product || `id:${hit.id}`;
/** Returns how sure the answer is, in words. */
export const sureness = hit => hit.confidence === null || hit.confidence === undefined
  ? `score ${hit.score.toFixed(3)}` : `${Math.min(99, Math.round(100 * hit.confidence))} %`;

/** Returns the facts of a hit as a list of terms. */
export function facts(hit, into) {
  into.replaceChildren();
  const own = Object.entries({category: hit.category, ...hit.columns});
  for (const [name, value] of own.filter(([, value]) => value !== null && value !== '')) {
    into.append(make('dt', '', name), make('dd', '', String(value)));
  }
  return into;
}

/** Shows the hits. `marks` holds `right` and `wrong` sets; `act` has compare(hit) and mark(hit, kind). */
export function show(hits, marks, act) {
  list.replaceChildren(...hits.map(hit => card(hit, marks, act)));
}

function card(hit, marks, act) {
  const item = make('li', `hit${hit.rank === 1 ? ' first' : ''}`);
  const open = make('button', 'open');
  open.type = 'button';
  open.setAttribute('aria-label', `${hit.rank}: ${nameOf(hit)}, ${sureness(hit)}; compare`);
  open.addEventListener('click', () => act.compare(hit));
  const image = make('img');
  image.src = thumbnail(hit);
  image.alt = '';
  image.loading = 'lazy';
  const text = make('span', 'text');
  text.append(make('span', 'product', nameOf(hit)), make('span', 'sure', sureness(hit)));
  open.append(image, text);
  const about = facts(hit, make('dl'));
  about.classList.add('text');
  const buttons = make('div', 'marks');
  for (const kind of ['right', 'wrong']) {
    const isMarked = marks[kind].has(keyOf(hit));
    item.classList.toggle(kind, isMarked);
    const button = make('button', '', kind === 'right' ? 'Right' : 'Wrong');
    button.type = 'button';
    button.dataset.mark = kind;
    button.setAttribute('aria-pressed', String(isMarked));
    button.setAttribute('aria-label', `${kind}: ${nameOf(hit)}`);
    button.addEventListener('click', () => act.mark(hit, kind));
    buttons.append(button);
  }
  item.append(open, about, buttons);
  return item;
}

const opens = () => [...list.querySelectorAll('.open')];

/** Moves the focus over the hits with the arrow keys; returns whether the key was one of them. */
export function move(key) {
  const all = opens();
  if (!all.length) return false;
  const place = all.indexOf(document.activeElement.closest('.hit')?.querySelector('.open'));
  const across = Math.max(1, all.filter(one => one.offsetTop === all[0].offsetTop || one.closest('.hit').offsetTop === all[0].closest('.hit').offsetTop).length);
  const step = {ArrowRight: 1, ArrowLeft: -1, ArrowDown: across, ArrowUp: -across}[key];
  if (step === undefined) return false;
  const next = place < 0 ? 0 : Math.min(Math.max(place + step, 0), all.length - 1);
  all[next].focus();
  all[next].scrollIntoView({block: 'nearest'});
  return true;
}

/** Returns the place of the hit that has the focus, -1 without one. */
export function current() {
  const item = document.activeElement.closest('.hit');
  return item ? [...list.children].indexOf(item) : -1;
}

/** Puts the focus on a hit. */
export function focus(place) { opens()[place]?.focus(); }
