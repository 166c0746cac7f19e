// Requests of the page. A missing token is requested once, and a request to a busy server is repeated.

const TRIES = 4; // of a request while the server is busy
const BUSY = [429, 503];

/** An error of the server, with its hint; the status is 0 where it does not answer. */
export class ServerError extends Error {
  constructor(status, body) {
    super(body.error || `the server answers with status ${status}`);
    this.status = status;
    this.hint = body.hint || '';
  }
}

let token = async () => {};

/** Sets what is done where the server needs a token: a function that returns once the page is logged in. */
export function onTokenNeeded(ask) {
  let asking = null; // several requests wait for one dialog
  token = () => (asking ??= ask().finally(() => { asking = null; }));
}

const pause = seconds => new Promise(resolve => { setTimeout(resolve, 1000 * seconds); });

async function ask(path, options = {}, tries = TRIES) {
  let response;
  try {
    response = await fetch(path, {credentials: 'same-origin', ...options});
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new ServerError(0, {error: 'the server does not answer', hint: 'Is it running, and is this machine connected?'});
  }
  if (response.status === 401 && path !== '/v1/login') {
    await token();
    return ask(path, options, tries);
  }
  if (BUSY.includes(response.status) && tries > 1) {
    await pause(Number(response.headers.get('retry-after')) || 1);
    return ask(path, options, tries - 1);
  }
  if (!response.ok) throw new ServerError(response.status, await response.json().catch(() => ({})));
  return response;
}

/** Returns what can be searched: the indexes with their columns, and the limits of the server. */
export async function about() { return (await ask('/v1/index')).json(); }

/** Exchanges a token for a cookie. */
export async function logIn(given) {
  const body = JSON.stringify({token: given});
  await ask('/v1/login', {method: 'POST', headers: {'content-type': 'application/json'}, body});
}

/** Returns the parameters and the body of a request with the query of a search. */
function request(search, options) {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(options)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== null && one !== '') parameters.append(name, one);
    }
  }
  if (search.photos.length) {
    const body = new FormData();
    for (const photo of search.photos) body.append('image', photo, photo.name || 'photo.jpg');
    return [parameters, {method: 'POST', body}];
  }
  const body = JSON.stringify(search.like ? {like: search.like} : {url: search.url});
  return [parameters, {method: 'POST', body, headers: {'content-type': 'application/json'}}];
}

/** Returns the answer to a search. */
export async function find(search, options, signal) {
  const [parameters, sent] = request(search, options);
  return (await ask(`/v1/search?${parameters}`, {...sent, signal})).json();
}

/** Returns the answer to a search as a CSV file. */
export async function csv(search, options) {
  const [parameters, sent] = request(search, {...options, format: 'csv'});
  return (await ask(`/v1/search?${parameters}`, sent)).blob();
}

/** Returns where the photo of a search and an image of the index agree. */
export async function match(search, options, item, signal) {
  const [parameters, sent] = request(search, {...options, item});
  return (await ask(`/v1/match?${parameters}`, {...sent, signal})).json();
}

/** Returns the images of a product. */
export async function product(name, index, signal) {
  const path = name.split('/').map(encodeURIComponent).join('/');
  return (await ask(`/v1/products/${path}?${new URLSearchParams({index})}`, {signal})).json();
}

/** Returns the address of the thumbnail of an image of the index. */
export function thumbnail(image) { return image.replace('/photo?', '/thumbnail?'); }
