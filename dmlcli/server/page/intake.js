// Photos come in: by choosing a file, dropping, pasting, the camera, or an address.

const element = id => document.getElementById(id);
const images = files => [...files].filter(file => file.type.startsWith('image/') || /\.(jpe?g|png|webp|heic|bmp|tiff?|gif|avif)$/i.test(file.name));

/** Calls `take` with the photos that come in, `reject` with a sentence where there are none, `fetch` with an address. */
export function watch(take, reject, fetch) {
  const accept = files => {
    const found = images(files);
    if (found.length) take(found);
    else if (files.length) reject('This is not a photo.');
  };
  element('choose').addEventListener('click', () => element('file').click());
  element('file').addEventListener('change', event => { accept(event.target.files); event.target.value = ''; });
  document.addEventListener('paste', event => {
    if (event.clipboardData.files.length) { event.preventDefault(); accept(event.clipboardData.files); }
  });
  const drop = element('drop');
  let inside = 0;
  document.addEventListener('dragenter', () => { inside++; drop.classList.add('over'); });
  document.addEventListener('dragleave', () => { if (--inside <= 0) { inside = 0; drop.classList.remove('over'); } });
  document.addEventListener('dragover', event => event.preventDefault());
  document.addEventListener('drop', event => {
    event.preventDefault();
    inside = 0;
    drop.classList.remove('over');
    accept(event.dataTransfer.files);
  });
  element('url-form').addEventListener('submit', event => { event.preventDefault(); fetch(element('url').value.trim()); });
  element('camera').addEventListener('click', () => openCamera(take));
  element('shutter').addEventListener('click', shoot);
  element('close-camera').addEventListener('click', () => element('shoot').close());
  element('shoot').addEventListener('close', stop);
}

let stream = null;
let taken = () => {};

/** Shows what the camera sees; without one, asks for a file, for which phones offer their camera. */
async function openCamera(take) {
  taken = take;
  if (!navigator.mediaDevices) {
    const file = element('file');
    file.setAttribute('capture', 'environment');
    file.click();
    file.removeAttribute('capture');
    return;
  }
  element('camera-error').textContent = '';
  element('shutter').disabled = true;
  element('shoot').showModal();
  try {
    const wanted = {facingMode: 'environment', width: {ideal: 1920}, height: {ideal: 1080}};
    stream = await navigator.mediaDevices.getUserMedia({video: wanted});
    if (!element('shoot').open) return stop();
    element('video').srcObject = stream;
    await element('video').play();
    element('shutter').disabled = false;
    element('shutter').focus();
  } catch (error) {
    element('camera-error').textContent = error.name === 'NotAllowedError'
      ? 'The camera may not be used: allow it in the browser.' : 'No camera was found.';
  }
}

function shoot() {
  const video = element('video');
  const canvas = document.createElement('canvas');
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  canvas.getContext('2d').drawImage(video, 0, 0);
  canvas.toBlob(blob => {
    element('shoot').close();
    taken([new File([blob], 'camera.jpg', {type: 'image/jpeg'})]);
  }, 'image/jpeg', 0.92);
}

function stop() {
  if (stream) for (const track of stream.getTracks()) track.stop();
  stream = null;
  element('video').srcObject = null;
}
