// The filter: a condition on a column of the catalog, added to an SQL expression that can also be typed.

const element = id => document.getElementById(id);
const NUMBERS = [['=', '='], ['<', 'less than'], ['<=', 'at most'], ['>', 'more than'], ['>=', 'at least'], ['<>', 'not']];
const TEXTS = [['=', 'is'], ['<>', 'is not'], ['like', 'contains']];
let columns = [];

/** Offers the columns of an index. */
export function offer(found) {
  columns = found;
  element('column').replaceChildren(...columns.map(column => new Option(column.name, column.name)));
  for (const id of ['column', 'comparison', 'value', 'add']) element(id).disabled = !columns.length;
  chosen();
}

/** Calls `apply` with the expression when it changes. */
export function watch(apply) {
  element('column').addEventListener('change', chosen);
  element('filter').addEventListener('submit', event => {
    event.preventDefault();
    const condition = written();
    if (condition) {
      const where = element('where').value.trim();
      element('where').value = where ? `${where} and ${condition}` : condition;
      element('value').value = '';
    }
    apply();
  });
  element('where').addEventListener('change', apply);
  element('top').addEventListener('change', apply);
}

const current = () => columns.find(column => column.name === element('column').value);

function chosen() {
  const column = current();
  if (!column) return;
  const isNumber = column.kind === 'number';
  element('comparison').replaceChildren(...(isNumber ? NUMBERS : TEXTS).map(([sign, text]) => new Option(text, sign)));
  element('value').type = isNumber ? 'number' : 'text';
  element('value').step = 'any';
  element('value').value = '';
  element('value').placeholder = isNumber ? `${column.least} … ${column.most}` : '';
  element('values').replaceChildren(...(column.values || []).map(value => new Option(String(value))));
}

/** Returns the condition that is chosen, as SQL; "" without a value. */
function written() {
  const column = current();
  const value = element('value').value.trim();
  if (!column || !value) return '';
  const name = `"${column.name.replaceAll('"', '""')}"`;
  const sign = element('comparison').value;
  if (column.kind === 'number') return `${name} ${sign} ${value}`;
  const text = value.replaceAll("'", "''");
  return sign === 'like' ? `${name} like '%${text}%'` : `${name} ${sign} '${text}'`;
}
