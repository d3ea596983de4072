/** Clients for raw bytes: they send any text, and need not read. */

import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { waitUntil } from "./waiting.js";

/** A path for a Unix socket, gone after the test `t`. */
export function socketPath(t) {
  const folder = mkdtempSync(join(tmpdir(), "service-node-"));
  t.after(() => rmSync(folder, { recursive: true }));
  return join(folder, "socket");
}

/** Send bytes (`text` is Latin-1), and read until the connection is closed. */
export async function rawStatus(port, text) {
  const socket = connect(port, "127.0.0.1").setEncoding("latin1");
  let answer = "";
  socket.on("data", (piece) => (answer += piece));
  socket.write(text, "latin1");
  await waitUntil(() => socket.closed, "the connection is closed").finally(() => socket.destroy());
  return { status: Number(answer.split(" ")[1]), text: answer };
}

/** A connection that has sent `text`, and reads nothing. `address`: a port, or the path of a Unix socket. */
export async function unread(t, address, text) {
  const socket = connect(address).pause();
  socket.on("error", () => {}); // it may be cut, as such tests expect
  t.after(() => socket.destroy());
  await once(socket, "connect");
  socket.write(text);
  return socket;
}
