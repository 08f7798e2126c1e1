// Owns: the limit on what a browser has to load: prints the built files' gzip sizes and fails above the
// limit.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

const KB = 1000;
const GOAL_KB = 160;
const LIMIT_KB = 200;

const dist = join(import.meta.dirname, "..", "dist");
const html = readFileSync(join(dist, "index.html"), "utf8");
const main = /<script type="module"[^>]* src="\.\/(assets\/[^"]+\.js)"/.exec(html)?.[1];
if (main === undefined) throw new Error("dist/index.html names no main script: run `npm run build` first");

const gzipKb = (path) => gzipSync(readFileSync(join(dist, path)), { level: 9 }).length / KB;

let scripts = 0;
for (const name of readdirSync(join(dist, "assets")).sort()) {
  const path = `assets/${name}`;
  const size = gzipKb(path);
  if (name.endsWith(".js")) scripts += size;
  console.log(`${size.toFixed(1).padStart(7)} KB gzip  ${path}${path === main ? "  (main)" : ""}`);
}
const size = gzipKb(main);
console.log(`main ${size.toFixed(1)} KB of at most ${LIMIT_KB} KB (goal ${GOAL_KB} KB)`);
console.log(`all scripts ${scripts.toFixed(1)} KB`);
if (size > GOAL_KB) console.warn(`main bundle is above its goal of ${GOAL_KB} KB`);
if (size > LIMIT_KB) {
  console.error(
    `main bundle is above its limit of ${LIMIT_KB} KB: load what the first sight does not need lazily`,
  );
  process.exit(1);
}
