/** Which addresses in an answer may become links, and where files of the run are downloaded. */

import type { Element } from "./tree";

type LinkAttributes = Element["attributes"];

export interface AnswerFile {
  id: string;
  name: string;
}

export interface Addresses {
  /** Returns undefined for an address that must not be followed: its text is shown alone. */
  link(href: string): LinkAttributes | undefined;
}

const SANDBOX = /^sandbox:.*?([^/]+)$/i;
const SCHEMES = new Set(["http:", "https:", "mailto:"]);

export function fileAddress(fileId: string): string {
  return `/chat/file?id=${encodeURIComponent(fileId)}`;
}

/**
 * Links lead elsewhere or to a file of the same answer. An address on our own origin never becomes a link: it
 * could be one that changes something, and a click on it would carry the user's session.
 */
export function addressesOf(files: readonly AnswerFile[], ownOrigin: string): Addresses {
  return {
    link(href) {
      const name = SANDBOX.exec(href)?.[1];
      if (name !== undefined) return fileLink(files, name);
      const url = URL.canParse(href) ? new URL(href) : undefined;
      if (!url || !SCHEMES.has(url.protocol) || url.origin === ownOrigin) return undefined;
      return { href: url.href, target: "_blank", rel: "noopener noreferrer nofollow", title: url.href };
    },
  };
}

function fileLink(files: readonly AnswerFile[], encodedName: string): LinkAttributes | undefined {
  const file = files.find(each => each.name === encodedName || each.name === decoded(encodedName));
  return file && { href: fileAddress(file.id), download: file.name, class: "file" };
}

function decoded(name: string): string {
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}
