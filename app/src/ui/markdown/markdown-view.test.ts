// @vitest-environment jsdom
import { describe, expect, test } from "vitest";
import { addressesOf } from "./addresses";
import { MarkdownView } from "./markdown-view";
import type { TreeOptions } from "./tree";

const ANSWER = `# Plan for **this** week

A paragraph with *emphasis*, **strong _nested_ text**, \`code()\` and a [link](https://example.com/a_b?c=1&d=2).
It has a second line, a range 20~25, 3 * 4 and snake_case_names &copy; 2026.

1. First step
2. Second **step** with \`a*b\`
   - nested one
   - nested two

   still the second step
3. Third

- [x] done
- [ ] open

| Name | Tokens |
|:-----|-------:|
| in   | 1,204  |
| out  | *88*   |

\`\`\`python
def f(x):
    return "**not bold**" + \`x\`
\`\`\`

> A quote with a list:
> - one
> - two

Setext title
------------

Final words: see ![chart](https://example.com/c.png) and <https://example.org>. a<b>c H<sub>2</sub>O
`;

const options = (files: { id: string; name: string }[] = []): TreeOptions => ({
  addresses: addressesOf(files, "https://chat.test"),
  labels: { copyCode: "Copy" },
});

function view(): { root: HTMLElement; show: (text: string, isComplete?: boolean) => string } {
  const root = document.createElement("div");
  const markdown = new MarkdownView(root);
  return {
    root,
    show(text, isComplete = false) {
      markdown.update(text, options(), { isComplete });
      return root.innerHTML;
    },
  };
}

const shown = (html: HTMLElement) => html.textContent.replace(/\s+/g, " ").trim();

