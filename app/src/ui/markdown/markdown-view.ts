/**
 * Shows an answer while it grows. Blocks that can no longer change are settled: they are not parsed again and
 * their DOM is left alone, so that a long answer costs no more per update than a short one, and a selection
 * in it stays. So are the first items or rows of a long list or table that is still open. When the answer is complete it is parsed once as a whole, which may correct a settled block: a
 * link whose target is defined further down, say.
 */

import type { Token } from "marked";
import { isLong, joinParts, NO_PARTS, settleParts } from "./parts";
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
  /** The text of what is settled. */
  #text = "";
  #settled: TreeNode[] = [];
  #open: TreeNode[] = [];
  /** Of the first open block. */
  #parts = NO_PARTS;
  /** The headings of the settled blocks. */
  #outline = new Outline();
  readonly #reported = new WeakMap<HTMLElement, string>();

  constructor(root: HTMLElement) {
    this.#root = root;
  }

  update(text: string, options: TreeOptions, growth: Growth): void {
    if (growth.isComplete || !text.startsWith(this.#text)) this.#reopen();
    const from = this.#settled.length;
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
    this.#parts = NO_PARTS;
  }

  #grow(text: string, options: TreeOptions): void {
    const { head } = this.#parts;
    const rest = head + text.slice(this.#text.length);
    const tokens = lex(steady(rest));
    const settledTokens = settledOf(tokens, rest);
    const settled = buildTree(settledTokens, options, this.#outline);
    const open = buildTree(tokens.slice(settledTokens.length), options, this.#outline.copy());
    const nodes = [...settled, ...open];
    if (!joinParts(this.#parts, nodes[0])) {
      this.#reopen();
      this.#grow(text, options);
      return;
    }
    patchChildren(this.#root, this.#open, nodes, this.#settled.length);
    this.#settled.push(...settled);
    this.#open = open;
    if (settledTokens.length > 0) {
      this.#text += rawText(settledTokens).slice(head.length);
      this.#parts = NO_PARTS;
    }
    this.#settleParts(text, tokens[settledTokens.length]);
  }

  #settleParts(text: string, token: Token | undefined): void {
    const [block] = this.#open;
    if (token === undefined || typeof block !== "object" || !isLong(token)) return;
    const { parts, raw } = settleParts(token, block);
    const added = raw.slice(this.#parts.head.length);
    if (!text.startsWith(added, this.#text.length)) return;
    this.#text += added;
    this.#parts = parts;
  }

  /** All is parsed anew; what comes out the same stays untouched in the DOM. */
  #reopen(): void {
    this.#open = [...this.#settled, ...this.#open];
    this.#settled = [];
    this.#outline = new Outline();
    this.#parts = NO_PARTS;
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

/** Those tokens which are settled of a text that grows, whose end may differ in them. Their raw texts joined are a prefix of the text. */
function settledOf(tokens: readonly Token[], text: string): Token[] {
  let open = tokens.length;
  for (let blocks = 0; open > 0 && blocks < OPEN_BLOCKS; ) {
    open -= 1;
    const token = tokens[open];
    if (token?.type !== "space") blocks += 1;
    // So much of it stands that nothing of it goes back to what is before.
    if (token && isLong(token)) break;
  }
  const settled = tokens.slice(0, open);
  // The lexer unifies line ends; the raw texts are then of another length than the text.
  return text.startsWith(rawText(settled)) ? settled : [];
}

function rawText(tokens: readonly Token[]): string {
  return tokens.map(token => token.raw).join("");
}
