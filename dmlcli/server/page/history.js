// The searches of this visit; they are kept in memory and are gone with the page.

const MOST = 30;
const list = document.getElementById('visits');
const section = document.getElementById('history');
let visits = [];

/** Adds a search, newest first; a search that is there already becomes the current one. */
export function add(visit, open) {
  if (!visits.includes(visit)) visits = [visit, ...visits].slice(0, MOST);
  section.hidden = visits.length < 2;
  list.replaceChildren(...visits.map(one => {
    const item = document.createElement('li');
    const button = document.createElement('button');
    button.type = 'button';
    button.setAttribute('aria-label', `search with ${one.name}`);
    if (one === visit) button.setAttribute('aria-current', 'true');
    if (one.picture) {
      const image = document.createElement('img');
      image.src = one.picture;
      image.alt = '';
      button.append(image);
    } else {
      button.textContent = one.name;
    }
    button.addEventListener('click', () => open(one));
    item.append(button);
    return item;
  }));
}
