// The management API: calls with the token, and what is refused as an object that views can show.

const ROOT = "/api/v1/";
const KEPT = "ringway-token";

let token = keptToken();

function keptToken() {
  try {
    return sessionStorage.getItem(KEPT) ?? "";
  } catch {
    return "";
  }
}

/** Who asks, as `whoami` says; `role` is null until it is known. */
export const me = { actor: "", role: null };

const RANKS = ["read", "operate", "write"];

/** Whether the one who asks may do what needs this role. */
export function may(role) {
  return RANKS.indexOf(me.role) >= RANKS.indexOf(role);
}

export function hasToken() {
  return token !== "";
}

export function setToken(text) {
  token = text.trim();
  try {
    if (token === "") {
      sessionStorage.removeItem(KEPT);
    } else {
      sessionStorage.setItem(KEPT, token);
    }
  } catch {
    // The browser keeps nothing: the token lasts as long as the page.
  }
}

/** What the API has refused: a document of problem details (RFC 9457), or what can be said without one. */
export class Refusal extends Error {
  constructor(problem) {
    super(problem.detail ?? problem.title ?? "");
    this.problem = problem;
  }

  get status() {
    return this.problem.status ?? 0;
  }
}

async function refusalOf(response) {
  const text = await response.text().catch(() => "");
  try {
    const problem = JSON.parse(text);
    if (problem !== null && typeof problem === "object") {
      return new Refusal({ status: response.status, ...problem });
    }
  } catch {
    // It is a line for people.
  }
  return new Refusal({ status: response.status, title: response.statusText, detail: text.trim() });
}

/** Calls the API; `path` is below its root. Returns the document that it answers with. */
export async function call(method, path, content, fields = {}) {
  const headers = { ...fields };
  if (token !== "") {
    headers.Authorization = `Bearer ${token}`;
  }
  const options = { method, headers, cache: "no-store", credentials: "same-origin" };
  if (content !== undefined) {
    headers["Content-Type"] = method === "PATCH" ? "application/merge-patch+json" : "application/json";
    options.body = JSON.stringify(content);
  }
  let response;
  try {
    response = await fetch(ROOT + path, options);
  } catch {
    throw new Refusal({
      status: 0,
      title: "No answer",
      detail: "Ringway does not answer at this address.",
      help: "See whether it runs (ringway status) and whether the way to it, such as ssh -L, is still open.",
    });
  }
  if (!response.ok) {
    throw await refusalOf(response);
  }
  const type = response.headers.get("content-type") ?? "";
  return type.includes("json") ? response.json() : response.text();
}

/** A path of names that can hold anything. */
export function pathOf(...segments) {
  return segments.map((segment) => encodeURIComponent(segment)).join("/");
}

/** All objects of a kind, page after page. */
export async function list(kind) {
  const items = [];
  let after = null;
  do {
    const behind = after === null ? "" : `&after=${encodeURIComponent(after)}`;
    const page = await call("GET", `${kind}?limit=1000${behind}`);
    items.push(...page.items);
    after = page.next;
  } while (after !== null && after !== undefined);
  return items;
}

export async function learnWhoAsks() {
  me.role = null;
  me.actor = "";
  const { actor, role } = await call("GET", "whoami");
  me.actor = actor;
  me.role = role;
}
