// The page as a whole: what is asked, what is shown of the answer, and the keys.

import * as compare from './compare.js';
import * as crop from './crop.js';
import * as filter from './filter.js';
import * as history from './history.js';
import * as hits from './hits.js';
import * as intake from './intake.js';
import * as server from './server.js';

const element = id => document.getElementById(id);
let info = null;  // what the server says of itself
let visit = null;  // the search that is shown: photos, like or url, name, picture, part, right, wrong, answer
let running = null;  // the search that is under way, which a newer one stops

const index = () => info.indexes.find(one => one.name === element('index').value) || info.indexes[0];

function options(of) {
  return {
    index: index().name, top_k: element('top').value, where: element('where').value.trim(),
    crop: crop.asOption(of.part), right: [...of.right], wrong: [...of.wrong],
  };
}

function newVisit(fields) {
  return {photos: [], like: null, url: null, name: '', picture: null, part: null, right: new Set(), wrong: new Set(), answer: null, ...fields};
}

async function take(photos) {
  element('fuse-label').hidden = photos.length < 2;
  const fused = photos.length > 1 && element('fuse').checked;
  const groups = fused ? [photos] : photos.map(photo => [photo]);
  for (const group of groups) {
    const name = group[0].name + (group.length > 1 ? ` and ${group.length - 1} more` : '');
    await search(newVisit({photos: group, name, picture: URL.createObjectURL(group[0])}));
  }
}

async function search(wanted) {
  visit = wanted;
  showQuery();
  running?.abort();
  const mine = running = new AbortController();
  element('results').setAttribute('aria-busy', 'true');
  element('error').hidden = true;
  element('where-error').textContent = '';
  say('Searching');
  try {
    const answer = await server.search(wanted, options(wanted), mine.signal);
    wanted.answer = answer;
    history.add(wanted, back);
    if (visit === wanted) showAnswer();
  } catch (error) {
    if (error.name !== 'AbortError') showError(error);
  } finally {
    if (running === mine) element('results').setAttribute('aria-busy', 'false');
  }
}

function back(earlier) {
  visit = earlier;
  history.add(earlier, back);
  showQuery();
  showAnswer();
}

function showQuery() {
  const hasPicture = visit.picture !== null;
  element('empty').hidden = hasPicture;
  element('photo').hidden = !hasPicture;
  element('drop').classList.toggle('filled', hasPicture);
  if (hasPicture && element('image').src !== visit.picture) element('image').src = visit.picture;
  element('name').textContent = visit.name;
  element('hint').hidden = element('canvas').hidden = false;
  crop.showPart(visit.part);
  element('whole').hidden = visit.part === null;
}

function showAnswer() {
  const {answer} = visit;
  element('error').hidden = true;
  element('bar').hidden = false;
  const first = answer.hits[0];
  const things = answer.hits.every(hit => hit.product) ? 'product' : 'result';
  const count = `${answer.hits.length} ${things}${answer.hits.length === 1 ? '' : 's'}`;
  element('summary').textContent = first ? `${count}; first: ${hits.nameOf(first)}, ${hits.sureness(first).replace(' ', '\u00a0')}` : '';
  element('none').hidden = Boolean(first);
  element('none').textContent = first ? '' : sentence(answer.why_empty);
  element('csv').hidden = !first;
  hits.show(answer.hits, visit, {compare: openCompare, mark});
  showMarks();
  say(first ? element('summary').textContent : element('none').textContent);
}

function showMarks() {
  const count = visit.right.size + visit.wrong.size;
  element('again').hidden = element('clear').hidden = !count;
}

function showError(error) {
  say('');
  if (error.status === 400 && element('where').value.trim() && error.message.includes('--where')) {
    element('where-error').textContent = sentence(`${error.message}${error.hint ? `; ${error.hint}` : ''}`);
    element('where').focus();
    return;
  }
  element('error').textContent = [sentence(error.message), error.hint].filter(Boolean).join(' ');
  element('error').hidden = false;
}

