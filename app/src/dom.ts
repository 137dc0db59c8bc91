/**
 * Solid's runtime as compiled components import it, with one change: the HTML of templates, which is static
 * and written by the compiler, passes through the only Trusted Types policy of the app. So the page can run
 * under `require-trusted-types-for 'script'`, where every other string that becomes HTML is refused.
 */

import { untrack } from "solid-js";

export * from "solid-js/web";

interface TemplatePolicy {
  createHTML(html: string): string;
}

interface TrustedTypesHost {
  trustedTypes?: { createPolicy(name: string, rules: TemplatePolicy): TemplatePolicy };
}

const rules: TemplatePolicy = { createHTML: html => html };
const policy = (globalThis as TrustedTypesHost).trustedTypes?.createPolicy("app", rules) ?? rules;

/** Parses the HTML once, when it is first needed, and returns a copy each time. */
export function template(html: string, isImportNode?: boolean, isSVG?: boolean): () => Node {
  let parsed: Node | undefined;
  const node = (): Node => {
    parsed ??= parse(html, isSVG === true);
    return parsed;
  };
  if (isImportNode) return () => untrack(() => document.importNode(node(), true));
  return () => node().cloneNode(true);
}

function parse(html: string, isSVG: boolean): Node {
  const holder = document.createElement("template");
  holder.innerHTML = policy.createHTML(html);
  const first = holder.content.firstChild;
  const node = isSVG ? first?.firstChild : first;
  if (!node) throw new Error("a template without a node");
  return node;
}
