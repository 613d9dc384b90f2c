// Rules in the order in which they are asked, and which of them takes a request.

import { call, list, pathOf } from "./api.js";
import { announce, button, field, h, hashOf, link, page, problem, readOnlyNote, select, showProblem, table } from "./dom.js";
import { availabilityText } from "./live.js";
import { maintenanceButton } from "./maintenance.js";
import { deleteButton, editor, objectPage, summary } from "./settings.js";

const ACTIONS = ["group", "forward", "redirect", "respond", "actions"];
const ELSEWHERE = ["listener", "priority", "direction", "enabled", "tags", ...ACTIONS];

function listenersOf(rule) {
  return [rule.settings.listener ?? []].flat();
}

function actionOf(settings) {
  const found = ACTIONS.filter((key) => settings[key] !== undefined);
  return found.map((key) => `${key} ${typeof settings[key] === "string" ? settings[key] : JSON.stringify(settings[key])}`).join(", ");
}

function moveButtons(rule, index, rules, again, wrong) {
  const move = (word, target) => async () => {
    try {
      const answer = await call("POST", `${pathOf("rules", rule.name)}/move`, { [word]: target.name });
      announce(answer.message || `${rule.name} is moved.`);
      await again();
    } catch (error) {
      showProblem(wrong, error);
    }
  };
  const [above, below] = [rules[index - 1], rules[index + 1]];
  return [
    above ? button("Up", "write", move("before", above), { "aria-label": `Move ${rule.name} up` }) : null,
    below ? button("Down", "write", move("after", below), { "aria-label": `Move ${rule.name} down` }) : null,
  ];
}

function listenerTable(listener, direction, all, again, wrong) {
  const rules = all
    .filter((rule) => listenersOf(rule).includes(listener) && (rule.settings.direction ?? "request") === direction)
    .sort((one, other) => one.settings.priority - other.settings.priority);
  const rows = rules.map((rule, index) => [
    String(rule.settings.priority), link(rule.name, "rules", rule.name), rule.settings.enabled === false ? "disabled" : "enabled", summary(rule.settings, ELSEWHERE),
    actionOf(rule.settings), h("div", { class: "actions" }, moveButtons(rule, index, rules, again, wrong), deleteButton("rules", rule.name, again)),
  ]);
  return table("", ["Priority", "Name", "State", "Conditions and edits", "Action", "Change"], rows, "No rule: all requests go to the default group.");
}

/** Which rule takes a request, as `ringway explain` tells it. */
function tryIt() {
  const method = h("input", { value: "GET", autocomplete: "off" });
  const url = h("input", { type: "url", placeholder: "http://www.example.com/cart", autocomplete: "off" });
  const headers = h("textarea", { rows: 2, spellcheck: "false", placeholder: "x-canary: 1" });
  const source = h("input", { placeholder: "192.0.2.7", autocomplete: "off" });
  const outcome = h("div", { "aria-live": "polite" });
  const ask = async () => {
    const question = { method: method.value.trim() || "GET", url: url.value.trim(), headers: headers.value.split("\n").map((line) => line.trim()).filter(Boolean) };
    if (source.value.trim()) {
      question.source = source.value.trim();
    }
    try {
      const told = await call("POST", "explain", question);
      outcome.replaceChildren(explained(told));
    } catch (error) {
      outcome.replaceChildren(problem(error));
    }
  };
  return h("fieldset", {}, h("legend", {}, "Try it"),
    field("Method", method), field("URL", url), field("Headers", headers, "One a line."), field("Client address", source),
    h("div", { class: "actions" }, button("Explain", "read", ask)), outcome);
}

