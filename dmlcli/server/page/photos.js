// Photos come in as files: chosen, dropped or pasted; or as an address, where the server fetches addresses.

import {byId} from './dom.js';

const SUFFIXES = /\.(jpe?g|png|webp|heic|heif|bmp|tiff?|gif|avif)$/i;
const isPhoto = file => file.type.startsWith('image/') || SUFFIXES.test(file.name);

/**
 * Watches for photos.
 * @param {(photos: File[]) => void} take is called with photos
 * @param {(url: string) => void} fetchUrl is called with the address of a photo
 * @param {(message: string) => void} reject is called with the reason where something else comes in
 */
export function watchPhotos(take, fetchUrl, reject) {
  const accept = data => {
    const photos = [...data.files].filter(isPhoto);
    const text = (data.getData?.('text/uri-list') || data.getData?.('text/plain') || '').trim();
    if (photos.length) take(photos);
    else if (data.files.length) reject(`${data.files[0].name} is not a photo.`);
    else if (/^https?:\/\/\S+$/.test(text)) fetchUrl(text);
    else return false;
    return true;
  };
  byId('choose').addEventListener('click', choosePhotos);
  byId('file').addEventListener('change', event => {
    accept(event.target);
    event.target.value = ''; // the same file can be chosen again
  });
  document.addEventListener('paste', event => {
    const isTyping = event.target instanceof Element && event.target.matches('input, textarea');
    if (isTyping && !event.clipboardData.files.length) return;
    if (accept(event.clipboardData)) event.preventDefault();
  });
  byId('url-form').addEventListener('submit', event => {
    event.preventDefault();
    fetchUrl(byId('url').value.trim());
  });
  watchDrops(accept);
}

/** Asks for files. */
export function choosePhotos() { byId('file').click(); }

/** Lets photos be dropped anywhere on the page. */
function watchDrops(accept) {
  let inside = 0; // elements that have been entered and not left
  const isOver = is => {
    inside = is ? inside : 0;
    document.body.classList.toggle('over', is);
  };
  document.addEventListener('dragenter', () => { inside++; isOver(true); });
  document.addEventListener('dragleave', () => { if (--inside <= 0) isOver(false); });
  document.addEventListener('dragover', event => event.preventDefault());
  document.addEventListener('drop', event => {
    event.preventDefault();
    isOver(false);
    accept(event.dataTransfer);
  });
}
