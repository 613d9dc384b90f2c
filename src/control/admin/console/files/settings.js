// One object of any kind: its settings as JSON, tried before they are saved, and what else can be done with it.

import { call, list, pathOf } from "./api.js";
import { announce, button, changed, dialog, field, h, hashOf, link, page, problem, readOnlyNote, table } from "./dom.js";

/** Kinds whose objects are edited as settings; `example` is what a new one begins with. */
export const KINDS = {
  listeners: { one: "listener" },
  certificates: { one: "certificate" },
  cas: { one: "CA" },
  "server-groups": { one: "server group" },
  rules: { one: "rule" },
  "ip-groups": { one: "IP group", many: "IP groups", example: { name: "office", entries: ["192.0.2.0/24"] } },
  "error-pages": {
    one: "error page", many: "Error pages",
    example: { name: "trouble", status: ["5xx"], content: "<!doctype html>\n<title>Please try again later</title>\n", content_type: "text/html" },
  },
  "tls-policies": {
    one: "TLS policy", many: "TLS policies",
    example: { name: "edge", versions: ["1.2", "1.3"], cipher_suites: ["TLS_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256"] },
  },
};

/** What is wrong with a name that was typed, with its box; null if nothing is. `taken` are names that others have. */
export function nameFault(label, control, taken = []) {
  const name = control.value.trim();
  if (!/^[A-Za-z0-9._-]{1,64}$/.test(name)) {
    return { control, text: `${label}: write 1 to 64 letters, digits, -, _ and ., without spaces.` };
  }
  return taken.includes(name) ? { control, text: `${label}: there is one called ${name} already; write another name.` } : null;
}

/** Reads what was typed as an object. */
export function parsed(text) {
  const settings = JSON.parse(text);
  if (settings === null || typeof settings !== "object" || Array.isArray(settings)) {
    throw new SyntaxError("the settings are no object: write {\"key\": value}");
  }
  return settings;
}

/** A box for settings, with buttons that try and save. `save(settings, isDryRun)` calls the API; `done` is told its answer. */
export function editor(settings, saveText, save, done) {
  const text = h("textarea", { rows: Math.min(30, JSON.stringify(settings, null, 2).split("\n").length + 2), spellcheck: "false" });
  text.value = JSON.stringify(settings, null, 2);
  const outcome = h("div", { "aria-live": "polite" });
  const attempt = async (isDryRun) => {
    outcome.replaceChildren();
    try {
      const answer = await save(parsed(text.value), isDryRun);
      if (isDryRun) {
        outcome.replaceChildren(changed(answer));
      } else {
        await done(answer);
      }
    } catch (error) {
      outcome.replaceChildren(error instanceof SyntaxError
        ? h("div", { class: "problem", role: "alert" }, h("h3", {}, "This is no JSON"), h("p", {}, error.message))
        : problem(error));
    }
  };
  return h("div", {},
    field("Settings (JSON, with the keys of the configuration)", text),
    h("div", { class: "actions" },
      button("Check", "write", () => attempt(true)),
      button(saveText, "write", () => attempt(false), { class: "main" })),
    outcome);
}

/** A question before an object is gone; the API refuses it while something uses it. */
export function deleteButton(kind, name, then, text = "Delete") {
  const label = `${text} ${name}`;
  return button(text, "write", () => dialog(`Delete ${name}?`,
    h("p", {}, `The ${KINDS[kind]?.one ?? "object"} goes out of service and out of the files.`), `Delete ${name}`, async () => {
      await call("DELETE", pathOf(kind, name));
      announce(`${name} is deleted.`);
      await then();
    }), { "aria-label": label });
}

/** The view of one object. */
export async function objectPage(kind, name, again, more = []) {
  const object = await call("GET", pathOf(kind, name));
  const users = (object.used_by ?? []).map((user) => link(user, ...user.split("/")));
  const save = (settings, isDryRun) => call("PUT", `${pathOf(kind, name)}${isDryRun ? "?dry_run=true" : ""}`, settings, { "If-Match": object.etag });
  const done = async (answer) => {
    announce(answer.message || "Saved.");
    await again();
  };
  return page(`${KINDS[kind].one} ${name}`, readOnlyNote(),
    object.settings.description ? h("p", {}, object.settings.description) : null,
    h("dl", {}, h("dt", {}, "Place"), h("dd", {}, h("code", {}, object.place)),
      users.length > 0 ? [h("dt", {}, "Used by"), h("dd", {}, users.flatMap((user) => [user, " "]))] : null),
    more,
    h("h2", {}, "Settings"), editor(object.settings, "Save", save, done),
    h("div", { class: "actions" }, deleteButton(kind, name, async () => {
      location.hash = hashOf(kind);
    })));
}

/** The view of a kind that has no view of its own. */
export function kindView(kind) {
  return async ({ rest, again }) => {
    if (rest.length > 0) {
      return objectPage(kind, rest[0], again);
    }
    const objects = await list(kind);
    const rows = objects.map((object) => [
      link(object.name, kind, object.name), object.settings.description ?? "", summary(object.settings),
      deleteButton(kind, object.name, again),
    ]);
    return page(KINDS[kind].many, readOnlyNote(),
      h("div", { class: "actions" }, button(`Create ${KINDS[kind].one}`, "write", () => {
        location.hash = hashOf("create", kind);
      }, { class: "main" })),
      table("", ["Name", "Description", "Settings", "Actions"], rows));
  };
}

/** Settings in a line, without what stands elsewhere. */
export function summary(settings, without = []) {
  const left = Object.entries(settings).filter(([key, value]) => value !== undefined && !["name", "description", ...without].includes(key));
  return left.map(([key, value]) => `${key} = ${JSON.stringify(value)}`).join(", ");
}

/** The view that creates one of a kind that has no view of its own. */
export async function createObject({ rest: [kind] }) {
  const { one, example } = Object.hasOwn(KINDS, kind) ? KINDS[kind] : {};
  if (example === undefined) {
    return page("Nothing is here", h("p", {}, "There is no such kind of object."));
  }
  const save = (settings, isDryRun) => call("POST", `${kind}${isDryRun ? "?dry_run=true" : ""}`, settings);
  const done = async (answer) => {
    announce(answer.message || "Created.");
    location.hash = hashOf(kind);
  };
  return page(`Create ${one}`, readOnlyNote(), editor(example, `Create ${one}`, save, done));
}
