// Rules in the order in which they are asked, and which of them takes a request.

import { call, list, pathOf } from "./api.js";
import { announce, button, field, h, hashOf, link, offer, page, problem, readOnlyNote, select, showProblem, table } from "./dom.js";
import { availabilityText } from "./live.js";
import { maintenanceButton } from "./maintenance.js";
import { fittingGroups, isHttp, kindOf, thingsOf, withProtocols } from "./protocols.js";
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
    .filter((rule) => listenersOf(rule).includes(listener.name) && (rule.settings.direction ?? "request") === direction)
    .sort((one, other) => one.settings.priority - other.settings.priority);
  const rows = rules.map((rule, index) => [
    String(rule.settings.priority), link(rule.name, "rules", rule.name), rule.settings.enabled === false ? "disabled" : "enabled", summary(rule.settings, ELSEWHERE),
    actionOf(rule.settings), h("div", { class: "actions" }, moveButtons(rule, index, rules, again, wrong), deleteButton("rules", rule.name, again)),
  ]);
  return table("", ["Priority", "Name", "State", "Conditions and edits", "Action", "Change"], rows, `No rule: all ${thingsOf(listener.protocol)} go to the default group.`);
}

/** Texts of a box, which neither spaces nor commas have in them. */
function wordsOf(box) {
  return box.value.split(/[\s,]+/).filter(Boolean);
}

/** Which rule takes a request or a connection, as `ringway explain` tells it. */
function tryIt(listeners) {
  const listener = select([["", "The one that the URL leads to"], ...listeners.map(({ name }) => name)], "");
  const method = h("input", { value: "GET", autocomplete: "off" });
  const url = h("input", { type: "url", placeholder: "http://www.example.com/cart", autocomplete: "off" });
  const headers = h("textarea", { rows: 2, spellcheck: "false", placeholder: "x-canary: 1" });
  const name = h("input", { placeholder: "mail.example.com", autocomplete: "off" });
  const alpn = h("input", { placeholder: "h2 http/1.1", autocomplete: "off" });
  const source = h("input", { placeholder: "192.0.2.7", autocomplete: "off" });
  const outcome = h("div", { "aria-live": "polite" });
  const ofRequest = h("div", {}, field("Method", method), field("URL", url), field("Headers", headers, "One a line."));
  const ofTls = h("div", { hidden: true },
    field("Server name (SNI)", name, "What the TLS handshake asks for."), field("ALPN protocols", alpn, "What the TLS handshake offers."));
  const protocol = () => listeners.find((known) => known.name === listener.value)?.protocol;
  listener.addEventListener("change", () => {
    ofRequest.hidden = !isHttp(protocol());
    ofTls.hidden = protocol() !== "tls";
    outcome.replaceChildren();
  });
  const question = () => {
    const both = { listener: listener.value || undefined, source: source.value.trim() || undefined };
    if (isHttp(protocol())) {
      return { ...both, method: method.value.trim() || "GET", url: url.value.trim(), headers: headers.value.split("\n").map((line) => line.trim()).filter(Boolean) };
    }
    return protocol() === "tls" ? { ...both, sni: name.value.trim() || undefined, alpn: wordsOf(alpn) } : both;
  };
  const ask = async () => {
    try {
      const told = await call("POST", "explain", question());
      outcome.replaceChildren(explained(told));
    } catch (error) {
      outcome.replaceChildren(problem(error));
    }
  };
  return h("fieldset", {}, h("legend", {}, "Try it"),
    field("Listener", listener), ofRequest, ofTls, field("Client address", source),
    h("div", { class: "actions" }, button("Explain", "read", ask)), outcome);
}

/** Where what was asked about comes in. */
function whereText(told) {
  const parts = [`At the listener ${told.listener}`, told.host ? `${isHttp(told.protocol) ? "host" : "name"} ${told.host}` : null,
    told.path ? `path ${told.path}` : null, `from ${told.client}`];
  return `${parts.filter(Boolean).join(", ")}: ${told.why}.`;
}

function explained(told) {
  const verdicts = { taken: `takes the ${thingsOf(told.protocol).slice(0, -1)}`, missed: "no", not_reached: "not reached", disabled: "disabled" };
  const rows = told.rules.map((rule) => [String(rule.priority), rule.name, [verdicts[rule.verdict] ?? rule.verdict, rule.missed].filter(Boolean).join(": ")]);
  const what = [told.action, told.status, told.reason, told.location].filter(Boolean).join(" ");
  const groups = told.groups.map((group) => h("li", {},
    `${group.percent} % to ${group.name} (${availabilityText(group.availability, told.protocol)}): ${group.backend ?? group.candidates.join(", ")}. ${group.why}`));
  return h("div", {},
    h("p", {}, h("strong", {}, told.rule ? `The rule ${told.rule} takes it: ${what}` : `No rule takes it: ${what}`)),
    h("p", { class: "quiet" }, whereText(told)),
    groups.length > 0 ? h("ul", {}, groups) : null,
    table("", ["Priority", "Rule", "Verdict"], rows, "The listener has no rules."));
}

