// The query and a hit side by side, and where they agree.

import * as hits from './hits.js';

const element = id => document.getElementById(id);
const dialog = element('compare');
let ask = null;  // returns where the two agree
let onLike = () => {};

element('close-compare').addEventListener('click', () => dialog.close());
element('like').addEventListener('click', () => { dialog.close(); onLike(); });
element('heat').addEventListener('click', async () => {
  const isOn = element('heat').getAttribute('aria-pressed') !== 'true';
  element('heat').setAttribute('aria-pressed', String(isOn));
  if (isOn) await drawHeat();
  else hideHeat();
});

/** Opens the dialog. `query` is the address of the photo or null; `match` returns where they agree, or is null. */
export function open(hit, query, match, like) {
  ask = match;
  onLike = like;
  hideHeat();
  element('heat').hidden = match === null;
  element('heat').setAttribute('aria-pressed', 'false');
  element('compare-title').textContent = `${hit.rank}. ${hits.nameOf(hit)}, ${hits.sureness(hit)}`;
  element('compare-name').textContent = hits.nameOf(hit);
  element('compare-query').closest('figure').hidden = query === null;
  if (query !== null) element('compare-query').src = query;
  element('compare-hit').src = hit.image;
  element('compare-hit').alt = hits.nameOf(hit);
  element('compare-note').textContent = `cosine ${hit.cosine.toFixed(3)}`;
  hits.facts(hit, element('compare-facts'));
  dialog.showModal();
}

function hideHeat() {
  for (const id of ['heat-query', 'heat-hit']) element(id).hidden = true;
}

async function drawHeat() {
  try {
    const found = await ask();
    draw(element('heat-query'), element('compare-query'), found.query);
    draw(element('heat-hit'), element('compare-hit'), found.item);
    element('compare-note').textContent = `cosine ${found.cosine.toFixed(3)}; the brighter a place, the more of it comes from there`;
  } catch (error) {
    element('compare-note').textContent = error.message;
  }
}

/** Draws shares of the cosine (row by row) over the square of an image that the model sees. */
function draw(canvas, image, map) {
  const small = document.createElement('canvas');
  small.width = map.columns;
  small.height = map.rows;
  const pixels = new ImageData(map.columns, map.rows);
  const most = Math.max(...map.values, 1e-9);
  map.values.forEach((value, place) => {
    const share = Math.max(value, 0) / most;
    pixels.data.set([255, 140, 0, Math.round(190 * share)], 4 * place);
  });
  small.getContext('2d').putImageData(pixels, 0, 0);
  const [left, top, right, bottom] = map.box || [0, 0, 1, 1];  // of the image, as shares
  const {offsetLeft, offsetTop, clientWidth, clientHeight} = image;
  const [width, height] = [clientWidth * (right - left), clientHeight * (bottom - top)];
  Object.assign(canvas.style, {
    left: `${offsetLeft + clientWidth * left}px`, top: `${offsetTop + clientHeight * top}px`, width: `${width}px`, height: `${height}px`,
  });
  canvas.width = Math.round(width);
  canvas.height = Math.round(height);
  const context = canvas.getContext('2d');
  context.imageSmoothingQuality = 'high';
  context.drawImage(small, 0, 0, canvas.width, canvas.height);
  canvas.hidden = false;
}
