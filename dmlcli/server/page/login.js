// Asks for the token of the server, and exchanges it for a cookie.

import {byId} from './dom.js';
import {logIn} from './server.js';
import {sentence} from './words.js';

const dialog = byId('login');
let done = () => {};

/** Asks for the token; returns once it is accepted. */
export function askForToken() {
  if (!dialog.open) dialog.showModal();
  return new Promise(resolve => { done = resolve; });
}

byId('login-form').addEventListener('submit', async event => {
  event.preventDefault();
  byId('login-error').textContent = '';
  try {
    await logIn(byId('token').value);
    byId('token').value = '';
    dialog.close();
    done();
  } catch (error) {
    byId('login-error').textContent = sentence(error.message);
  }
});
dialog.addEventListener('cancel', event => event.preventDefault()); // without the token there is nothing behind it