/** Boxes of a new rule's conditions: those that requests have, or those that connections have. */
function conditionForm() {
  const host = h("input", { autocomplete: "off" });
  const path = h("input", { autocomplete: "off", placeholder: "/" });
  const sni = h("input", { autocomplete: "off" });
  const alpn = h("input", { autocomplete: "off" });
  const source = h("input", { autocomplete: "off" });
  const ofRequests = h("div", {}, field("Hosts (optional)", host, "Such as *.example.com."), field("Path prefix (optional)", path));
  const ofTls = h("div", {}, field("Server names of TLS (optional)", sni, "What clients ask for by SNI, such as *.example.com."),
    field("ALPN protocols (optional)", alpn, "Such as h2."));
  const sourceField = field("Client addresses (optional)", source, "Addresses, networks and names of IP groups.");
  const adapt = (protocol) => {
    ofRequests.hidden = !isHttp(protocol);
    ofTls.hidden = protocol !== "tls";
    sourceField.hidden = isHttp(protocol);
  };
  const listOf = (box) => (box.closest("[hidden]") || wordsOf(box).length === 0 ? undefined : wordsOf(box));
  const settings = () => ({
    host: listOf(host), path_prefix: ofRequests.hidden ? undefined : path.value.trim() || undefined,
    sni: listOf(sni), alpn: listOf(alpn), source_ip: listOf(source),
  });
  return { element: [ofRequests, ofTls, sourceField], adapt, settings };
}

const ACTION_CHOICES = [["group", "Forward to a server group"], ["redirect", "Redirect to HTTPS"], ["respond", "Answer with a fixed response"]];

export async function createRule() {
  const [known, groupObjects, status] = await Promise.all([list("listeners"), list("server-groups"), call("GET", "status")]);
  // Those of UDP have no rules.
  const listeners = withProtocols(known, status.listeners).filter(({ protocol }) => protocol !== "udp");
  const groups = withProtocols(groupObjects, status.groups);
  const name = h("input", { autocomplete: "off" });
  const listener = select(listeners.map((one) => one.name), listeners[0]?.name);
  const priority = h("input", { type: "number", min: 1, max: 10000, value: "100" });
  const conditions = conditionForm();
  const action = select(ACTION_CHOICES, "group");
  const group = select([], "");
  const box = h("div", {});
  const adapt = () => {
    const chosen = listeners.find((one) => one.name === listener.value);
    conditions.adapt(chosen?.protocol);
    // Connections can only be forwarded.
    offer(action, isHttp(chosen?.protocol) ? ACTION_CHOICES : ACTION_CHOICES.slice(0, 1));
    offer(group, chosen === undefined ? [] : fittingGroups(groups, kindOf(chosen.settings, chosen.protocol)));
  };
  listener.addEventListener("change", adapt);
  adapt();
  const begin = () => {
    const settings = { name: name.value.trim(), listener: listener.value, priority: Number(priority.value), ...conditions.settings() };
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
    conditions.element, field("Action", action), field("Server group", group),
    h("div", { class: "actions" }, button("Make settings of it", null, begin, { class: "main" })),
    h("p", { class: "hint" }, "All other conditions and edits can be added to the settings."), box);
}

async function rulePage(name, again) {
  const [rule, status] = await Promise.all([call("GET", pathOf("rules", name)), call("GET", "status")]);
  const wrong = h("div", {});
  // Nothing answers in the place of what is relayed.
  const isOfRequests = status.listeners.some((listener) => listenersOf(rule).includes(listener.name) && isHttp(listener.protocol));
  return objectPage("rules", name, again, [
    wrong, isOfRequests ? h("div", { class: "actions" }, maintenanceButton(status, "rule", name, again, wrong)) : null,
  ]);
}

/** What becomes of what no rule takes. */
function defaultGroup(listener) {
  const group = listener.settings.default_group;
  if (group) {
    return link(group, "server-groups", group);
  }
  return isHttp(listener.protocol) ? "none, so 404" : "none, so connections that no rule takes are closed";
}

/** The rules of a listener, and what becomes of all else. */
function ofListener(listener, all, again, wrong) {
  const title = h("h2", {}, `Listener ${listener.name}`);
  const rest = h("p", {}, "Default group: ", defaultGroup(listener));
  if (listener.protocol === "udp") {
    return [title, h("p", { class: "quiet" }, "A listener of UDP has no rules: its datagrams go to the default group."), rest];
  }
  const hasResponses = all.some((rule) => listenersOf(rule).includes(listener.name) && rule.settings.direction === "response");
  return [
    title, listenerTable(listener, "request", all, again, wrong),
    hasResponses ? [h("h3", {}, "For responses"), listenerTable(listener, "response", all, again, wrong)] : null, rest,
  ];
}

export async function rules({ rest, again }) {
  if (rest.length > 0) {
    return rulePage(rest[0], again);
  }
  const [all, known, status] = await Promise.all([list("rules"), list("listeners"), call("GET", "status")]);
  const listeners = withProtocols(known, status.listeners);
  const wrong = h("div", {});
  return page("Rules", readOnlyNote(), wrong, h("div", { class: "actions" }, button("Create rule", "write", () => {
    location.hash = hashOf("create-rule");
  }, { class: "main" })), tryIt(listeners), listeners.map((listener) => ofListener(listener, all, again, wrong)));
}
