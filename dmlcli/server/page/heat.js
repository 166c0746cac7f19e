// Draws where a photo and an image agree: the brighter a place, the more of the cosine comes from it.

const SIZE = 512; // pixels of the longer side
const STRONGEST = 0.85; // opacity of the place that agrees most
const COLORS = [[124, 29, 111], [220, 57, 119], [240, 116, 110], [252, 222, 156]]; // from little to much

/**
 * Draws a map over an image.
 * @param {HTMLCanvasElement} canvas as large as the image
 * @param {{rows: number, columns: number, values: number[], box?: number[]}} map shares of the cosine, row by row;
 *   `box`: the part of the image that it covers: left, top, width, height as shares of its sides
 * @param {number} width of the image
 * @param {number} height of the image
 */
export function drawHeat(canvas, map, width, height) {
  const scale = SIZE / Math.max(width, height);
  [canvas.width, canvas.height] = [Math.round(width * scale), Math.round(height * scale)];
  const [left, top, wide, high] = map.box || [0, 0, 1, 1];
  const context = canvas.getContext('2d');
  context.imageSmoothingQuality = 'high';
  context.drawImage(cells(map), left * canvas.width, top * canvas.height, wide * canvas.width, high * canvas.height);
}

/** Returns the map with one pixel for each of its cells. */
function cells(map) {
  const pixels = new ImageData(map.columns, map.rows);
  const most = Math.max(...map.values, 1e-9);
  map.values.forEach((value, place) => {
    const share = Math.max(value, 0) / most;
    pixels.data.set([...color(share), Math.round(255 * STRONGEST * share)], 4 * place);
  });
  const small = document.createElement('canvas');
  [small.width, small.height] = [map.columns, map.rows];
  small.getContext('2d').putImageData(pixels, 0, 0);
  return small;
}

function color(share) {
  const at = share * (COLORS.length - 1);
  const low = COLORS[Math.floor(at)];
  const high = COLORS[Math.ceil(at)];
  return low.map((value, channel) => Math.round(value + (high[channel] - value) * (at % 1)));
}