function explained(told) {
  const verdicts = { taken: "takes the request", missed: "no", not_reached: "not reached", disabled: "disabled" };
  const rows = told.rules.map((rule) => [String(rule.priority), rule.name, [verdicts[rule.verdict] ?? rule.verdict, rule.missed].filter(Boolean).join(": ")]);
  const what = [told.action, told.status, told.reason, told.location].filter(Boolean).join(" ");
  const groups = told.groups.map((group) => h("li", {}, `${group.percent} % to ${group.name} (${availabilityText(group.availability)}): ${group.backend ?? group.candidates.join(", ")}. ${group.why}`));
  return h("div", {},
    h("p", {}, h("strong", {}, told.rule ? `The rule ${told.rule} takes it: ${what}` : `No rule takes it: ${what}`)),
    h("p", { class: "quiet" }, `At the listener ${told.listener}, host ${told.host}, path ${told.path}, from ${told.client}`),
    groups.length > 0 ? h("ul", {}, groups) : null,
    table("", ["Priority", "Rule", "Verdict"], rows, "The listener has no rules."));
}

export async function createRule() {
  const [listeners, groups] = await Promise.all([list("listeners"), list("server-groups")]);
  const names = (objects) => objects.map((object) => object.name);
  const name = h("input", { autocomplete: "off" });
  const listener = select(names(listeners), listeners[0]?.name);
  const priority = h("input", { type: "number", min: 1, max: 10000, value: "100" });
  const host = h("input", { autocomplete: "off" });
  const path = h("input", { autocomplete: "off", placeholder: "/" });
  const action = select([["group", "Forward to a server group"], ["redirect", "Redirect to HTTPS"], ["respond", "Answer with a fixed response"]], "group");
  const group = select(names(groups), groups[0]?.name);
  const box = h("div", {});
  const begin = () => {
    const settings = { name: name.value.trim(), listener: listener.value, priority: Number(priority.value) };
    const hosts = host.value.split(/[\s,]+/).filter(Boolean);
    if (hosts.length > 0) {
      settings.host = hosts;
    }
    if (path.value.trim()) {
      settings.path_prefix = path.value.trim();
    }
    settings[action.value] = { group: group.value, redirect: { code: 308, protocol: "https" }, respond: { code: 200, content_type: "text/plain", body: "…" } }[action.value];
    const save = (wanted, isDryRun) => call("POST", `rules${isDryRun ? "?dry_run=true" : ""}`, wanted);
    box.replaceChildren(editor(settings, "Create rule", save, async (answer) => {
      announce(answer.message || "The rule is created.");
      location.hash = hashOf("rules");
    }));
    box.querySelector("textarea").focus();
  };
  return page("Create rule", readOnlyNote(),
    field("Rule name", name), field("Listener", listener), field("Priority", priority, "1 to 10000. The lowest is asked first."),
    field("Hosts (optional)", host, "Such as *.example.com."), field("Path prefix (optional)", path), field("Action", action), field("Server group", group),
    h("div", { class: "actions" }, button("Make settings of it", null, begin, { class: "main" })),
    h("p", { class: "hint" }, "All other conditions and edits can be added to the settings."), box);
}

async function rulePage(name, again) {
  const status = await call("GET", "status");
  const wrong = h("div", {});
  return objectPage("rules", name, again, [wrong, h("div", { class: "actions" }, maintenanceButton(status, "rule", name, again, wrong))]);
}

export async function rules({ rest, again }) {
  if (rest.length > 0) {
    return rulePage(rest[0], again);
  }
  const [all, listeners] = await Promise.all([list("rules"), list("listeners")]);
  const wrong = h("div", {});
  const tables = listeners.map((listener) => {
    const hasResponses = all.some((rule) => listenersOf(rule).includes(listener.name) && rule.settings.direction === "response");
    return [
      h("h2", {}, `Listener ${listener.name}`), listenerTable(listener.name, "request", all, again, wrong),
      hasResponses ? [h("h3", {}, "For responses"), listenerTable(listener.name, "response", all, again, wrong)] : null,
      h("p", {}, "Default group: ", listener.settings.default_group ? link(listener.settings.default_group, "server-groups", listener.settings.default_group) : "none, so 404"),
    ];
  });
  return page("Rules", readOnlyNote(), wrong, h("div", { class: "actions" }, button("Create rule", "write", () => {
    location.hash = hashOf("create-rule");
  }, { class: "main" })), tryIt(), tables);
}
