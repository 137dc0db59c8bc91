import type { Plugin } from "vite";

/** Asks for the font together with the style sheet. It is `font-display: optional`: it comes now or not at all. */
export function preloadFont(name: string): Plugin {
  return {
    name: "preload-font",
    apply: "build",
    transformIndexHtml(_html, { bundle }) {
      const file = Object.keys(bundle ?? {}).find(path => path.includes(name));
      if (file === undefined) throw new Error(`the build has no font ${name}`);
      const attrs = { rel: "preload", href: `/${file}`, as: "font", type: "font/woff2", crossorigin: true };
      return [{ tag: "link", attrs, injectTo: "head" }];
    },
  };
}
