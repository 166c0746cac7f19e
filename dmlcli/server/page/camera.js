// The camera: a viewfinder with a shutter. Without one, the page opens the choice of a file, for which phones offer theirs.

import {byId} from './dom.js';

const dialog = byId('viewfinder');
const video = byId('video');
let stream = null;
let isFront = false; // whether the camera faces the person
let taken = () => {};

/** Calls a function with each photo that is taken. */
export function onPhoto(call) { taken = call; }

/** Opens the viewfinder. */
export async function openCamera() {
  if (!navigator.mediaDevices?.getUserMedia) { // browsers have it for https and this machine alone
    const file = byId('file');
    file.setAttribute('capture', 'environment');
    file.click();
    file.removeAttribute('capture');
    return;
  }
  if (!dialog.open) dialog.showModal();
  await start();
}

async function start() {
  stop();
  byId('camera-error').textContent = '';
  byId('shutter').disabled = true;
  try {
    const wanted = {facingMode: isFront ? 'user' : 'environment', width: {ideal: 1920}, height: {ideal: 1440}};
    const found = await navigator.mediaDevices.getUserMedia({video: wanted});
    stream = found;
    if (!dialog.open) return stop(); // closed before the browser had permission
    video.srcObject = found;
    await video.play();
    byId('shutter').disabled = false;
    byId('shutter').focus();
    const devices = await navigator.mediaDevices.enumerateDevices();
    byId('turn').hidden = devices.filter(device => device.kind === 'videoinput').length < 2;
  } catch (error) {
    byId('camera-error').textContent = error.name === 'NotAllowedError'
      ? 'The browser does not let this page use the camera. Allow it in the browser, or choose a photo.'
      : 'No camera was found. Choose a photo instead.';
  }
}

function stop() {
  for (const track of stream?.getTracks() ?? []) track.stop();
  stream = null;
  video.srcObject = null;
}

function shoot() {
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  canvas.getContext('2d').drawImage(video, 0, 0);
  canvas.toBlob(blob => {
    dialog.close();
    taken(new File([blob], 'camera.jpg', {type: 'image/jpeg'}));
  }, 'image/jpeg', 0.92);
}

byId('camera').addEventListener('click', openCamera);
byId('shutter').addEventListener('click', shoot);
byId('turn').addEventListener('click', () => { isFront = !isFront; start(); });
byId('close-camera').addEventListener('click', () => dialog.close());
dialog.addEventListener('close', stop);
