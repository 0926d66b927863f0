// Calls the page's functions. Arguments: the modules' folder, a list of calls (JSON): each of a module, a function, a
// picture, other arguments and the file in which the data of the picture that it gives are wanted. Says for each of them
// (JSON) the size of that, or what was refused, and after how many milliseconds.

import { readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [folder, path] = process.argv.slice(2);
const said = [];
for (const { module, name, given, rest, wanted } of JSON.parse(readFileSync(path, "utf8"))) {
  const called = (await import(pathToFileURL(`${folder}/${module}.js`)))[name];
  const image = { ...given, data: new Uint8ClampedArray(readFileSync(given.file)) };
  const began = performance.now();
  try {
    const { width, height, channels, data } = called(image, ...rest);
    writeFileSync(wanted, data);
    said.push({ shape: [height, width, channels], took: performance.now() - began });
  } catch (error) {
    if (error.constructor.name !== "Refusal") throw error;
    said.push({ refused: error.message, took: performance.now() - began });
  }
}
console.log(JSON.stringify(said));
