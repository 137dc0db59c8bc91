import { fileURLToPath } from "node:url";
import solid from "vite-plugin-solid";
import { defineConfig } from "vitest/config";
import { precompress } from "./build/precompress.ts";
import { preloadFont } from "./build/preload-font.ts";

const GATEWAY = "http://127.0.0.1:8080";

export default defineConfig({
  plugins: [
    // Compiled JSX takes its runtime from our module, whose templates pass through one Trusted Types policy.
    solid({ solid: { moduleName: "#dom" } }),
    preloadFont("inter-latin-wght-normal"),
    precompress(),
  ],
  resolve: { alias: { "#dom": fileURLToPath(new URL("src/dom.ts", import.meta.url)) } },
  build: {
    target: ["chrome123", "firefox124", "safari17.5"],
    manifest: true,
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    reportCompressedSize: false,
  },
  server: {
    proxy: Object.fromEntries(["/chat", "/dashboard"].map(path => [path, { target: GATEWAY }])),
  },
  test: {
    environment: "node",
    restoreMocks: true,
    unstubGlobals: true,
    projects: [
      { extends: true, test: { name: "unit", include: ["src/**/*.test.{ts,tsx}"], testTimeout: 30_000 } },
      {
        extends: true,
        test: {
          name: "browser",
          include: ["browser-tests/**/*.test.ts"],
          testTimeout: 60_000,
          hookTimeout: 60_000,
          fileParallelism: false,
        },
      },
      {
        extends: true,
        test: {
          name: "e2e",
          include: ["e2e-tests/**/*.test.ts"],
          testTimeout: 90_000,
          hookTimeout: 60_000,
          expect: { poll: { timeout: 20_000 } },
          fileParallelism: false,
        },
      },
    ],
  },
});
