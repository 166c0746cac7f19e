// The page as a whole: starts searches, shows one of them, and carries out what buttons and keys ask for.

import {onPhoto, openCamera} from './camera.js';
import {compare, onAct, showMarks as showMarkInDialog} from './compare.js';
import * as crop from './crop.js';
import {byId, hasDialog, say, takesKeys} from './dom.js';
import * as filter from './filter.js';
import * as hits from './hits.js';
import {askForToken} from './login.js';
import {choosePhotos, watchPhotos} from './photos.js';
import {newSearch, ofPhotos, options, takePart} from './search.js';
import * as server from './server.js';
import {showAnswer, showEmpty, showMarks, showQuery} from './view.js';
import * as visit from './visit.js';
import {count, keyOf, nameOf, setColumns} from './words.js';

let about = null; // what the server says of itself
let shown = null; // the search that is shown

const index = () => about.indexes.find(one => one.name === byId('index').value) || about.indexes[0];
const settings = () => ({index: index().name, where: shown?.where ?? '', top: byId('top').value});
const act = {compare: openHit, mark};

/** Shows a search, as it is now. */
function show(search) {
  shown = search;
  reject('');
  visit.list(search);
  if (search === null) { showEmpty(); return; }
  if (byId('index').value !== search.index) chooseIndex(search.index);
  showQuery(search, Boolean(index().explains));
  showAnswer(search, act);
}

/** Begins a new search, and shows it; returns once it is answered. */
function begin(search) {
  visit.add(search);
  visit.visit(search);
  const done = run(search);
  show(search);
  return done;
}

/** Asks the server; a search that is under way for the same query is stopped. */
async function run(search) {
  search.running?.abort();
  const mine = search.running = new AbortController();
  search.error = null;
  if (shown === search) show(search);
  try {
    checkSize(search);
    search.answer = await server.find(search, options(search), mine.signal);
    await takePart(search);
  } catch (error) {
    if (search.running !== mine) return;
    search.error = error;
    search.answer = filter.isAbout(error) ? search.answer : null;
  }
  if (search.running !== mine) return;
  search.running = null;
  if (shown === search) show(search);
  else visit.list(shown);
}

/** Changes the search that is shown, and asks the server again. */
function change(fields) {
  if (!shown) return;
  Object.assign(shown, fields);
  run(shown);
}

/** Throws an error for photos that the server would refuse, before they are sent. */
function checkSize(search) {
  const most = about.limits.body_bytes;
  const bytes = search.photos.reduce((sum, photo) => sum + photo.size, 0);
  const inMegabytes = size => `${Math.ceil(size / 1e6)} MB`;
  if (bytes <= most) return;
  const error = `the search with ${search.name} has ${inMegabytes(bytes)}`;
  throw new server.ServerError(413, {error, hint: `this server takes up to ${inMegabytes(most)}`});
}

/** Searches with photos: each has an answer of its own, and the first one is shown. */
async function take(photos) {
  await started; // a photo may be chosen before the page knows the indexes
  if (!about) { reject('The server has not answered yet.'); return; }
  const searches = photos.map(photo => ofPhotos([photo], settings()));
  for (const search of searches) search.group = searches;
  for (const search of searches.slice(1).reverse()) visit.add(search);
  await begin(searches[0]);
  for (const search of searches.slice(1)) await run(search); // one after the other: others search, too
}

function searchUrl(url) {
  if (about?.accepts_urls) begin(newSearch({url, name: url, ...settings()}));
  else reject('This server does not fetch addresses. Save the photo, and choose the file.');
}

function reject(message) { byId('rejected').textContent = message; }

/** Searches with all photos that came together as one product, or with each of them. */
function fuse(isOne) {
  const {group} = shown;
  const photos = group.flatMap(search => search.photos);
  if (isOne) begin(Object.assign(ofPhotos(photos, settings()), {group}));
  else { visit.visit(group[0]); show(group[0]); }
}

function openHit(hit) { compare(shown, hit, Boolean(index().explains)); }

function mark(hit, kind) {
  const key = keyOf(hit);
  const isMarked = shown.marks.get(key) !== kind;
  if (isMarked) shown.marks.set(key, kind);
  else shown.marks.delete(key);
  showMarks(shown, mark);
  showMarkInDialog();
  say(`${nameOf(hit)} is ${isMarked ? `marked as ${kind}` : 'not marked'}`);
}

async function download() {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(await server.csv(shown, options(shown)));
  link.download = 'hits.csv';
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function chooseIndex(name) {
  byId('index').value = name;
  const {images, columns} = index();
  byId('about').textContent = `${index().name}: ${count(images, 'image')}`;
  filter.offer(columns);
  setColumns(columns);
}

onAct({
  mark,
  like: hit => begin(newSearch({like: keyOf(hit), name: nameOf(hit), picture: hit.image, ...settings()})),
  closed: hit => hits.focus(shown.answer?.hits.indexOf(hit) ?? -1),
});
onPhoto(photo => take([photo]));
watchPhotos(take, searchUrl, reject);
visit.onBack(search => { if (search) visit.visit(search); show(search); });
crop.onCrop(part => change({part}));
filter.onFilter(where => change({where}));
server.onTokenNeeded(askForToken);

const clicks = {
  help: () => byId('keys').showModal(), 'close-keys': () => byId('keys').close(), whole: () => change({part: null}),
  find: () => change({part: 'auto'}),
  again: () => change({}), clear: () => { shown.marks.clear(); change({}); }, retry: () => (shown ? change({}) : start()),
  csv: () => download().catch(error => { shown.error = error; show(shown); }),
};
for (const [id, click] of Object.entries(clicks)) byId(id).addEventListener('click', click);
byId('top').addEventListener('change', () => change({top: byId('top').value}));
byId('fuse').addEventListener('change', () => fuse(byId('fuse').checked));
byId('index').addEventListener('change', () => {
  chooseIndex(byId('index').value);
  if (shown?.like === null) change({index: index().name, where: '', marks: new Map()});
});

document.addEventListener('keydown', event => {
  if (event.ctrlKey || event.metaKey || event.altKey || takesKeys(event.target) || hasDialog()) return;
  const hit = shown?.answer?.hits[hits.current()];
  const keys = {
    o: choosePhotos, c: openCamera, '?': () => byId('keys').showModal(),
    '/': () => { if (shown) { filter.open(true); byId('where').focus(); } },
    s: () => { if (shown?.marks.size) change({}); },
    r: () => { if (hit) mark(hit, 'right'); }, w: () => { if (hit) mark(hit, 'wrong'); },
  };
  if (!hits.move(event.key) && !keys[event.key]) return;
  event.preventDefault();
  keys[event.key]?.();
});

async function start() {
  try {
    about = await server.about();
    byId('index').replaceChildren(...about.indexes.map(one => new Option(one.name, one.name)));
    byId('indexes').hidden = about.indexes.length < 2;
    byId('url-form').hidden = !about.accepts_urls;
    chooseIndex(about.indexes[0].name);
    showEmpty();
  } catch (error) {
    byId('results').hidden = false;
    showAnswer(newSearch({error}), act);
  }
}

const started = start();
