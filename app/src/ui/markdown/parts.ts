/** The items of a list and the rows of a table: of a long block that grows, all but the last are settled. */

import type { MarkedToken, Token } from "marked";
import type { Element, Node } from "./tree";

/** Parts that stay open: what comes may go on with the last ones, and set items apart as paragraphs. */
const OPEN_PARTS = 20;

export interface SettledParts {
  /** What the text of further parts is lexed behind, to be taken for such. */
  head: string;
  nodes: Node[];
  /** Those of the block: a list that is lexed from its middle on has another first number. */
  attributes: Element["attributes"];
}

export const NO_PARTS: SettledParts = { head: "", nodes: [], attributes: {} };

/** Whether some of its parts can be settled. */
export function isLong(token: Token): boolean {
  return partTexts(token as MarkedToken).texts.length > 2 * OPEN_PARTS;
}

/** The block's parts but the last, and the raw text with which it begins: up to the end of these parts. */
export function settleParts(token: Token, block: Element): { parts: SettledParts; raw: string } {
  const { head, texts } = partTexts(token as MarkedToken);
  const nodes = holderOf(block)?.children.slice(0, -OPEN_PARTS) ?? [];
  const raw = head + texts.slice(0, -OPEN_PARTS).join("");
  return { parts: { head, nodes, attributes: block.attributes }, raw };
}

/** Puts the settled parts before those of the block that goes on with them. Returns false if none does. */
export function joinParts({ nodes, attributes }: SettledParts, block: Node | undefined): boolean {
  if (nodes.length === 0) return true;
  const holder = typeof block === "object" ? holderOf(block) : undefined;
  if (typeof block !== "object" || !holder) return false;
  block.attributes = attributes;
  holder.children = [...nodes, ...holder.children];
  return true;
}

function partTexts(token: MarkedToken): { head: string; texts: string[] } {
  if (token.type === "list") return { head: "", texts: token.items.map(item => item.raw) };
  if (token.type !== "table") return { head: "", texts: [] };
  const lines = token.raw.match(/[^\n]*\n|[^\n]+$/g) ?? [];
  return { head: lines.slice(0, 2).join(""), texts: lines.slice(2) };
}

/** The element whose children the parts are. */
function holderOf(block: Element): Element | undefined {
  if (block.tag === "ul" || block.tag === "ol") return block;
  const [table] = block.children;
  const body = typeof table === "object" && table.tag === "table" ? table.children[1] : undefined;
  return typeof body === "object" ? body : undefined;
}
