// Elements of the page: found by id, or made with text. Names come from users' tables, so they are never markup.

/**
 * Returns an element of the page.
 * @param {string} id
 * @returns {any}
 */
export const byId = id => document.getElementById(id);

/**
 * Returns a new element.
 * @param {string} tag
 * @param {string} [name] of its class
 * @param {string} [text] that it shows
 * @returns {any}
 */
export function make(tag, name = '', text = '') {
  const element = document.createElement(tag);
  if (name) element.className = name;
  if (text) {
    element.textContent = text;
    element.dir = 'auto'; // right to left where the text is
  }
  return element;
}

/** Has a screen reader read a text. */
export function say(text) { byId('live').textContent = text; }

/** Returns whether a dialog is open. */
export const hasDialog = () => document.querySelector('dialog[open]') !== null;

/** Returns whether keys belong to an element: what is typed into it must not move anything else. */
export const takesKeys = element => element.matches('input, select, textarea, [role=slider]');
