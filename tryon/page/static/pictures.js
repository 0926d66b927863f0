// Pictures as arrays, with the same numbers as the Python package and Pillow: sizes, frames, resizing, tensors.
// A picture is {width, height, channels, data}: bytes, row by row, a pixel's channels together.

const SAME_PROPORTIONS = 0.03; // difference of two ratios of width to height that is as good as none
const GARMENT_FILL = 0.95; // share of a frame that a garment takes
const PRECISION = 22; // bits of Pillow's weights, which are whole numbers
export const HALF = 128;

export class Refusal extends Error {} // what is wrong with a visitor's picture, in one line

export function picture(width, height, channels) {
  return { width, height, channels, data: new Uint8ClampedArray(width * height * channels) };
}

// To the nearest whole number, halves to the even one.
export function rounded(number) {
  const below = Math.floor(number);
  const rest = number - below;
  return rest > 0.5 || (rest === 0.5 && below % 2 !== 0) ? below + 1 : below;
}

// RGBA laid on white as RGB, by Pillow's division by 255.
export function onWhite(image) {
  const { data } = image;
  const result = picture(image.width, image.height, 3);
  for (let from = 0, to = 0; from < data.length; from++) {
    const alpha = data[from + 3];
    for (const end = from + 3; from < end; from++, to++) {
      const sum = (data[from] * alpha + 255 * (255 - alpha) + 128) * 128;
      result.data[to] = ((sum >> 8) + sum) >> 15;
    }
  }
  return result;
}

export function channelOf(image, channel) {
  const result = picture(image.width, image.height, 1);
  for (let index = 0; index < result.data.length; index++) {
    result.data[index] = image.data[index * image.channels + channel];
  }
  return result;
}

function alike(image, [height, width]) {
  return Math.abs((image.width * height) / (image.height * width) - 1) <= SAME_PROPORTIONS;
}

// Frames are [left, top, right, bottom]. A person's has the height of the photo and the networks' proportions.
export function frameOfPerson(photo, size) {
  if (alike(photo, size)) return [0, 0, photo.width, photo.height];
  const width = Math.max(1, rounded((photo.height * size[1]) / size[0]));
  const left = Math.floor((photo.width - width) / 2);
  return [left, 0, left + width, photo.height];
}

// A garment's has the networks' proportions and leaves some room around it.
export function frameOfGarment(mask, size) {
  if (alike(mask, size)) return [0, 0, mask.width, mask.height];
  let [left, top, right, bottom] = [mask.width, mask.height, 0, 0];
  for (let y = 0, index = 0; y < mask.height; y++) {
    for (let x = 0; x < mask.width; x++, index++) {
      if (mask.data[index] < HALF) continue;
      left = Math.min(left, x);
      right = Math.max(right, x + 1);
      top = Math.min(top, y);
      bottom = y + 1;
    }
  }
  const height = Math.max(bottom - top, ((right - left) * size[0]) / size[1]) / GARMENT_FILL;
  const width = (height * size[1]) / size[0];
  const first = [rounded((left + right - width) / 2), rounded((top + bottom - height) / 2)];
  return [...first, first[0] + Math.max(1, rounded(width)), first[1] + Math.max(1, rounded(height))];
}

// What of a picture is in a frame. Beyond the picture its border goes on, or there is `outside`.
export function cut(image, [left, top, right, bottom], outside = null) {
  const { width, height, channels } = image;
  const result = picture(right - left, bottom - top, channels);
  for (let y = top, to = 0; y < bottom; y++) {
    for (let x = left; x < right; x++, to += channels) {
      const beyond = x < 0 || y < 0 || x >= width || y >= height;
      const column = Math.min(Math.max(x, 0), width - 1);
      const from = (Math.min(Math.max(y, 0), height - 1) * width + column) * channels;
      for (let channel = 0; channel < channels; channel++) {
        result.data[to + channel] = beyond && outside !== null ? outside : image.data[from + channel];
      }
    }
  }
  return result;
}

// Changes `photo`: what of `image` lies in it takes its place.
export function putBack(image, photo, [left, top]) {
  const { channels } = photo;
  for (let y = Math.max(0, -top); y < image.height && y + top < photo.height; y++) {
    for (let x = Math.max(0, -left); x < image.width && x + left < photo.width; x++) {
      const [from, to] = [(y * image.width + x) * channels, ((y + top) * photo.width + x + left) * channels];
      for (let channel = 0; channel < channels; channel++) photo.data[to + channel] = image.data[from + channel];
    }
  }
}

