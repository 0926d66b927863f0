// Beside the page: loads the networks and dresses people, so that the page stays responsive.

import { dress } from "./dressing.js";
import { cutOut } from "./garment_mask.js";
import { Refusal } from "./pictures.js";

const LARGEST_SIDE = 1536; // larger photos are reduced to it: a phone's memory is small
const RUNTIMES = { webgpu: "./runtime/ort.webgpu.min.mjs", wasm: "./runtime/ort.wasm.min.mjs" };
const MOST_THREADS = 8;

let session = null;
let tensor = null;
let about = null;
let worn = { number: null }; // the garment of the last request, which a camera's next picture has too

self.onmessage = async ({ data: { id, task, ...given } }) => {
  try {
    const [answer, moved] = await (task === "load" ? load(given) : dressed(given));
    self.postMessage({ id, ...answer }, moved);
  } catch (error) {
    self.postMessage({ id, refusal: error instanceof Refusal, error: error.message ?? String(error) });
  }
};

async function load({ files, backend }) {
  about = files;
  const model = await fetched(files.model);
  const gpu = backend !== "wasm" && (await self.navigator.gpu?.requestAdapter());
  for (const kind of gpu ? ["webgpu", "wasm"] : ["wasm"]) {
    try {
      const ort = await import(RUNTIMES[kind]);
      ort.env.wasm.wasmPaths = new URL("./runtime/", import.meta.url).href;
      ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency, MOST_THREADS) : 1;
      session = await ort.InferenceSession.create(model, { executionProviders: [kind] });
      tensor = (values, channels) => new ort.Tensor("float32", values, [1, channels, ...files.size]);
      await run(blank()); // a graphics card that cannot compute it says so here
      return [{ backend: kind, threads: ort.env.wasm.numThreads }, []];
    } catch (error) {
      if (kind === "wasm") throw error;
    }
  }
}

function blank() {
  const pixels = about.size[0] * about.size[1];
  return { person: new Float32Array(3 * pixels), garment: new Float32Array(3 * pixels), garment_mask: new Float32Array(pixels) };
}

async function fetched({ name, bytes }) {
  const response = await fetch(name);
  if (!response.ok) throw new Error(`${name}: the server said ${response.status}`);
  const parts = new Uint8Array(bytes);
  let received = 0;
  for (const reader = response.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) break;
    if (received + value.length > bytes) throw new Error(`${name}: is not the file that this page was made with`);
    parts.set(value, received);
    received += value.length;
    self.postMessage({ progress: received / bytes });
  }
  if (received !== bytes) throw new Error(`${name}: found ${received} bytes, wanted ${bytes}`);
  return parts;
}

async function run({ person, garment, garment_mask: mask }) {
  const inputs = { person: tensor(person, 3), garment: tensor(garment, 3), garment_mask: tensor(mask, 1) };
  const made = await session.run(inputs, about.outputs);
  return Object.fromEntries(about.outputs.map((name) => [name, made[name].data]));
}

// `person` is a file or a picture of a camera, `garment` a file and the number of the choice of it.
async function dressed({ person, garment }) {
  const began = performance.now();
  const photo = await opened(person, "person");
  if (worn.number !== garment.number) worn = { ...cutOut(await opened(garment.file, "garment")), number: garment.number };
  let networks = 0;
  const timed = async (inputs) => {
    const start = performance.now();
    const made = await run(inputs);
    networks = performance.now() - start;
    return made;
  };
  const image = shown(await dress(timed, about.size, photo, worn));
  const answer = { image, before: shown(photo), garment: shown(worn.photo, worn.mask), networks, all: performance.now() - began };
  return [answer, [answer.image.data.buffer, answer.before.data.buffer, answer.garment.data.buffer]];
}

// RGBA of a file or picture, upright, no larger than `LARGEST_SIDE`.
async function opened(file, name) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation: "from-image", premultiplyAlpha: "none" });
  } catch {
    throw new Refusal(`${name}: cannot be read as an image by this browser`);
  }
  const scale = Math.min(1, LARGEST_SIDE / Math.max(bitmap.width, bitmap.height));
  const [width, height] = [bitmap.width, bitmap.height].map((side) => Math.max(1, Math.round(side * scale)));
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, width, height);
  bitmap.close();
  return { width, height, channels: 4, data: context.getImageData(0, 0, width, height).data };
}

// As RGBA to be shown; what a mask leaves out is veiled.
function shown(image, mask = null) {
  const { width, height, channels } = image;
  const data = new Uint8ClampedArray(width * height * 4);
  for (let index = 0; index < width * height; index++) {
    const veil = mask !== null && mask.data[index] < 128;
    for (let channel = 0; channel < 3; channel++) {
      const level = image.data[index * channels + channel];
      data[index * 4 + channel] = veil ? level * 0.25 + [100, 116, 139][channel] * 0.75 : level;
    }
    data[index * 4 + 3] = channels === 4 ? image.data[index * 4 + 3] : 255;
  }
  return { width, height, data };
}
