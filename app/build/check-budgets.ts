/** Fails the build when a download outgrows its budget. Sizes are gzip, as stored beside the files. */
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";

interface Chunk {
  file: string;
  css?: string[];
  imports?: string[];
  isEntry?: boolean;
}

const DIST = new URL("../dist", import.meta.url).pathname;
const KB = 1000;

const manifest: Record<string, Chunk> = JSON.parse(await readFile(join(DIST, ".vite/manifest.json"), "utf8"));

function chunkOf(key: string): Chunk {
  const chunk = manifest[key];
  if (chunk === undefined) throw new Error(`the build has no chunk ${key}`);
  return chunk;
}

/** What a browser loads for an entry: its own files and those of everything that it imports. */
function filesOf(key: string, seen = new Set<string>()): Set<string> {
  const chunk = chunkOf(key);
  if (seen.has(chunk.file)) return seen;
  seen.add(chunk.file);
  for (const file of chunk.css ?? []) seen.add(file);
  for (const imported of chunk.imports ?? []) filesOf(imported, seen);
  return seen;
}

/** What is compressed already, such as a font, has no `.gz` beside it. */
async function gzipBytes(files: Iterable<string>): Promise<number> {
  const sizes = Array.from(files, async file => {
    const compressed = await stat(join(DIST, `${file}.gz`)).catch(() => undefined);
    return (compressed ?? (await stat(join(DIST, file)))).size;
  });
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}

const ofType = (files: Iterable<string>, ending: string) => [...files].filter(file => file.endsWith(ending));

const first = filesOf("index.html");
const later = (key: string) => [...filesOf(key)].filter(file => !first.has(file));
const language = Object.keys(manifest).find(key => key.includes("languages/python"));
const all = (await readdir(join(DIST, "assets"))).filter(name => !/\.(gz|br)$/.test(name));

const budgets: [name: string, files: Iterable<string>, limit: number][] = [
  ["chat, first load, JS", ofType(first, ".js"), 100 * KB],
  ["chat, first load, CSS", ofType(first, ".css"), 15 * KB],
  ["dashboard, JS", ofType(later("src/dashboard/dashboard.tsx"), ".js"), 80 * KB],
  ["dashboard, CSS", ofType(later("src/dashboard/dashboard.tsx"), ".css"), 15 * KB],
  [
    "highlighter and a language, JS",
    new Set([...later("src/ui/markdown/highlight.ts"), ...later(language ?? "")]),
    20 * KB,
  ],
  ["all assets", all.map(name => `assets/${name}`), 350 * KB],
];

let isOver = false;
for (const [name, files, limit] of budgets) {
  const bytes = await gzipBytes(files);
  isOver ||= bytes > limit;
  const verdict = bytes > limit ? "OVER" : "ok";
  console.log(`${name.padEnd(32)} ${(bytes / KB).toFixed(1).padStart(6)} of ${limit / KB} KB  ${verdict}`);
}
process.exitCode = isOver ? 1 : 0;
