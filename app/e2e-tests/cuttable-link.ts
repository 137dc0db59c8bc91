/** A way to the gateway that can be cut: Chromium's own offline mode leaves streams alone that are open already. */

import { connect, createServer, type Socket } from "node:net";

export interface CuttableLink {
  origin: string;
  /** Breaks all connections, and refuses new ones until it is mended. */
  cut(): void;
  mend(): void;
  close(): Promise<void>;
}

export async function cuttableLink(to: string): Promise<CuttableLink> {
  const target = new URL(to);
  const open = new Set<Socket>();
  let isCut = false;
  const server = createServer(socket => {
    if (isCut) {
      socket.resetAndDestroy();
      return;
    }
    const onward = connect(Number(target.port), target.hostname);
    for (const [each, other] of [
      [socket, onward],
      [onward, socket],
    ] as const) {
      open.add(each);
      each.pipe(other);
      each.on("error", () => other.destroy());
      each.on("close", () => {
        open.delete(each);
        other.destroy();
      });
    }
  });
  await new Promise<void>(resolve => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the link has no port");
  const breakAll = () => {
    for (const socket of open) socket.resetAndDestroy();
  };
  return {
    origin: `http://127.0.0.1:${address.port}`,
    cut() {
      isCut = true;
      breakAll();
    },
    mend() {
      isCut = false;
    },
    close() {
      const closed = new Promise<void>(resolve => server.close(() => resolve()));
      breakAll();
      return closed;
    },
  };
}
