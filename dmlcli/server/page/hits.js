// The products of an answer: their cards, their marks, and the way of the arrow keys over them.

import {byId, make} from './dom.js';
import {thumbnail} from './server.js';
import {facts, keyOf, nameOf, sureness} from './words.js';

const list = byId('hits');
const WAITING = 8; // empty cards while a first answer is awaited

/**
 * Shows hits.
 * @param {any[]} hits
 * @param {(hit: any) => void} compare is called with the hit that is opened
 * @param {(hit: any, kind: string) => void} mark is called with a hit and "right" or "wrong"
 */
export function show(hits, compare, mark) {
  list.replaceChildren(...hits.map(hit => card(hit, compare, mark)));
}

/** Shows empty cards, as many as may come. */
export function showWaiting() {
  list.replaceChildren(...Array.from({length: WAITING}, () => make('li', 'hit waiting')));
}

/** Shows which hits are marked. */
export function showMarks(hits, marks) {
  [...list.children].forEach((item, place) => {
    for (const kind of ['right', 'wrong']) {
      const isMarked = hits[place] !== undefined && marks.get(keyOf(hits[place])) === kind;
      item.classList.toggle(kind, isMarked);
      item.querySelector(`[data-mark=${kind}]`)?.setAttribute('aria-pressed', String(isMarked));
    }
  });
}

function card(hit, compare, mark) {
  const item = make('li', hit.rank === 1 ? 'hit first' : 'hit');
  const open = make('button', 'open');
  open.type = 'button';
  open.setAttribute('aria-label', `${hit.rank}: ${nameOf(hit)}, ${sureness(hit)}. Compare.`);
  open.addEventListener('click', () => compare(hit));
  const title = make('span', 'title');
  title.append(make('span', 'product', nameOf(hit)), make('span', 'sure', sureness(hit)));
  open.append(picture(hit), bar(hit), title);
  const buttons = make('div', 'choice');
  buttons.append(markButton(hit, 'right', mark), markButton(hit, 'wrong', mark));
  item.append(open, factList(hit, make('dl')), buttons);
  return item;
}

function picture(hit) {
  const image = make('img');
  Object.assign(image, {src: thumbnail(hit.image), alt: '', loading: 'lazy', decoding: 'async', draggable: false});
  image.addEventListener('error', () => image.classList.add('missing'));
  return image;
}

/** Returns a bar as long as the probability of a hit; without one, an empty one. */
function bar(hit) {
  const element = make('span', 'bar');
  element.style.setProperty('--share', String(hit.confidence ?? 0));
  return element;
}

function markButton(hit, kind, mark) {
  const button = make('button', '', kind === 'right' ? '✓ Right' : '✗ Wrong');
  button.type = 'button';
  button.dataset.mark = kind;
  button.setAttribute('aria-pressed', 'false');
  button.setAttribute('aria-label', `${kind === 'right' ? 'Right' : 'Wrong'}: ${nameOf(hit)}`);
  button.addEventListener('click', () => mark(hit, kind));
  return button;
}

/** Fills a list of terms with the category and the columns of a hit, and returns it. */
export function factList(hit, element) {
  element.replaceChildren(...facts(hit).flatMap(([name, text]) => [make('dt', '', name), make('dd', '', text)]));
  element.hidden = !element.children.length;
  return element;
}

const opens = () => [...list.querySelectorAll('.open')];

/** Returns the place of the hit that has the focus, -1 without one. */
export const current = () => [...list.children].indexOf(document.activeElement?.closest('.hit') ?? null);

/** Puts the focus on a hit. */
export function focus(place) { opens()[place]?.focus(); }

/** Moves the focus over the hits; returns whether the key moves it. */
export function move(key) {
  const all = opens();
  if (!all.length || !key.startsWith('Arrow')) return false;
  const place = current();
  const steps = {ArrowRight: place + 1, ArrowLeft: place - 1, ArrowDown: below(all, place, 1), ArrowUp: below(all, place, -1)};
  const next = all[place < 0 ? 0 : steps[key]];
  next?.focus({preventScroll: true});
  next?.closest('.hit').scrollIntoView({block: 'nearest'});
  return true;
}

/** Returns the place of the hit in the next row (or the one before) that is nearest to the one at a place. */
function below(all, place, direction) {
  const boxes = all.map(one => one.closest('.hit').getBoundingClientRect());
  const from = boxes[place];
  if (!from) return 0;
  const middle = box => box.left + box.width / 2;
  const cost = box => 3 * Math.abs(box.top - from.top) + Math.abs(middle(box) - middle(from));
  const isBeyond = box => (direction > 0 ? box.top >= from.bottom - 1 : box.bottom <= from.top + 1);
  const found = boxes.map((box, one) => one).filter(one => isBeyond(boxes[one]));
  return found.length ? found.reduce((a, b) => (cost(boxes[b]) < cost(boxes[a]) ? b : a)) : place;
}
