/**
 * Markdown as a small tree of what may be shown. Nothing else can be expressed: tags and attributes are closed
 * types, text is text, raw HTML of the model stays visible as text, and every address passes `Addresses`.
 */

import { Lexer, type MarkedToken, type Token, Tokenizer, type Tokens } from "marked";
import type { Addresses } from "./addresses";
import { decodeEntities } from "./entities";

export type Tag =
  | (
      | "p"
      | "h3"
      | "h4"
      | "h5"
      | "h6"
      | "ul"
      | "ol"
      | "li"
      | "blockquote"
      | "hr"
      | "br"
      | "pre"
      | "code"
      | "div"
    )
  | ("table" | "thead" | "tbody" | "tr" | "th" | "td" | "a" | "em" | "strong" | "del" | "span" | "figure")
  | ("figcaption" | "button" | "sub" | "sup" | "kbd" | "mark" | "u" | "b" | "i" | "s");

export type Attribute =
  | "class"
  | "href"
  | "target"
  | "rel"
  | "title"
  | "start"
  | "tabindex"
  | "type"
  | "download";

export interface Element {
  tag: Tag;
  attributes: Partial<Record<Attribute, string>>;
  children: Node[];
  /** A block of code, so that it can be highlighted once it is complete. */
  language?: string;
}

export type Node = string | Element;

/** Words that the page itself puts into an answer. */
export interface Labels {
  copyCode: string;
}

export interface TreeOptions {
  addresses: Addresses;
  labels: Labels;
}

/** The page has its own h1 and h2. */
const HEADING_OFFSET = 2;
const NESTED_MAX = 32;
const PAIRED_TAGS = /^<(sub|sup|kbd|mark|u|b|i|s)>$/i;
const LINE_BREAK = /^<br\s*\/?>$/i;

class ChatTokenizer extends Tokenizer {
  #depth = 0;

  /** One tilde is a tilde: "20~25" is a range. */
  override del(...[source, ...rest]: Parameters<Tokenizer["del"]>): Tokens.Del | undefined {
    return source.startsWith("~~") ? this.#within(() => super.del(source, ...rest)) : undefined;
  }

  /** A model that has lost its way writes thousands; one by one, each would be searched for an address. */
  override inlineText(source: string): Tokens.Text | undefined {
    const marks = /^!+(?=!)/.exec(source)?.[0];
    if (marks === undefined) return super.inlineText(source);
    return { type: "text", raw: marks, text: marks, escaped: false };
  }

  override emStrong(...rest: Parameters<Tokenizer["emStrong"]>): Tokens.Em | Tokens.Strong | undefined {
    return this.#within(() => super.emStrong(...rest));
  }

  override blockquote(source: string): Tokens.Blockquote | undefined {
    return this.#within(() => super.blockquote(source));
  }

  override list(source: string): Tokens.List | undefined {
    return this.#within(() => super.list(source));
  }

  /** What is nested deeper is text: each level is a call within a call, here and in the browser's layout. */
  #within<T>(tokenize: () => T | undefined): T | undefined {
    if (this.#depth >= NESTED_MAX) return undefined;
    this.#depth += 1;
    try {
      return tokenize();
    } finally {
      this.#depth -= 1;
    }
  }
}

export function lex(markdown: string): Token[] {
  // As CommonMark has it; a parser of HTML would drop it.
  const text = markdown.replaceAll("\0", "\ufffd");
  return new Lexer({ gfm: true, tokenizer: new ChatTokenizer() }).lex(text);
}

/**
 * Which headings a text has had. Models begin anywhere and leave levels out; readers of the page's outline
 * shall not stumble over that, so a heading is as deep as the headings that it stands under.
 */
export class Outline {
  readonly #depths: number[];

  constructor(depths: readonly number[] = []) {
    this.#depths = [...depths];
  }

