// The query and a hit side by side, with the other photos of the product and where the two agree.

import {byId, make} from './dom.js';
import {drawHeat} from './heat.js';
import {factList} from './hits.js';
import {place} from './search.js';
import * as server from './server.js';
import {keyOf, nameOf, sentence, sureness} from './words.js';

const LONGEST = 1280; // pixels of the query's longer side
const MOST = 12; // photos of a product
const dialog = byId('compare');
let shown = null; // what is compared: search, hit, item (the id of the image that is shown)
let explains = false;
let act = null; // mark(hit, kind), like(hit), closed(hit)
let running = null; // stops the requests for the hit before

/** Sets what the buttons do: mark(hit, kind), like(hit), closed(hit). */
export function onAct(functions) { act = functions; }

/**
 * Opens the dialog, or shows another hit in it.
 * @param {import('./search.js').Search} search
 * @param {any} hit
 * @param {boolean} canExplain whether the index supports match maps
 */
export function compare(search, hit, canExplain) {
  running?.abort();
  running = new AbortController();
  shown = {search, hit, item: hit.id};
  explains = canExplain && search.photos.length === 1;
  byId('compare-title').textContent = `${hit.rank}. ${nameOf(hit)}, ${sureness(hit)}`;
  byId('compare-note').textContent = '';
  byId('heat').hidden = !explains;
  byId('previous').disabled = hit === search.answer.hits[0];
  byId('next').disabled = hit === search.answer.hits.at(-1);
  factList({...hit, columns: {...hit.columns, cosine: hit.cosine.toFixed(3)}}, byId('compare-facts'));
  showMarks();
  drawQuery(search);
  showImage(hit.id, hit.image);
  listPhotos(search, hit, running.signal);
  if (!dialog.open) dialog.showModal();
}

/** Shows how the hit is marked. */
export function showMarks() {
  if (!shown) return;
  for (const kind of ['right', 'wrong']) {
    byId(`compare-${kind}`).setAttribute('aria-pressed', String(shown.search.marks.get(keyOf(shown.hit)) === kind));
  }
}

/** Draws the part of the photo that was searched with. */
function drawQuery(search) {
  byId('query-side').hidden = true;
  const image = new Image();
  image.onload = () => {
    if (shown?.search !== search) return;
    const [left, top, wide, high] = search.part || [0, 0, 1, 1];
    const [width, height] = [wide * image.naturalWidth, high * image.naturalHeight];
    const scale = Math.min(1, LONGEST / Math.max(width, height));
    const canvas = byId('compare-query');
    [canvas.width, canvas.height] = [Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale))];
    const from = [left * image.naturalWidth, top * image.naturalHeight, width, height];
    canvas.getContext('2d').drawImage(image, ...from, 0, 0, canvas.width, canvas.height);
    setRatio(canvas, canvas.width / canvas.height);
    byId('query-side').hidden = false;
  };
  if (search.picture) image.src = search.picture;
}

const setRatio = (element, ratio) => element.parentElement.style.setProperty('--ratio', String(ratio));

function showImage(id, address) {
  shown.item = id;
  byId('compare-hit').src = address;
  byId('compare-hit').alt = nameOf(shown.hit);
  for (const button of byId('other-photos').querySelectorAll('button')) {
    button.setAttribute('aria-current', String(button.dataset.item === id));
  }
  showHeat();
}

/** Lists the photos of a product, if it has several; the hit alone is enough where they cannot be had. */
async function listPhotos(search, hit, signal) {
  byId('other-photos').hidden = true;
  byId('other-photos').replaceChildren();
  if (!hit.product || hit.images === 1) return;
  const found = await server.product(hit.product, search.index, signal).catch(() => null);
  if (signal.aborted || !found || found.images.length < 2) return;
  byId('other-photos').replaceChildren(...found.images.slice(0, MOST).map(({id, image}, number) => {
    const button = make('button');
    Object.assign(button, {type: 'button'}).dataset.item = id;
    button.setAttribute('aria-label', `Photo ${number + 1} of ${found.images.length}`);
    button.setAttribute('aria-current', String(id === shown.item));
    const picture = make('img');
    Object.assign(picture, {src: server.thumbnail(image), alt: '', draggable: false});
    button.append(picture);
    button.addEventListener('click', () => showImage(id, image));
    const item = make('li');
    item.append(button);
    return item;
  }));
  byId('other-photos').hidden = false;
}

/** Draws where the two agree if that is wanted. */
async function showHeat() {
  byId('heat-query').hidden = byId('heat-hit').hidden = true;
  if (!explains || byId('heat').getAttribute('aria-pressed') !== 'true') return;
  const {search, item} = shown;
  const {signal} = running;
  try {
    const found = await server.match(search, place(search), item, signal);
    await byId('compare-hit').decode();
    if (signal.aborted || shown.item !== item) return;
    const [query, hit] = [byId('compare-query'), byId('compare-hit')];
    drawHeat(byId('heat-query'), found.query, query.width, query.height);
    drawHeat(byId('heat-hit'), found.item, hit.naturalWidth, hit.naturalHeight);
    byId('heat-query').hidden = byId('heat-hit').hidden = false;
    byId('compare-note').textContent = `Bright places agree; the cosine is ${found.cosine.toFixed(3)}.`;
  } catch (error) {
    if (error.name !== 'AbortError') byId('compare-note').textContent = [sentence(error.message), error.hint].join(' ');
  }
}

function toggleHeat() {
  const isOn = byId('heat').getAttribute('aria-pressed') === 'true';
  byId('heat').setAttribute('aria-pressed', String(!isOn));
  byId('compare-note').textContent = '';
  showHeat();
}

function step(by) {
  const {hits} = shown.search.answer;
  const next = hits[hits.indexOf(shown.hit) + by];
  if (next) compare(shown.search, next, explains);
}

dialog.addEventListener('keydown', event => {
  const keys = {
    ArrowLeft: () => step(-1), ArrowRight: () => step(1), h: () => { if (explains) toggleHeat(); },
    r: () => act.mark(shown.hit, 'right'), w: () => act.mark(shown.hit, 'wrong'),
  };
  if (!keys[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  keys[event.key]();
});
dialog.addEventListener('click', event => { if (event.target === dialog) dialog.close(); }); // beside it
dialog.addEventListener('close', () => { running.abort(); act.closed(shown.hit); });
byId('compare-hit').addEventListener('load', ({target}) => setRatio(target, target.naturalWidth / target.naturalHeight));
byId('previous').addEventListener('click', () => step(-1));
byId('next').addEventListener('click', () => step(1));
byId('close-compare').addEventListener('click', () => dialog.close());
byId('heat').addEventListener('click', toggleHeat);
byId('like').addEventListener('click', () => { dialog.close(); act.like(shown.hit); });
for (const kind of ['right', 'wrong']) byId(`compare-${kind}`).addEventListener('click', () => act.mark(shown.hit, kind));
