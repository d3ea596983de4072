/** The application: four paths and their middleware. */

import { once } from "node:events";

import express from "express";

import { body, bodyRoom } from "./bodies.js";
import { inTurn } from "./connections.js";
import { logLines } from "./log-lines.js";
import { logQuery } from "./log-query.js";
import { LogStore } from "./log-store.js";
import { Metrics } from "./metrics.js";
import { observing } from "./observing.js";
import { answer, onError, Problem } from "./problems.js";
import { Room } from "./room.js";
import { originForm, parametersOf } from "./targets.js";

// Number of the largest bodies, and of the largest answers, that may be in memory at once.
const LARGEST_AT_ONCE = 16;

/** Rejects other methods than these. */
function onlyFor(...methods) {
  return function refuse() {
    throw new Problem(405, `This path is for ${methods.join(", ")}.`, { allow: methods.join(", ") });
  };
}

/** One application, as a request listener; a process may have several. `isStopping()`: whether to reject new work. */
export function createApp(settings, log, isStopping = () => false) {
  const app = express();
  app.disable("x-powered-by");
  app.disable("etag"); // it would hash every answer, although clients never revalidate
  app.enable("case sensitive routing");
  app.enable("strict routing");

  const store = new LogStore(settings.maxLines, settings.maxBytes);
  const metrics = new Metrics(store);
  const bodies = new Room(LARGEST_AT_ONCE * settings.maxBodyBytes, "bodies are being read");
  const answers = new Room(LARGEST_AT_ONCE * settings.maxAnswerBytes, "answers are being taken by slow readers");
  app.use(observing(metrics, log));

  app
    .route("/logs")
    .post(async (request, response) => {
      const mediaType = (request.get("content-type") ?? "").split(";")[0].trim().toLowerCase();
      const lines = await bodies.hold(bodyRoom(request, settings.maxBodyBytes), async () =>
        logLines(await body(request, settings.maxBodyBytes), mediaType, settings),
      );
      for (const line of lines) store.add(line);
      metrics.accepted.inc(lines.length);
      response.status(202).json({ accepted: lines.length });
    })
    .get(async (request, response) => {
      const query = logQuery(parametersOf(request.url));
      const { lines, bytes, truncated } = store.latest(query, settings.maxAnswerBytes);
      await answers.hold(bytes, async () => {
        const taken = once(response, "close");
        const texts = lines.map((line) => line.text).join(",");
        // An earlier answer is always outdated.
        response.set("cache-control", "no-store").type("json").send(`{"lines":[${texts}],"truncated":${truncated}}`);
        await taken;
      });
    })
    .all(onlyFor("GET", "HEAD", "POST"));

  app
    .route("/healthz")
    .get((_request, response) => response.json({ status: "ok" }))
    .all(onlyFor("GET", "HEAD"));

  app
    .route("/readyz")
    .get((_request, response) => {
      if (isStopping()) throw new Problem(503, "The service is stopping.");
      response.json({ status: "ok" });
    })
    .all(onlyFor("GET", "HEAD"));

  app
    .route("/metrics")
    .get(async (_request, response) => {
      response.set("content-type", metrics.registry.contentType).send(await metrics.registry.metrics());
    })
    .all(onlyFor("GET", "HEAD"));

  app.use((_request, response) => answer(response, 404, "Paths are /logs, /metrics, /healthz and /readyz."));
  app.use(onError(log));
  return inTurn((request, response) => {
    // Express parses other forms as a URL, and answers with its own HTML page if that fails.
    request.url = originForm(request.url);
    app(request, response);
  }, settings.answerTimeoutSeconds * 1000);
}
