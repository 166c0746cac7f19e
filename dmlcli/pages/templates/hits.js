// Arrow keys (or h, j, k, l) move over hits and queries, Enter enlarges a hit, Escape closes it.
const hits = [...document.querySelectorAll('.hits .hit')];
const rows = [...document.querySelectorAll('.query')].map(row => [...row.querySelectorAll('.hit')]);
const dialog = document.querySelector('dialog');
const letters = {l: 'ArrowRight', h: 'ArrowLeft', j: 'ArrowDown', k: 'ArrowUp'};
let current = hits[0];

function enlarge(hit) {
  dialog.replaceChildren(hit.cloneNode(true));
  dialog.firstChild.removeAttribute('tabindex');
  if (!dialog.open) dialog.showModal();
}
function moveTo(hit) {
  if (!hit) return;
  current = hit;
  if (dialog.open) enlarge(hit);
  else { hit.focus(); hit.scrollIntoView({block: 'nearest'}); }
}
function inRow(step) {  // the hit at the same place of the next query (or the one before) that has hits
  let row = rows.findIndex(hits => hits.includes(current));
  const place = rows[row].indexOf(current);
  do row += step; while (rows[row] && !rows[row].length);
  return rows[row] && rows[row][Math.min(place, rows[row].length - 1)];
}
const moves = {
  ArrowRight: () => hits[hits.indexOf(current) + 1], ArrowLeft: () => hits[hits.indexOf(current) - 1],
  ArrowDown: () => inRow(1), ArrowUp: () => inRow(-1), Home: () => hits[0], End: () => hits.at(-1),
};
dialog.addEventListener('click', () => dialog.close());
dialog.addEventListener('close', () => current.focus());
for (const hit of hits) {
  hit.addEventListener('click', () => { current = hit; enlarge(hit); });
  hit.addEventListener('focus', () => { current = hit; });
}
document.addEventListener('keydown', event => {
  if (event.ctrlKey || event.metaKey || event.altKey || !current) return;
  const key = letters[event.key] || event.key;
  const started = dialog.open || hits.includes(document.activeElement);
  if (moves[key]) { event.preventDefault(); moveTo(started ? moves[key]() : current); }
  else if (key === 'Enter' && started) { event.preventDefault(); dialog.open ? dialog.close() : enlarge(current); }
});
