// @vitest-environment jsdom
import DOMPurify from "dompurify";
import { Marked } from "marked";
import { expect, test } from "vitest";
import { addressesOf } from "./addresses";
import { HOSTILE_ANSWERS } from "./hostile-answers";
import { MarkdownView } from "./markdown-view";

const ORIGIN = "https://chat.test";
const FILES = [{ id: "f_1", name: "a.csv" }];

const ALLOWED = {
  ALLOWED_TAGS: (
    "p h3 h4 h5 h6 ul ol li blockquote hr br pre code div table thead tbody tr th td a em strong del span " +
    "figure figcaption button sub sup kbd mark u b i s #text"
  ).split(" "),
  ALLOWED_ATTR: ["class", "href", "target", "rel", "title", "start", "tabindex", "type", "download"],
  ALLOWED_URI_REGEXP: /^(?:https?:|mailto:|\/chat\/file\?id=)/,
  // The pattern above is for addresses; these hold none.
  ADD_URI_SAFE_ATTR: ["target", "rel", "start", "tabindex", "type", "download"],
  ALLOW_DATA_ATTR: false,
};

function render(...versions: string[]): HTMLElement {
  const root = document.createElement("div");
  const view = new MarkdownView(root);
  const options = { addresses: addressesOf(FILES, ORIGIN), labels: { copyCode: "Copy" } };
  for (const [index, text] of versions.entries()) {
    view.update(text, options, { isComplete: index === versions.length - 1 });
  }
  return root;
}

/** What the usual way to show Markdown would make of it. */
function purified(text: string): HTMLElement {
  const root = document.createElement("div");
  root.append(
    DOMPurify.sanitize(new Marked({ gfm: true }).parse(text, { async: false }), {
      RETURN_DOM_FRAGMENT: true,
      ADD_ATTR: ["target"],
    }),
  );
  return root;
}

/** Every element with its attributes, and all of the text. The order of attributes says nothing. */
function described(root: ParentNode & Node): string[] {
  const elements = [...root.querySelectorAll("*")].map(element => {
    const attributes = [...element.attributes].map(({ name, value }) => `${name}=${value}`);
    return `${element.tagName} ${attributes.sort().join(" ")}`;
  });
  return [...elements, root.textContent ?? ""];
}

const hrefsIn = (root: HTMLElement) =>
  [...root.querySelectorAll("[href], img[src]")].map(
    element => element.getAttribute("href") ?? element.getAttribute("src") ?? "",
  );

test("there are well over a hundred hostile answers", () => {
  expect(new Set(HOSTILE_ANSWERS).size).toBeGreaterThan(250);
});

test.each(HOSTILE_ANSWERS)("a sanitizer finds nothing to take out, complete or cut anywhere: %j", answer => {
  const step = Math.max(1, Math.ceil(answer.length / 25));
  const prefixes = Array.from({ length: Math.floor(answer.length / step) }, (_, n) =>
    answer.slice(0, n * step),
  );
  for (const root of [render(...prefixes, answer), ...prefixes.slice(-4).map(prefix => render(prefix, ""))]) {
    const purified = DOMPurify.sanitize(root.innerHTML, { ...ALLOWED, RETURN_DOM_FRAGMENT: true });
    expect(described(purified)).toEqual(described(root));
  }
});

test.each(HOSTILE_ANSWERS)("leads nowhere that a sanitizer would not let it: %j", answer => {
  const known = new Set(hrefsIn(purified(answer)).flatMap(href => [href, normal(href)]));
  for (const href of hrefsIn(render(answer))) {
    const url = new URL(href);
    expect(["http:", "https:", "mailto:"]).toContain(url.protocol);
    expect(url.origin).not.toBe(ORIGIN);
    expect([...known]).toContain(href);
  }
});

test.each(HOSTILE_ANSWERS)("is the same when it grows as when it comes at once: %j", answer => {
  const half = Math.floor(answer.length / 2);
  expect(render(answer.slice(0, half), answer).innerHTML).toBe(render(answer).innerHTML);
});

function normal(href: string): string {
  return URL.canParse(href) ? new URL(href).href : href;
}
