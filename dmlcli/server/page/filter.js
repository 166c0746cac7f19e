// The filter: conditions on columns of the catalog, written as an SQL expression that can also be typed.

import {byId} from './dom.js';
import {sentence} from './words.js';

const EMPTY = [['is null', 'is empty'], ['is not null', 'is not empty']];
const NUMBERS = [
  ['=', 'is'], ['<=', 'at most'], ['>=', 'at least'], ['<', 'less than'], ['>', 'more than'], ['<>', 'is not'], ...EMPTY,
];
const TEXTS = [['=', 'is'], ['<>', 'is not'], ['contains', 'contains'], ['starts', 'starts with'], ...EMPTY];
const PRODUCT = {name: 'product', kind: 'text', values: null};
let columns = [];

/** Offers the columns of an index. */
export function offer(found) {
  columns = [...found, PRODUCT];
  byId('column').replaceChildren(...columns.map(column => new Option(column.name, column.name)));
  showColumn();
}

/** Shows a filter, and why the server does not take it. */
export function show(where, error = null) {
  byId('where').value = where;
  byId('filter-button').textContent = where ? 'Filter: on' : 'Filter';
  byId('no-filter').hidden = !where;
  byId('where').setAttribute('aria-invalid', String(error !== null));
  byId('where-error').textContent = error ? `${reason(error, where)} ${help(error.hint)}` : '';
  if (error) open(true);
}

const reason = (error, where) => sentence(error.message.replace(`--where ${where}: `, ''));
const help = hint => (hint.startsWith('--where ') ? `Example: ${JSON.parse(hint.slice(8))}` : sentence(hint));

/** Opens or closes the form. */
export function open(isOpen) {
  byId('filter').hidden = !isOpen;
  byId('filter-button').setAttribute('aria-expanded', String(isOpen));
}

/** Returns whether an error is about the filter. */
export const isAbout = error => error.status === 400 && error.message.includes('--where');

/** Calls a function with the filter when it changes. */
export function onFilter(apply) {
  byId('filter-button').addEventListener('click', () => open(byId('filter').hidden));
  byId('column').addEventListener('change', showColumn);
  byId('comparison').addEventListener('change', showValue);
  byId('add').addEventListener('click', () => { add(); apply(byId('where').value.trim()); });
  byId('no-filter').addEventListener('click', () => apply(''));
  byId('filter').addEventListener('submit', event => {
    event.preventDefault();
    if (document.activeElement !== byId('where')) add(); // Enter in the value adds the condition
    apply(byId('where').value.trim());
  });
}

const chosen = () => columns.find(column => column.name === byId('column').value) || PRODUCT;
const needsValue = () => !byId('comparison').value.endsWith('null');

function showColumn() {
  const column = chosen();
  const isNumber = column.kind === 'number';
  byId('comparison').replaceChildren(...(isNumber ? NUMBERS : TEXTS).map(([sign, text]) => new Option(text, sign)));
  Object.assign(byId('value'), {type: isNumber ? 'number' : 'text', step: 'any', value: ''});
  byId('value').placeholder = isNumber ? `${column.least} to ${column.most}` : '';
  byId('values').replaceChildren(...(column.values || []).map(value => new Option(String(value))));
  showValue();
}

function showValue() { byId('value').disabled = !needsValue(); }

/** Adds the condition that is chosen to the expression. */
function add() {
  const added = condition(chosen(), byId('comparison').value, byId('value').value.trim());
  if (!added) return;
  const where = byId('where').value.trim();
  const first = /\bor\b/i.test(where) ? `(${where})` : where; // "and" binds before "or"
  byId('where').value = first ? `${first} and ${added}` : added;
  byId('value').value = '';
}

/** Returns a condition as SQL; "" where it lacks a value. */
function condition(column, sign, value) {
  const name = /^[a-z_]\w*$/i.test(column.name) ? column.name : `"${column.name.replaceAll('"', '""')}"`;
  if (!needsValue()) return `${name} ${sign}`;
  if (!value) return '';
  const text = column.kind === 'number' ? value : `'${value.replaceAll("'", "''")}'`;
  if (sign === '<>') return `(${name} <> ${text} or ${name} is null)`; // an empty cell is not the value either
  if (sign !== 'contains' && sign !== 'starts') return `${name} ${sign} ${text}`;
  const start = sign === 'contains' ? '%' : '';
  const pattern = value.replaceAll("'", "''").replace(/[\\%_]/g, '\\$&');
  return `${name} like '${start}${pattern}%'${/[\\%_]/.test(value) ? " escape '\\'" : ''}`;
}
