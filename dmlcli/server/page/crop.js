// The part of a photo to search with: dragged with the mouse or a finger, or moved with the arrow keys.

const canvas = document.getElementById('canvas');
const box = document.getElementById('box');
const STEP = 0.05;  // of a side, for one press of a key
const LEAST = 0.05;  // of a side; less is a click, not a part
let part = null;  // left, top, width, height as shares of the sides; null: the whole photo
let start = null;
let changed = () => {};

/** Calls `done` with the part, once it has been chosen. */
export function onCrop(done) { changed = done; }

/** Shows a part, or the whole photo for null. */
export function showPart(chosen) {
  part = chosen;
  const [left, top, width, height] = part || [0, 0, 1, 1];
  Object.assign(box.style, {left: percent(left), top: percent(top), width: percent(width), height: percent(height), inset: part ? 'auto' : '0'});
  if (part) Object.assign(box.style, {left: percent(left), top: percent(top)});
  box.classList.toggle('part', part !== null);
  const text = part ? `left ${percent(left)}, top ${percent(top)}, ${percent(width)} wide, ${percent(height)} high` : 'the whole photo';
  box.setAttribute('aria-valuetext', text);
  box.setAttribute('aria-valuenow', String(Math.round(100 * width * height)));
}

/** Returns the part as the server takes it: "10%,0%,50%,100%", or null. */
export function asOption(chosen) { return chosen && chosen.map(share => `${(100 * share).toFixed(2)}%`).join(','); }

const percent = share => `${(100 * share).toFixed(1)}%`;
const within = (value, least, most) => Math.min(Math.max(value, least), most);

function point(event) {
  const frame = canvas.getBoundingClientRect();
  return [within((event.clientX - frame.left) / frame.width, 0, 1), within((event.clientY - frame.top) / frame.height, 0, 1)];
}

function between(a, b) {
  return [Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.abs(a[0] - b[0]), Math.abs(a[1] - b[1])];
}

canvas.addEventListener('pointerdown', event => {
  if (event.button !== 0) return;
  event.preventDefault();
  canvas.setPointerCapture(event.pointerId);
  start = point(event);
});
canvas.addEventListener('pointermove', event => { if (start) showPart(between(start, point(event))); });
canvas.addEventListener('pointerup', event => {
  if (!start) return;
  const chosen = between(start, point(event));
  start = null;
  if (chosen[2] < LEAST || chosen[3] < LEAST) { showPart(null); return; }
  showPart(chosen);
  changed(part);
});
canvas.addEventListener('pointercancel', () => { start = null; showPart(null); });

const moves = {ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP]};
box.addEventListener('keydown', event => {
  if (event.key === 'Enter') { event.preventDefault(); event.stopPropagation(); changed(part); return; }
  if (event.key === 'Delete' || event.key === 'Backspace') { event.preventDefault(); showPart(null); changed(null); return; }
  const move = moves[event.key];
  if (!move) return;
  event.preventDefault();
  event.stopPropagation();
  let [left, top, width, height] = part || [0.1, 0.1, 0.8, 0.8];
  if (event.shiftKey) {
    width = within(width + move[0], LEAST, 1 - left);
    height = within(height + move[1], LEAST, 1 - top);
  } else if (part) {
    left = within(left + move[0], 0, 1 - width);
    top = within(top + move[1], 0, 1 - height);
  }
  showPart([left, top, width, height]);
});
