// Shows a search: its photo on one side, its answer on the other, in each of its states.

import * as crop from './crop.js';
import {byId, make, say} from './dom.js';
import * as filter from './filter.js';
import * as hits from './hits.js';
import {isWaiting} from './search.js';
import {counted, nameOf, percent, sentence, summary, sureness} from './words.js';

const UNSURE = 0.5; // below this match, the photo more likely shows a product that is not in the catalog
const TITLE = document.title;

/** Shows the page before the first search. */
export function showEmpty() {
  document.body.classList.add('empty');
  byId('invitation').hidden = false;
  byId('photo').hidden = byId('results').hidden = byId('skip').hidden = byId('fuse-label').hidden = true;
  document.title = TITLE;
}

/**
 * Shows what a search asks.
 * @param {import('./search.js').Search} search
 * @param {boolean} canFind whether the index can find the object in a photo
 */
export function showQuery(search, canFind) {
  document.body.classList.remove('empty');
  byId('invitation').hidden = true;
  byId('photo').hidden = byId('results').hidden = false;
  if (search.picture && byId('image').getAttribute('src') !== search.picture) {
    byId('image').src = search.picture;
    byId('canvas').hidden = false;
  }
  if (!search.picture) byId('canvas').hidden = true;
  byId('no-picture').hidden = true;
  const canCrop = search.photos.length === 1;
  byId('box').hidden = byId('crop-hint').hidden = byId('crop-keys').hidden = !canCrop;
  byId('canvas').classList.toggle('fixed', !canCrop);
  byId('name').textContent = search.name;
  byId('whole').hidden = !canCrop || search.part === null;
  byId('find').hidden = !canCrop || search.part !== null || !canFind;
  crop.showPart(canCrop ? search.part : null);
  showGroup(search);
}

function showGroup(search) {
  const {group} = search;
  byId('fuse-label').hidden = group.length < 2;
  byId('fuse').checked = search.photos.length > 1;
  byId('fuse-text').textContent = `These ${group.length} photos show the same product`;
}

/** Shows the answer to a search, or that it is awaited, or why there is none. */
export function showAnswer(search, act) {
  const {answer, error} = search;
  const waits = isWaiting(search);
  byId('results').setAttribute('aria-busy', String(waits));
  byId('top').value = search.top;
  filter.show(search.where, error && filter.isAbout(error) ? error : null);
  showError(waits ? null : error);
  if (answer) hits.show(answer.hits, act.compare, act.mark);
  else if (waits) hits.showWaiting();
  else hits.show([], act.compare, act.mark);
  showWords(search, waits);
  showMarks(search, act.mark);
}

function showWords({answer, error, name}, waits) {
  const found = answer?.hits ?? [];
  byId('summary').textContent = waits ? 'Searching …' : counted(found);
  byId('csv').hidden = byId('skip').hidden = !found.length || waits;
  byId('none').hidden = !answer || found.length > 0 || error !== null || waits;
  byId('none').textContent = answer ? sentence(answer.why_empty) : '';
  const isUnsure = !waits && found.length > 0 && answer.match !== null && answer.match < UNSURE;
  byId('unsure').hidden = !isUnsure;
  byId('unsure').textContent = isUnsure ? doubt(answer) : '';
  document.title = found.length && !waits ? `${nameOf(found[0])}, ${sureness(found[0])} - ${TITLE}` : TITLE;
  if (waits) say(`Searching with ${name}`);
  else if (!error) say(summary(found) + (isUnsure ? `. ${byId('unsure').textContent}` : '') || byId('none').textContent);
}

/** Returns why the first hit may be wrong: its own probability holds only if the index has the product. */
function doubt({hits: [first], match}) {
  const share = match < 0.01 ? 'less than 1\u00a0%' : percent(match);
  const note = first.confidence === null ? '' : ' The percentages below assume that the catalog has it.';
  const advice = byId('find').hidden ? '' : ' If the photo shows other things, too, choose “Find the object”.';
  return `The catalog may not have this product: the first hit is right with a probability of ${share}.${note}${advice}`;
}

function showError(error) {
  const isShown = error !== null && !filter.isAbout(error);
  byId('error').hidden = !isShown;
  byId('error-text').textContent = isShown ? sentence(error.message) : '';
  byId('error-hint').textContent = isShown ? sentence(error.hint ?? '') : '';
  if (error) say('');
}

/** Shows which products are marked: on their cards, and as a list in which marks can be removed. */
export function showMarks(search, mark) {
  hits.showMarks(search.answer?.hits ?? [], search.marks);
  byId('marks').hidden = !search.marks.size;
  byId('marked').replaceChildren(...[...search.marks].map(([key, kind]) => {
    const button = make('button', kind, `${kind === 'right' ? '✓' : '✗'} ${key.replace(/^id:/, 'image ')}`);
    button.type = 'button';
    button.setAttribute('aria-label', `Remove the mark: ${key} is ${kind}`);
    button.title = 'Remove the mark';
    button.addEventListener('click', () => mark({product: key}, kind));
    const item = make('li');
    item.append(button);
    return item;
  }));
}

byId('image').addEventListener('error', () => { // such as HEIC: the server may read what the browser cannot
  byId('canvas').hidden = byId('crop-hint').hidden = byId('crop-keys').hidden = true;
  byId('no-picture').hidden = false;
});
