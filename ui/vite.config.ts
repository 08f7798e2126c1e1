// Owns: the build into dist/ (embedded in the binary from there), and the servers for development and page
// tests.

import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";
import { licences } from "./scripts/licences";

const OUT = join(import.meta.dirname, "dist");

/** The program that answers the API while the page is developed or tested without being embedded. */
const API = process.env.SKOPOS_API ?? "http://localhost:9090";

/**
 * What a strict server would send; `vite preview` sends it so that the page tests prove the page lives with
 * it.
 */
const STRICT_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "font-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'self'",
  "frame-ancestors 'none'",
].join("; ");

/**
 * Vite's own emptying would delete dist/README.md, which is tracked so that the folder exists before a build.
 */
function cleanDist(): Plugin {
  return {
    name: "skopos-clean-dist",
    apply: "build",
    buildStart() {
      for (const entry of readdirSync(OUT, { withFileTypes: true })) {
        if (entry.name !== "README.md") rmSync(join(OUT, entry.name), { recursive: true });
      }
    },
  };
}

const proxy = { "/api": { target: API, changeOrigin: true } };

export default defineConfig({
  // Relative addresses: the page works below any route prefix.
  base: "./",
  plugins: [react(), cleanDist(), licences()],
  build: {
    outDir: OUT,
    emptyOutDir: false,
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: true,
  },
  server: { host: "127.0.0.1", proxy },
  preview: { host: "127.0.0.1", proxy, headers: { "content-security-policy": STRICT_POLICY } },
});
