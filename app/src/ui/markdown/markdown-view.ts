/**
 * Shows an answer while it grows. Blocks that can no longer change are settled: they are not parsed again and
 * their DOM is left alone, so that a long answer costs no more per update than a short one, and a selection
 * in it stays. When the answer is complete it is parsed once as a whole, which may correct a settled block: a
 * link whose target is defined further down, say.
 */

import type { Token } from "marked";
import { patchChildren } from "./patch";
import { steady } from "./steady";
import { buildTree, lex, Outline, type Node as TreeNode, type TreeOptions } from "./tree";

/** A block stays open while one or two others follow it: a list, for one, goes on behind an empty line. */
const OPEN_BLOCKS = 2;

export interface Growth {
  isComplete: boolean;
  /** Called once with every block of code whose text will not change any more. */
  onCode?: (code: HTMLElement, language: string) => void;
}

export class MarkdownView {
  readonly #root: HTMLElement;
  /** The text behind the settled blocks. */
  #text = "";
  #settled: TreeNode[] = [];
  #open: TreeNode[] = [];
  /** The headings of the settled blocks. */
  #outline = new Outline();
  readonly #reported = new WeakMap<HTMLElement, string>();

  constructor(root: HTMLElement) {
    this.#root = root;
  }

  update(text: string, options: TreeOptions, growth: Growth): void {
    const isOther = !text.startsWith(this.#text);
    const from = growth.isComplete || isOther ? 0 : this.#settled.length;
    if (from === 0) this.#reopen();
    if (growth.isComplete) this.#settle(text, options);
    else this.#grow(text, options);
    if (growth.onCode) this.#reportCode(from, growth.onCode);
  }

  #settle(text: string, options: TreeOptions): void {
    const nodes = buildTree(lex(text), options);
    patchChildren(this.#root, this.#open, nodes);
    this.#text = text;
    this.#settled = nodes;
    this.#open = [];
  }

  #grow(text: string, options: TreeOptions): void {
    const rest = text.slice(this.#text.length);
    const tokens = lex(rest);
    const settledTokens = settledOf(tokens, rest);
    const settledText = rawText(settledTokens);
    const settled = buildTree(settledTokens, options, this.#outline);
    const openText = rest.slice(settledText.length);
    const steadyText = steady(openText);
    // A long block is not lexed twice, unless some of its end is held back.
    const openTokens = steadyText === openText ? tokens.slice(settledTokens.length) : lex(steadyText);
    const open = buildTree(openTokens, options, this.#outline.copy());
    patchChildren(this.#root, this.#open, [...settled, ...open], this.#settled.length);
    this.#settled.push(...settled);
    this.#text += settledText;
    this.#open = open;
  }

  /** All is parsed anew; what comes out the same stays untouched in the DOM. */
  #reopen(): void {
    this.#open = [...this.#settled, ...this.#open];
    this.#settled = [];
    this.#outline = new Outline();
    this.#text = "";
  }

  #reportCode(from: number, onCode: NonNullable<Growth["onCode"]>): void {
    const report = (node: TreeNode, dom: Node | undefined) => {
      if (typeof node === "string" || !(dom instanceof HTMLElement)) return;
      if (node.language === undefined) {
        for (const [index, child] of node.children.entries()) report(child, dom.childNodes[index]);
      } else if (node.language !== "" && this.#reported.get(dom) !== node.children[0]) {
        this.#reported.set(dom, String(node.children[0]));
        onCode(dom, node.language);
      }
    };
    for (const [index, node] of this.#settled.entries()) {
      if (index >= from) report(node, this.#root.childNodes[index]);
    }
  }
}

/** Those tokens of a text that grows which are settled. Their raw texts joined are a prefix of the text. */
function settledOf(tokens: readonly Token[], text: string): Token[] {
  let open = tokens.length;
  for (let blocks = 0; open > 0 && blocks < OPEN_BLOCKS; ) {
    open -= 1;
    if (tokens[open]?.type !== "space") blocks += 1;
  }
  const settled = tokens.slice(0, open);
  // The lexer unifies line ends; the raw texts are then of another length than the text.
  return text.startsWith(rawText(settled)) ? settled : [];
}

function rawText(tokens: readonly Token[]): string {
  return tokens.map(token => token.raw).join("");
}
