// @vitest-environment jsdom
import DOMPurify from "dompurify";
import { Marked } from "marked";
import { expect, test } from "vitest";
import { addressesOf } from "./addresses";
import { MarkdownView } from "./markdown-view";

/** Ordinary answers: here we must show exactly what the usual parser and sanitizer show. */
const ANSWERS = [
  "Plain text with *emphasis*, **strong**, ***both***, `code` and ~~struck~~.",
  "A line\nand another  \nwith a hard break\\\nand one more.",
  "# One\n\n## Two\n\n### Three\n\n#### Four\n\nSetext\n======\n\nOther\n---",
  "- a\n- b\n  - c\n    - d\n- e\n\n1. one\n2. two\n   1. inner\n\n5. five\n6. six",
  "- loose\n\n- items\n\n  with a paragraph\n",
  "- [ ] open\n- [x] done\n\n* [x] loose\n\n* [ ] task",
  "> quote\n> on two lines\n>\n> > nested\n\nafter",
  "```js\nconst a = `<b>${1 < 2}</b>`;\n```\n\n    indented code\n\n~~~\ntildes\n~~~",
  "| a | b | c |\n|:--|:-:|--:|\n| 1 | **2** | `3` |\n| x \\| y | [l](https://a.test) | |",
  "[link](https://a.test/x?a=1&b=2 'title') <https://b.test> https://c.test/path. mail@d.test",
  "[ref] and [text][ref] and ![img][ref]\n\n[ref]: https://a.test/x 'Title'",
  "Entities &amp; &lt; &copy; &mdash; &nbsp; &#8364; &#x1F600; &unknown; &hearts; &frac12; AT&T",
  "Escapes \\* \\_ \\` \\[ \\] \\# 1\\. not a list",
  "snake_case_name, 2 * 3 * 4, a*b*c, __init__, **bold**text, *it*alic",
  "***\n\ntext\n\n---\n\n___",
  "Hello\n\n\n\n\nWorld\n \n \nEnd",
  "Ein Satz mit Ümläuten, 日本語の**太字**、 العربية and 😀 emoji.",
  "1) paren list\n2) second\n\n+ plus\n+ list",
  "Term<br>next<br/>line, H<sub>2</sub>O, E = mc<sup>2</sup>, press <kbd>Ctrl</kbd>",
  "Nested **bold *and italic* with `code`** and [**bold** link](https://a.test)",
  "A paragraph\n- interrupted by a list\n> and a quote\n# and a heading",
  "`` code with ` tick `` and ` padded ` and ```` ``` ````",
  "Text\n\n1. step\n\n   ```sh\n   make run\n   ```\n\n2. next",
];

/** Tags with what they contain, in the order of the page; our own frames around code and tables left out. */
function outline(root: Element): string[] {
  const lines: string[] = [];
  const walk = (element: Element) => {
    for (const child of element.children) {
      const name = nameOf(child);
      if (name !== "") lines.push(`${name}: ${textOf(child)}`);
      walk(child);
    }
  };
  walk(root);
  return lines;
}

function nameOf(element: Element): string {
  const tag = element.tagName.toLowerCase();
  if (["figure", "figcaption", "div", "span", "button", "input"].includes(tag)) return "";
  if (tag === "img") return "a";
  const level = /^h(\d)$/.exec(tag)?.[1];
  return level ? `h${Math.min(6, Number(level) + (element.closest(".theirs") ? 2 : 0))}` : tag;
}

function textOf(element: Element): string {
  const copy = element.cloneNode(true) as Element;
  for (const extra of copy.querySelectorAll("figcaption")) extra.remove();
  for (const box of copy.querySelectorAll("input")) box.replaceWith(box.checked ? "☑" : "☐");
  for (const image of copy.querySelectorAll("img")) image.replaceWith(image.alt);
  const alt = copy instanceof HTMLImageElement ? copy.alt : copy.textContent;
  // White space between blocks differs and does not show.
  return alt.replace(/\s+/g, "");
}

test.each(ANSWERS)("shows what marked and DOMPurify show: %j", answer => {
  const ours = document.createElement("div");
  const options = { addresses: addressesOf([], "https://chat.test"), labels: { copyCode: "Copy" } };
  new MarkdownView(ours).update(answer, options, { isComplete: true });

  const theirs = document.createElement("div");
  theirs.className = "theirs";
  const html = new Marked({ gfm: true }).parse(answer, { async: false });
  theirs.append(DOMPurify.sanitize(html, { RETURN_DOM_FRAGMENT: true }));

  expect(outline(ours)).toEqual(outline(theirs));
  expect(textOf(ours)).toBe(textOf(theirs));
});
