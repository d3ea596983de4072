/** One of the programs as a process, and its output. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

import { waitUntil } from "./waiting.js";

/** The path of a source file. */
export function source(name) {
  return fileURLToPath(new URL(`../src/${name}`, import.meta.url));
}

/** Start `command`; killed after the test `t` if still running. `variables`: its settings; PATH is added. */
export function start(t, command, variables = {}) {
  const child = spawn(command[0], command.slice(1), { env: { PATH: process.env.PATH, ...variables } });
  const output = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"]) child[name].setEncoding("utf8").on("data", (text) => (output[name] += text));
  const ended = once(child, "close").then(([code]) => code);
  t.after(async () => {
    child.kill("SIGKILL");
    await ended;
  });
  const events = (stream) =>
    output[stream]
      .split("\n")
      .slice(0, -1)
      .map((line) => JSON.parse(line));
  return {
    child,
    output,
    /** Resolves to the exit code. */
    ended,
    events,
    /** Wait for a line of its log. */
    event: (name, stream = "stdout") =>
      waitUntil(() => events(stream).find((line) => line.event === name), `the event ${name}`),
  };
}
