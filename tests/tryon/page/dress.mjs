// Dresses as the page does, with networks that give what is in a file. Arguments: the modules' folder, a job (JSON).

import { readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [folder, path] = process.argv.slice(2);
const { dress } = await import(pathToFileURL(`${folder}/dressing.js`));
const { cutOut } = await import(pathToFileURL(`${folder}/garment_mask.js`));
const job = JSON.parse(readFileSync(path, "utf8"));

function opened({ file, width, height }) {
  return { width, height, channels: 4, data: new Uint8ClampedArray(readFileSync(file)) };
}

function floats(file) {
  const bytes = readFileSync(file);
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
}

const seen = {};
async function run(inputs) {
  Object.assign(seen, inputs);
  return Object.fromEntries(Object.entries(job.made).map(([name, file]) => [name, floats(file)]));
}

try {
  const garment = cutOut(opened(job.garment));
  const [image, mask] = [await dress(run, job.size, opened(job.person), garment), garment.mask];
  writeFileSync(job.image, image.data);
  writeFileSync(job.mask, mask.data);
  for (const [name, file] of Object.entries(job.seen)) writeFileSync(file, seen[name]);
  console.log(`${image.width} ${image.height}`);
} catch (error) {
  console.log(`${error.constructor.name}: ${error.message}`);
}
