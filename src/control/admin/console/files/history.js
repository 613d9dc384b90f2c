// What happened: changes that were asked for, and events of the process.

import { call } from "./api.js";
import { h, page, problem, table } from "./dom.js";

export async function audit() {
  let lines;
  try {
    lines = (await call("GET", "audit?limit=200")).items;
  } catch (error) {
    return page("Audit", problem(error));
  }
  const rows = lines.map((line) => [
    line.time, `${line.actor} (${line.role ?? "no role"})`, line.source, `${line.method} ${line.path}${line.dry_run ? " (dry run)" : ""}`, line.object ?? "",
    h("span", { class: line.status < 400 ? "good" : "bad" }, String(line.status)), line.request_id,
  ]);
  return page("Audit", h("p", {}, "The last 200 changes that were asked for, the newest first."),
    table("", ["Time", "Who", "From", "Call", "Object", "Status", "Request"], rows));
}

export async function events() {
  const told = await call("GET", "events");
  const rows = [...told.events].reverse().map((event) => [event.time, event.kind, event.message]);
  return page("Events", told.missed > 0 ? h("p", {}, `${told.missed} earlier ones are kept no more.`) : null, table("", ["Time", "Kind", "What happened"], rows));
}
