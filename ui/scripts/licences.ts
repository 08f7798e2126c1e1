// Owns: dist/licences.txt with the licence of every package that ends up in the bundle, and which licences
// may.
// Never: looks at build tools; what is not shipped needs no notice.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Plugin } from "vite";

const ALLOWED: readonly string[] = ["MIT", "ISC", "0BSD", "BSD-2-Clause", "BSD-3-Clause", "Apache-2.0"];

/**
 * Fonts are data with a licence of their own kind: it asks for its text to be kept, and leaves our code
 * alone.
 */
const ALLOWED_FOR_FONTS: readonly string[] = ["OFL-1.1"];

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly license?: string;
}

/** The folder of the package that a module belongs to; null for our own modules. */
function packageFolder(id: string): string | null {
  return /^(.*\/node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(id.replace(/^\0/, ""))?.[1] ?? null;
}

function notice(folder: string): string {
  const manifest = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as Manifest;
  const licence = manifest.license ?? "unknown";
  const font = manifest.name.startsWith("@fontsource");
  if (!(font ? ALLOWED_FOR_FONTS : ALLOWED).includes(licence)) {
    throw new Error(`${manifest.name} has the licence ${licence}, which scripts/licences.ts does not allow`);
  }
  const file = readdirSync(folder).find((name) => /^licen[cs]e/i.test(name));
  const text = file === undefined ? "" : readFileSync(join(folder, file), "utf8").trim();
  return `${manifest.name} ${manifest.version} (${licence})\n\n${text}\n`;
}

export function licences(): Plugin {
  return {
    name: "skopos-licences",
    apply: "build",
    generateBundle() {
      const folders = new Set<string>();
      for (const id of this.getModuleIds()) {
        const folder = packageFolder(id);
        if (folder !== null && existsSync(join(folder, "package.json"))) folders.add(folder);
      }
      // The font is named by a style sheet only and is no module.
      folders.add(join(import.meta.dirname, "..", "node_modules", "@fontsource-variable", "inter"));
      const source = [...folders]
        .sort()
        .map(notice)
        .join(`\n${"-".repeat(80)}\n\n`);
      this.emitFile({ type: "asset", fileName: "licences.txt", source });
    },
  };
}
