// What the page asks the server for; a missing token is asked from the person, once.

/** An error of the server, with its hint. */
export class ServerError extends Error {
  constructor(status, body) {
    super(body.error || `the server answers with status ${status}`);
    this.status = status;
    this.hint = body.hint || '';
  }
}

let askForToken = async () => {};

/** Sets what is done where the server wants a token: a function that returns once it is given. */
export function onTokenNeeded(ask) { askForToken = ask; }

async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(path, {credentials: 'same-origin', ...options});
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new ServerError(0, {error: 'The server does not answer.', hint: 'Is it still running?'});
  }
  if (response.status === 401 && path !== '/v1/login') {
    await askForToken();
    return ask(path, options);
  }
  if (!response.ok) throw new ServerError(response.status, await response.json().catch(() => ({})));
  return response;
}

/** Returns what can be searched. */
export async function about() { return (await ask('/v1/index')).json(); }

/** Exchanges a token for a cookie. */
export async function logIn(token) {
  const body = JSON.stringify({token});
  await ask('/v1/login', {method: 'POST', headers: {'content-type': 'application/json'}, body});
}

function request(query, options) {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(options)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== null && one !== undefined && one !== '') parameters.append(name, one);
    }
  }
  if (query.photos.length) {
    const body = new FormData();
    for (const photo of query.photos) body.append('image', photo, photo.name || 'photo.jpg');
    return [parameters, {method: 'POST', body}];
  }
  const body = JSON.stringify(query.like ? {like: query.like} : {url: query.url});
  return [parameters, {method: 'POST', body, headers: {'content-type': 'application/json'}}];
}

/** Returns the answer to a query. */
export async function search(query, options, signal) {
  const [parameters, sent] = request(query, options);
  return (await ask(`/v1/search?${parameters}`, {...sent, signal})).json();
}

/** Returns the answer as a CSV file. */
export async function csv(query, options) {
  const [parameters, sent] = request(query, {...options, format: 'csv'});
  return (await ask(`/v1/search?${parameters}`, sent)).blob();
}

/** Returns where a photo and an image of the index agree. */
export async function match(query, options, item) {
  const [parameters, sent] = request(query, {...options, item});
  return (await ask(`/v1/match?${parameters}`, sent)).json();
}

/** Returns the address of the thumbnail of a hit. */
export function thumbnail(hit) { return hit.image.replace('/photo?', '/thumbnail?'); }
