// The part of a photo to search with: dragged with the mouse or a finger, or moved with the arrow keys.

import {byId} from './dom.js';

const STEP = 0.05; // of a side, for one press of a key
const LEAST = 0.04; // of a side; less is a click, not a part
const GRIP = 18; // pixels around a corner in which it is dragged
const START = [0.15, 0.15, 0.7, 0.7]; // what the first arrow key selects
const canvas = byId('canvas');
const box = byId('box');
let part = null; // left, top, width, height as shares of the sides; null: the whole photo
let before = null; // the part before it was dragged
let drag = null; // returns the part for a point
let changed = () => {};

/** Calls a function with the part once it has been chosen; null is the whole photo. */
export function onCrop(call) { changed = call; }

/** Returns a part as the server takes it: "10.00%,0.00%,50.00%,100.00%", or "auto"; null for the whole photo. */
export const asOption = chosen => (Array.isArray(chosen) ? chosen.map(share => `${(100 * share).toFixed(2)}%`).join(',') : chosen);

/** Shows a part; null is the whole photo, and so is a part that is still to be found. */
export function showPart(chosen) {
  part = Array.isArray(chosen) ? chosen : null;
  const [left, top, width, height] = (part || [0, 0, 1, 1]).map(share => `${(100 * share).toFixed(1)}%`);
  Object.assign(box.style, {left, top, width, height});
  box.classList.toggle('part', part !== null);
  const text = part ? `left ${left}, top ${top}, ${width} wide, ${height} high` : 'the whole photo';
  box.setAttribute('aria-valuetext', text);
  box.setAttribute('aria-valuenow', String(part ? Math.round(100 * part[2] * part[3]) : 100));
}

const within = (value, least, most) => Math.min(Math.max(value, least), most);
const between = (a, b) => [Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.abs(a[0] - b[0]), Math.abs(a[1] - b[1])];
const moved = ([x, y], [left, top, width, height]) =>
  [within(left + x, 0, 1 - width), within(top + y, 0, 1 - height), width, height];
const resized = ([x, y], [left, top, width, height]) =>
  [left, top, within(width + x, LEAST, 1 - left), within(height + y, LEAST, 1 - top)];

function point(event) {
  const frame = canvas.getBoundingClientRect();
  return [within((event.clientX - frame.left) / frame.width, 0, 1), within((event.clientY - frame.top) / frame.height, 0, 1)];
}

/** Returns what a drag from a point does: resize from a corner, move the part, or select a new one. */
function dragFrom(from) {
  if (part) {
    const {width, height} = canvas.getBoundingClientRect();
    const [left, top, wide, high] = part;
    const isNear = (x, y) => Math.abs(from[0] - x) * width < GRIP && Math.abs(from[1] - y) * height < GRIP;
    for (const [x, otherX] of [[left, left + wide], [left + wide, left]]) {
      for (const [y, otherY] of [[top, top + high], [top + high, top]]) {
        if (isNear(x, y)) return to => between([otherX, otherY], to);
      }
    }
    const start = part;
    const isInside = from[0] > left && from[0] < left + wide && from[1] > top && from[1] < top + high;
    if (isInside) return to => moved([to[0] - from[0], to[1] - from[1]], start);
  }
  return to => between(from, to);
}

canvas.addEventListener('pointerdown', event => {
  if (event.button !== 0) return;
  event.preventDefault();
  canvas.setPointerCapture(event.pointerId);
  before = part;
  drag = dragFrom(point(event));
});
canvas.addEventListener('pointermove', event => { if (drag) showPart(drag(point(event))); });
canvas.addEventListener('pointerup', event => {
  if (!drag) return;
  const chosen = drag(point(event));
  drag = null;
  const isPart = chosen[2] >= LEAST && chosen[3] >= LEAST;
  showPart(isPart ? chosen : before);
  if (isPart && String(chosen) !== String(before)) changed(chosen);
});
canvas.addEventListener('pointercancel', () => { drag = null; showPart(before); });

const arrows = {ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP]};
box.addEventListener('keydown', event => {
  const by = arrows[event.key];
  if (by && !event.altKey && !event.ctrlKey && !event.metaKey) {
    const change = event.shiftKey ? resized : moved;
    showPart(part ? change(by, part) : START);
  } else if (event.key === 'Enter') {
    changed(part);
  } else if (event.key === 'Delete' || event.key === 'Backspace') {
    showPart(null);
    changed(null);
  } else {
    return;
  }
  event.preventDefault();
  event.stopPropagation();
});