// Each pixel the mean of `factor` x `factor`, or of what is left of them at the right and below.
export function reduced(image, factor) {
  const { channels } = image;
  const result = picture(Math.ceil(image.width / factor), Math.ceil(image.height / factor), channels);
  for (let y = 0, to = 0; y < result.height; y++) {
    const [top, bottom] = [y * factor, Math.min((y + 1) * factor, image.height)];
    for (let x = 0; x < result.width; x++) {
      const [left, right] = [x * factor, Math.min((x + 1) * factor, image.width)];
      const count = (bottom - top) * (right - left);
      const share = Math.floor(Math.fround(2 ** 24 / count)); // Pillow multiplies in place of dividing
      for (let channel = 0; channel < channels; channel++, to++) {
        let sum = Math.floor(count / 2);
        for (let row = top; row < bottom; row++) {
          const end = (row * image.width + right) * channels;
          for (let from = (row * image.width + left) * channels + channel; from < end; from += channels) sum += image.data[from];
        }
        result.data[to] = Math.floor((sum * share) / 2 ** 24);
      }
    }
  }
  return result;
}

function cubic(x) {
  const distance = Math.abs(x);
  if (distance < 1) return (1.5 * distance - 2.5) * distance * distance + 1;
  if (distance < 2) return (((distance - 5) * distance + 8) * distance - 4) * -0.5;
  return 0;
}

// For each of `wanted` pixels in a line of `found`: the first pixel that it is made of, and their weights.
function weights(found, wanted) {
  const step = found / wanted;
  const scale = Math.max(step, 1);
  return Array.from({ length: wanted }, (_, index) => {
    const centre = (index + 0.5) * step;
    const first = Math.max(0, Math.floor(centre - 2 * scale + 0.5));
    const end = Math.min(found, Math.floor(centre + 2 * scale + 0.5));
    const parts = Array.from({ length: end - first }, (_, part) => cubic((first + part - centre + 0.5) * (1 / scale)));
    const sum = parts.reduce((total, part) => total + part, 0);
    const whole = parts.map((part) => Math.trunc((part / sum) * 2 ** PRECISION + (part < 0 ? -0.5 : 0.5)));
    return { first, parts: Int32Array.from(whole) };
  });
}

// Bicubic with antialiasing, rows first, each pass rounded to bytes.
export function resized(image, [height, width]) {
  const { channels } = image;
  if (image.height === height && image.width === width) return image;
  const wide = picture(width, image.height, channels);
  weights(image.width, width).forEach(({ first, parts }, x) => {
    for (let y = 0; y < image.height; y++) {
      for (let channel = 0; channel < channels; channel++) {
        let sum = 2 ** (PRECISION - 1);
        let from = (y * image.width + first) * channels + channel;
        for (let part = 0; part < parts.length; part++, from += channels) sum += Math.imul(parts[part], image.data[from]);
        wide.data[(y * width + x) * channels + channel] = sum >> PRECISION;
      }
    }
  });
  const result = picture(width, height, channels);
  const row = width * channels;
  const sums = new Int32Array(row);
  weights(image.height, height).forEach(({ first, parts }, y) => {
    sums.fill(2 ** (PRECISION - 1));
    parts.forEach((part, index) => {
      const from = (first + index) * row;
      for (let place = 0; place < row; place++) sums[place] += Math.imul(part, wide.data[from + place]);
    });
    for (let place = 0; place < row; place++) result.data[y * row + place] = sums[place] >> PRECISION;
  });
  return result;
}

// Tensors are Float32Arrays of channels x height x width, colours in [-1, 1].
export function tensorOf(image) {
  const pixels = image.width * image.height;
  const result = new Float32Array(pixels * image.channels);
  for (let index = 0, from = 0; index < pixels; index++) {
    for (let channel = 0; channel < image.channels; channel++, from++) {
      result[channel * pixels + index] = image.data[from] / 127.5 - 1;
    }
  }
  return result;
}

export function imageOf(tensor, [height, width]) {
  const result = picture(width, height, 3);
  const pixels = width * height;
  for (let index = 0; index < pixels; index++) {
    for (let channel = 0; channel < 3; channel++) {
      result.data[index * 3 + channel] = (tensor[channel * pixels + index] + 1) * 127.5;
    }
  }
  return result;
}

// The garment in the middle of a canvas of a size, as the networks see it: {image, mask} tensors, 0 around it.
export function garmentTensors(photo, mask, [height, width]) {
  const scale = Math.min(height / photo.height, width / photo.width);
  const fitted = [photo.height, photo.width].map((side) => Math.max(1, rounded(side * scale)));
  const [image, inside] = [resized(photo, fitted), resized(mask, fitted)];
  const [top, left] = [Math.floor((height - fitted[0]) / 2), Math.floor((width - fitted[1]) / 2)];
  const pixels = width * height;
  const result = { image: new Float32Array(3 * pixels), mask: new Float32Array(pixels) };
  for (let y = 0, index = 0; y < fitted[0]; y++) {
    for (let x = 0; x < fitted[1]; x++, index++) {
      if (inside.data[index] < HALF) continue;
      const to = (y + top) * width + x + left;
      result.mask[to] = 1;
      for (let channel = 0; channel < 3; channel++) {
        result.image[channel * pixels + to] = image.data[index * 3 + channel] / 127.5 - 1;
      }
    }
  }
  return result;
}
