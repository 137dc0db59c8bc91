/** Brings DOM nodes from one tree to the next, touching only what differs. */

import type { Attribute, Element as TreeElement, Node as TreeNode } from "./tree";

/** Makes the children of `parent` from index `from` on show `next`; they show `previous` now. */
export function patchChildren(
  parent: ParentNode & Node,
  previous: readonly TreeNode[],
  next: readonly TreeNode[],
  from = 0,
): void {
  for (const [index, node] of next.entries()) {
    const old = previous[index];
    const dom = parent.childNodes[from + index];
    if (old === undefined || dom === undefined) parent.appendChild(create(node));
    else patchNode(dom, old, node);
  }
  while (parent.childNodes.length > from + next.length) parent.lastChild?.remove();
}

function patchNode(dom: ChildNode, old: TreeNode, node: TreeNode): void {
  if (old === node) return;
  if (typeof node === "string" || typeof old === "string") {
    if (typeof node === typeof old && dom instanceof Text) patchText(dom, old as string, node as string);
    else dom.replaceWith(create(node));
  } else if (old.tag === node.tag && dom instanceof Element) {
    patchAttributes(dom, old, node);
    if (!isSameCode(old, node)) patchChildren(dom, old.children, node.children);
  } else {
    dom.replaceWith(create(node));
  }
}

/** Appending leaves a selection in the text as it is. */
function patchText(dom: Text, old: string, text: string): void {
  if (old === text) return;
  if (text.startsWith(old) && dom.data === old) dom.appendData(text.slice(old.length));
  else dom.data = text;
}

/** The children of a code block may be spans of the highlighter by now, which the tree does not know. */
function isSameCode(old: TreeElement, node: TreeElement): boolean {
  return old.language !== undefined && old.language === node.language && old.children[0] === node.children[0];
}

function patchAttributes(dom: Element, old: TreeElement, node: TreeElement): void {
  for (const name of Object.keys(old.attributes)) {
    if (!(name in node.attributes)) dom.removeAttribute(name);
  }
  for (const [name, value] of Object.entries(node.attributes)) {
    if (old.attributes[name as Attribute] !== value) dom.setAttribute(name, value);
  }
}

function create(node: TreeNode): Node {
  if (typeof node === "string") return document.createTextNode(node);
  const dom = document.createElement(node.tag);
  for (const [name, value] of Object.entries(node.attributes)) dom.setAttribute(name, value);
  for (const child of node.children) dom.appendChild(create(child));
  return dom;
}