const sentence = text => text ? text[0].toUpperCase() + text.slice(1).replace(/\.?$/, '.') : '';
function say(text) { element('live').textContent = text; }

function mark(hit, kind) {
  const key = hits.keyOf(hit);
  const other = kind === 'right' ? 'wrong' : 'right';
  visit[other].delete(key);
  if (!visit[kind].delete(key)) visit[kind].add(key);
  const place = visit.answer.hits.indexOf(hit);
  hits.show(visit.answer.hits, visit, {compare: openCompare, mark});
  document.querySelectorAll('#hits > li')[place]?.querySelector(`[data-mark=${kind}]`).focus();
  showMarks();
  say(`${hits.nameOf(hit)}: ${visit[kind].has(key) ? `marked as ${kind}` : 'not marked'}`);
}

function openCompare(hit) {
  const explains = index().explains && visit.photos.length === 1;
  const match = explains ? () => server.match(visit, {index: index().name, crop: crop.asOption(visit.part)}, hit.id) : null;
  compare.open(hit, visit.picture, match, () => search(newVisit({like: hits.keyOf(hit), name: hits.nameOf(hit), picture: hit.image})));
}

async function download() {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(await server.csv(visit, options(visit)));
  link.download = 'hits.csv';
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function chooseIndex() {
  const {name, images, columns} = index();
  element('about').textContent = `${name}: ${images.toLocaleString()} images`;
  filter.offer(columns);
}

function askForToken() {
  const dialog = element('login');
  if (!dialog.open) dialog.showModal();
  return new Promise(resolve => {
    element('login-form').onsubmit = async event => {
      event.preventDefault();
      try {
        await server.logIn(element('token').value);
        dialog.close();
        resolve();
      } catch (error) {
        element('login-error').textContent = sentence(error.message);
      }
    };
  });
}

element('filters').open = window.innerWidth > 832;  // on a phone, photos come first
const repeat = () => { if (visit) search(visit); };
const typing = target => target.matches('input, select, textarea, [role=slider]');

document.addEventListener('keydown', event => {
  if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target) || document.querySelector('dialog[open]')) return;
  const place = hits.current();
  const keys = {
    o: () => element('file').click(), '/': () => { element('filters').open = true; element('where').focus(); }, '?': () => element('keys').showModal(),
    s: () => { if (!element('again').hidden) repeat(); },
    r: () => { if (place >= 0) mark(visit.answer.hits[place], 'right'); },
    w: () => { if (place >= 0) mark(visit.answer.hits[place], 'wrong'); },
  };
  if (hits.move(event.key)) event.preventDefault();
  else if (keys[event.key]) { event.preventDefault(); keys[event.key](); if (place >= 0 && 'rw'.includes(event.key)) hits.focus(place); }
});

element('help').addEventListener('click', () => element('keys').showModal());
element('close-keys').addEventListener('click', () => element('keys').close());
element('login').addEventListener('cancel', event => event.preventDefault());
element('again').addEventListener('click', repeat);
element('clear').addEventListener('click', () => { visit.right.clear(); visit.wrong.clear(); search(visit); });
element('csv').addEventListener('click', () => download().catch(showError));
element('whole').addEventListener('click', () => { visit.part = null; search(visit); });
element('index').addEventListener('change', () => { chooseIndex(); element('where').value = ''; if (visit && visit.photos.length) search(visit); });
crop.onCrop(part => { if (visit && (visit.photos.length || visit.url)) { visit.part = part; search(visit); } });
filter.watch(repeat);
intake.watch(photos => take(photos).catch(showError), message => showError(new Error(message)), url => {
  search(newVisit({url, name: url, picture: null}));
});
server.onTokenNeeded(askForToken);

server.about().then(found => {
  info = found;
  element('index').replaceChildren(...info.indexes.map(one => new Option(one.name, one.name)));
  element('indexes').hidden = info.indexes.length < 2;
  element('url-form').hidden = !info.accepts_urls;
  chooseIndex();
}).catch(showError);
