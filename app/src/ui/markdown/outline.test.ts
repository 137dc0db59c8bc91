import { expect, test } from "vitest";
import { buildTree, lex } from "./tree";

const OPTIONS = { addresses: { link: () => undefined }, labels: { copyCode: "" } };

const levels = (markdown: string) =>
  buildTree(lex(markdown), OPTIONS).map(node => (typeof node === "string" ? "" : node.tag));

test.each([
  ["# a\n## b\n### c", ["h3", "h4", "h5"]],
  ["### a\n### b", ["h3", "h3"]],
  ["## a\n#### b\n## c\n### d", ["h3", "h4", "h3", "h4"]],
  ["### a\n# b\n###### c", ["h3", "h3", "h4"]],
  ["# a\n## b\n### c\n#### d\n##### e\n###### f\n# g", ["h3", "h4", "h5", "h6", "h6", "h6", "h3"]],
])("headings never leave out a level, wherever they begin: %j", (markdown, expected) => {
  expect(levels(markdown)).toEqual(expected);
});