describe("a growing answer", () => {
  test.each([1, 2, 7, 40])("ends up as if it had come at once, in pieces of %d", size => {
    const growing = view();
    for (let end = size; end < ANSWER.length + size; end += size) growing.show(ANSWER.slice(0, end));
    expect(growing.show(ANSWER, true)).toBe(view().show(ANSWER, true));
  });

  test("never takes back a word or shows a marker that goes away again", () => {
    const growing = view();
    const final = view();
    final.show(ANSWER, true);
    const whole = shown(final.root);
    const wrong: string[] = [];
    for (let end = 1; end <= ANSWER.length; end++) {
      growing.show(ANSWER.slice(0, end));
      const text = shown(growing.root);
      if (!whole.startsWith(text))
        wrong.push(`${ANSWER.slice(0, end).slice(-20)} shows as ${text.slice(-30)}`);
    }
    expect(wrong).toEqual([]);
  });

  test("leaves the DOM of settled blocks alone", () => {
    const growing = view();
    const text = "First.\n\nSecond.\n\nThird.\n\nFourth";
    growing.show(text);
    const [first] = growing.root.children;
    growing.show(`${text} and more.\n\nFifth.`);
    growing.show(`${text} and more.\n\nFifth.`, true);
    expect(growing.root.children[0]).toBe(first);
    expect(growing.root.children).toHaveLength(5);
  });

  const part = (n: number) => `with **bold** and \`code\` ${n}`;
  const parts = (piece: (n: number) => string) => Array.from({ length: 150 }, (_, n) => piece(n + 1)).join("");
  test.each([
    ["list", parts(n => `- ${part(n)}\n`), "li"],
    ["list with paragraphs", parts(n => `- ${part(n)}\n\n  more\n\n`), "li"],
    ["list of lists", `Before.\n\n${parts(n => `* ${part(n)}\n  * inner\n`)}`, "li"],
    ["numbered list", parts(n => `${n + 6}. ${part(n)}\n`), "li"],
    ["table", `| a | b |\n|:--|--:|\n${parts(n => `| ${part(n)} | 1 |\n`)}`, "td"],
  ])("that is one long %s is at each step as if it had come at once, and stays as it is", (_, block, tag) => {
    const text = `${block}\nBehind.\n\n- another\n\nEnd.`;
    const growing = view();
    let first: Element | null = null;
    for (let end = 11; end < text.length; end += 11) {
      const html = growing.show(text.slice(0, end));
      if (end % 3 === 0) expect(html).toBe(view().show(text.slice(0, end)));
      if (end > 500) first ??= growing.root.querySelector(tag);
    }
    const html = growing.show(text, true);
    expect(html).toBe(view().show(text, true));
    expect(growing.root.querySelector(tag)).toBe(first);
  });

  test.each([
    ["list", "", "- [a](https://a.test)\n"],
    ["table", "| a |\n|:--|\n", "| [a](https://a.test) |\n"],
  ])("that is one long %s is not read again from its beginning", (_, head, line) => {
    const read: string[] = [];
    const counting: TreeOptions = {
      ...options(),
      addresses: {
        link(href) {
          read.push(href);
          return { href };
        },
      },
    };
    const root = document.createElement("div");
    const markdown = new MarkdownView(root);
    const grow = (lines: number) =>
      markdown.update(head + line.repeat(lines), counting, { isComplete: false });
    grow(499);
    read.length = 0;
    grow(500);
    expect(read.length).toBeLessThan(50);
    expect(root.querySelectorAll("a")).toHaveLength(500);
  });

  test.each(["!", "x", "> ", "- ", "a *b ", "<b>", "<b>x</b> ", "`` ` "])("of nothing but %j is shown at once", piece => {
    const text = `${piece.repeat(64_000 / piece.length)}</b>`;
    const growing = view();
    growing.show(text);
    expect(growing.show(text, true)).toBe(view().show(text, true));
  });

  test("that begins anew shows the new text", () => {
    const growing = view();
    growing.show("One.\n\nTwo.\n\nThree.\n\nFour");
    growing.show("Other");
    expect(growing.root.innerHTML).toBe("<p>Other</p>");
  });

  test("with foreign line ends is shown as well", () => {
    const growing = view();
    const text = "One.\r\n\r\nTwo **b**.\r\n\r\n- a\r\n- b\r\n\r\nThree.";
    for (let end = 1; end <= text.length; end++) growing.show(text.slice(0, end));
    expect(growing.show(text, true)).toBe(view().show(text.replaceAll("\r\n", "\n"), true));
  });

  test("reports every block of code once, when it is complete", () => {
    const root = document.createElement("div");
    const markdown = new MarkdownView(root);
    const reported: string[] = [];
    const text = "```py\nx = 1\n```\n\na\n\nb\n\n- item\n  ```js\n  y()\n  ```\n";
    for (let end = 1; end <= text.length; end++) {
      const isComplete = end === text.length;
      markdown.update(text.slice(0, end), options(), {
        isComplete,
        onCode: (code, language) => reported.push(`${language}: ${code.textContent}`),
      });
    }
    expect(reported).toEqual(["py: x = 1", "js: y()"]);
  });
});

describe("addresses", () => {
  const linkOf = (markdown: string, files: { id: string; name: string }[] = []) => {
    const root = document.createElement("div");
    new MarkdownView(root).update(markdown, options(files), { isComplete: true });
    return root.querySelector("a")?.getAttribute("href") ?? null;
  };

  test("lead elsewhere, never to our own origin", () => {
    expect(linkOf("[a](https://example.com/x)")).toBe("https://example.com/x");
    expect(linkOf("[a](mailto:a@example.com)")).toBe("mailto:a@example.com");
    expect(linkOf("[a](https://chat.test/chat/message?t=1&m=x)")).toBeNull();
    expect(linkOf("[a](/chat/message?t=1&m=x)")).toBeNull();
    expect(linkOf("[a](//chat.test/x)")).toBeNull();
    expect(linkOf("[a](javascript:alert(1))")).toBeNull();
  });

  test("of files that the answer made become downloads", () => {
    const files = [{ id: "f_1", name: "my report.csv" }];
    expect(linkOf("[r](sandbox:/mnt/data/my%20report.csv)", files)).toBe("/chat/file?id=f_1");
    expect(linkOf("[r](sandbox:/mnt/data/other.csv)", files)).toBeNull();
  });
});