  copy(): Outline {
    return new Outline(this.#depths);
  }

  /** Takes a heading of Markdown's depth 1 to 6, and returns its tag. */
  tag(depth: number): Tag {
    while ((this.#depths.at(-1) ?? 0) >= depth) this.#depths.pop();
    this.#depths.push(depth);
    return `h${Math.min(HEADING_OFFSET + this.#depths.length, 6)}` as Tag;
  }
}

/** `outline`: what the text before has had; it is carried on. */
export function buildTree(tokens: readonly Token[], options: TreeOptions, outline = new Outline()): Node[] {
  const builder = new TreeBuilder(options, outline);
  return tokens.flatMap(token => builder.block(token as MarkedToken));
}

function element(tag: Tag, children: Node[], attributes: Element["attributes"] = {}): Element {
  return { tag, attributes, children };
}

class TreeBuilder {
  readonly #options: TreeOptions;
  readonly #outline: Outline;
  #isInLink = false;

  constructor(options: TreeOptions, outline: Outline) {
    this.#options = options;
    this.#outline = outline;
  }

  block(token: MarkedToken): Node[] {
    switch (token.type) {
      case "space":
      case "def":
        return [];
      case "paragraph":
        return [element("p", this.inline(token.tokens))];
      case "heading":
        return [element(this.#outline.tag(token.depth), this.inline(token.tokens))];
      case "code":
        return [this.#code(token)];
      case "blockquote":
        return [element("blockquote", this.#blocks(token.tokens))];
      case "list":
        return [this.#list(token)];
      case "table":
        return [this.#table(token)];
      case "hr":
        return [element("hr", [])];
      case "html":
        return [element("p", [token.text.trimEnd()], { class: "raw" })];
      case "text":
        // The text of a tight list item stands there without a paragraph.
        return this.inline(token.tokens ?? [token]);
      default:
        return this.inline([token]);
    }
  }

  inline(tokens: readonly Token[]): Node[] {
    const nodes: Node[] = [];
    const unclosed = new Set<string>();
    for (let index = 0; index < tokens.length; index++) {
      const token = tokens[index] as MarkedToken;
      const tag = token.type === "html" ? PAIRED_TAGS.exec(token.text)?.[1]?.toLowerCase() : undefined;
      const end = tag === undefined || unclosed.has(tag) ? -1 : closingIndex(tokens, index, tag);
      if (end > index) {
        nodes.push(element(tag as Tag, this.inline(tokens.slice(index + 1, end))));
        index = end;
      } else {
        if (tag !== undefined) unclosed.add(tag);
        nodes.push(...this.#inlineOne(token));
      }
    }
    return joinText(nodes);
  }

  #inlineOne(token: MarkedToken): Node[] {
    switch (token.type) {
      case "text":
        return token.tokens ? this.inline(token.tokens) : [decodeEntities(token.text)];
      case "escape":
        return [token.text];
      case "strong":
      case "em":
      case "del":
        return [element(token.type, this.inline(token.tokens))];
      case "codespan":
        return [element("code", [token.text])];
      case "br":
        return [element("br", [])];
      case "checkbox":
        return [token.checked ? "☑ " : "☐ "];
      case "link":
        return this.#link(token);
      case "image":
        return [this.#image(token)];
      case "html":
        return LINE_BREAK.test(token.text) ? [element("br", [])] : [token.text];
      default:
        return [token.raw];
    }
  }

  #blocks(tokens: readonly Token[]): Node[] {
    return joinText(tokens.flatMap(token => this.block(token as MarkedToken)));
  }

  #code({ text, lang }: Tokens.Code): Element {
    const language = /^[\w+#.-]{1,30}/.exec(lang ?? "")?.[0] ?? "";
    const caption = element("figcaption", [
      element("span", language === "" ? [] : [language]),
      element("button", [this.#options.labels.copyCode], { type: "button", class: "copy-code" }),
    ]);
    const code: Element = { tag: "code", attributes: {}, children: [text], language };
    const scroller = element("pre", [code], { tabindex: "0" });
    return element("figure", [caption, scroller], { class: "code" });
  }

  #list(token: Tokens.List): Element {
    const items = token.items.map(item => {
      const attributes: Element["attributes"] = item.task ? { class: "task" } : {};
      return element("li", this.#blocks(item.tokens), attributes);
    });
    if (!token.ordered) return element("ul", items);
    return element(
      "ol",
      items,
      token.start === 1 || token.start === "" ? {} : { start: String(token.start) },
    );
  }

  #table(token: Tokens.Table): Element {
    const row = (cells: Tokens.TableCell[], tag: "th" | "td") =>
      element(
        "tr",
        cells.map(cell =>
          element(tag, this.inline(cell.tokens), cell.align ? { class: `to-${cell.align}` } : {}),
        ),
      );
    const parts = [element("thead", [row(token.header, "th")])];
    if (token.rows.length > 0)
      parts.push(
        element(
          "tbody",
          token.rows.map(cells => row(cells, "td")),
        ),
      );
    return element("div", [element("table", parts)], { class: "table-scroll", tabindex: "0" });
  }

  #link(token: Tokens.Link): Node[] {
    this.#isInLink = true;
    const children = this.inline(token.tokens);
    this.#isInLink = false;
    const href = token.autolink ? token.href : decodeEntities(token.href);
    const attributes = this.#options.addresses.link(href);
    return attributes ? [element("a", children, attributes)] : children;
  }

  /** Loading a picture from elsewhere would tell that server what it likes, so it is a link to it. */
  #image(token: Tokens.Image): Node {
    const text = decodeEntities(token.text) || token.href;
    const attributes = this.#isInLink ? undefined : this.#options.addresses.link(decodeEntities(token.href));
    return attributes ? element("a", [text], { ...attributes, class: "picture" }) : text;
  }
}

function closingIndex(tokens: readonly Token[], from: number, tag: string): number {
  const closing = `</${tag}>`;
  let index = from + 1;
  while (index < tokens.length && tokens[index]?.raw.toLowerCase() !== closing) index += 1;
  return index < tokens.length ? index : -1;
}

function joinText(nodes: Node[]): Node[] {
  const joined: Node[] = [];
  for (const node of nodes) {
    const last = joined.at(-1);
    if (typeof node === "string" && typeof last === "string") joined[joined.length - 1] = last + node;
    else if (node !== "") joined.push(node);
  }
  return joined;
}
