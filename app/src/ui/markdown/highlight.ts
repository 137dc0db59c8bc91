/** Colours code. Loaded when the first block of code is complete; each language when it is first met. */

import type { LanguageFn } from "highlight.js";
import hljs from "highlight.js/lib/core";

/** Beyond this, colouring would hold up the page. */
const CHARACTERS_MAX = 20_000;

type Loader = () => Promise<{ default: LanguageFn }>;

const LANGUAGES: Record<string, Loader> = {
  bash: () => import("highlight.js/lib/languages/bash"),
  c: () => import("highlight.js/lib/languages/c"),
  cpp: () => import("highlight.js/lib/languages/cpp"),
  csharp: () => import("highlight.js/lib/languages/csharp"),
  css: () => import("highlight.js/lib/languages/css"),
  diff: () => import("highlight.js/lib/languages/diff"),
  dockerfile: () => import("highlight.js/lib/languages/dockerfile"),
  go: () => import("highlight.js/lib/languages/go"),
  graphql: () => import("highlight.js/lib/languages/graphql"),
  ini: () => import("highlight.js/lib/languages/ini"),
  java: () => import("highlight.js/lib/languages/java"),
  javascript: () => import("highlight.js/lib/languages/javascript"),
  json: () => import("highlight.js/lib/languages/json"),
  kotlin: () => import("highlight.js/lib/languages/kotlin"),
  lua: () => import("highlight.js/lib/languages/lua"),
  markdown: () => import("highlight.js/lib/languages/markdown"),
  php: () => import("highlight.js/lib/languages/php"),
  powershell: () => import("highlight.js/lib/languages/powershell"),
  python: () => import("highlight.js/lib/languages/python"),
  r: () => import("highlight.js/lib/languages/r"),
  ruby: () => import("highlight.js/lib/languages/ruby"),
  rust: () => import("highlight.js/lib/languages/rust"),
  sql: () => import("highlight.js/lib/languages/sql"),
  swift: () => import("highlight.js/lib/languages/swift"),
  typescript: () => import("highlight.js/lib/languages/typescript"),
  xml: () => import("highlight.js/lib/languages/xml"),
  yaml: () => import("highlight.js/lib/languages/yaml"),
};

const ALIASES: Record<string, string> = {
  "c#": "csharp",
  "c++": "cpp",
  cs: "csharp",
  docker: "dockerfile",
  golang: "go",
  html: "xml",
  js: "javascript",
  jsx: "javascript",
  kt: "kotlin",
  md: "markdown",
  ps1: "powershell",
  py: "python",
  rb: "ruby",
  rs: "rust",
  sh: "bash",
  shell: "bash",
  svg: "xml",
  toml: "ini",
  ts: "typescript",
  tsx: "typescript",
  yml: "yaml",
  zsh: "bash",
};

interface Scope {
  scope?: string;
  children: (string | Scope)[];
}

/** Colours the element's text, if its language is known. The text itself stays the same. */
export async function highlight(code: HTMLElement, language: string): Promise<void> {
  const text = code.textContent;
  const known = text.length > CHARACTERS_MAX ? undefined : await loadLanguage(language.toLowerCase());
  if (known === undefined || code.textContent !== text) return;
  const result = hljs.highlight(text, { language: known, ignoreIllegals: true });
  // Its tree, not its HTML: no string becomes HTML in this app.
  const { rootNode } = (result as unknown as { _emitter: { rootNode: Scope } })._emitter;
  code.replaceChildren(...rootNode.children.map(domOf));
}

async function loadLanguage(name: string): Promise<string | undefined> {
  const known = ALIASES[name] ?? name;
  const load = Object.hasOwn(LANGUAGES, known) ? LANGUAGES[known] : undefined;
  if (!load) return undefined;
  if (!hljs.getLanguage(known)) hljs.registerLanguage(known, (await load()).default);
  return known;
}

function domOf(node: string | Scope): Node {
  if (typeof node === "string") return document.createTextNode(node);
  const span = document.createElement("span");
  const scope = node.scope?.split(/[.:]/)[0];
  if (scope) span.className = `t-${scope}`;
  span.append(...node.children.map(domOf));
  return span;
}
