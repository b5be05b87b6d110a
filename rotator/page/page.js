"use strict";
// Draws /status.json anew every few seconds. It asks nothing else of anybody, and can do nothing.

const EVERY_MS = 5000;
const AT = 0.25;  // where `now` stands on the time line
const ORDER = ["latched", "unusable", "in_doubt", "cooling_down", "due", "unseen", "fresh"];
const WORDS = {
  fresh: "fresh", due: "due", in_doubt: "in doubt", latched: "dead", cooling_down: "waits", unusable: "unusable",
  unseen: "not read yet",
};
const $ = (id) => document.getElementById(id);
const rows = new Map();  // by credential: its element and what it shows
let latest = [];
let answeredAt = 0;

function seconds(text) { return text ? Date.parse(text) / 1000 : null; }

function span(s) {
  const [size, unit] = s < 90 ? [1, "s"] : s < 5400 ? [60, "min"] : s < 129600 ? [3600, "h"] : [86400, "d"];
  return `${Math.round(s / size)} ${unit}`;
}

function relative(s, now) { return s >= now ? `in ${span(s - now)}` : `${span(now - s)} ago`; }

function chosenSpan(shown, now) {
  const asked = Number($("span").value);
  if (asked) return asked;
  const lefts = shown.map((one) => seconds(one.expires_at)).filter((s) => s !== null && s > now).map((s) => s - now);
  lefts.sort((a, b) => a - b);
  return Math.max(120, (lefts[Math.floor(lefts.length * 0.9)] || 3600) * 1.1);
}

function place(s, now, length) {
  return `${(Math.min(1, Math.max(0, AT + ((s - now) / length) * (1 - AT))) * 100).toFixed(2)}%`;
}

function draw(one, now, length) {
  let row = rows.get(one.name);
  if (!row) {
    const element = $("row").content.firstElementChild.cloneNode(true);
    const part = (name) => element.querySelector(name);
    row = {
      element, title: part("h2"), what: part(".what"), when: part(".when"), bar: part(".bar"), life: part(".life"),
      next: part(".next"), wrong: part(".wrong"), mend: part(".mend"),
    };
    row.title.textContent = row.title.title = one.name;
    rows.set(one.name, row);
  }
  const state = one.state || "unseen";
  const [issued, next, ends] = [one.issued_at, one.next_refresh_at, one.expires_at].map(seconds);
  const told = JSON.stringify([state, one.provider, one.store, one.reason, one.action]);
  if (row.told !== told) {
    row.told = told;
    const bold = document.createElement("b");
    bold.textContent = WORDS[state] || state;
    row.what.replaceChildren(bold, ` · ${one.provider} · ${one.store}`);
    row.element.style.setProperty("--state", `var(--${state})`);
    row.wrong.textContent = state === "fresh" ? "" : one.reason;
    row.mend.textContent = one.action;
  }
  const when = [];
  if (ends !== null) when.push(ends > now ? `ends ${relative(ends, now)}` : `ended ${relative(ends, now)}`);
  if (next !== null && next > now) when.push(`next ${relative(next, now)}`);
  if (one.last_rotated_at) when.push(`rotated ${relative(seconds(one.last_rotated_at), now)}`);
  row.when.textContent = when.join(", ");
  row.bar.title = [["issued", one.issued_at], ["next refresh", one.next_refresh_at], ["ends", one.expires_at]]
    .filter(([, at]) => at).map(([word, at]) => `${word} ${at}`).join("\n");
  row.life.hidden = ends === null;
  row.next.hidden = next === null;
  if (ends !== null) {
    row.bar.style.setProperty("--from", place(issued === null ? now : issued, now, length));
    row.bar.style.setProperty("--to", place(ends, now, length));
  }
  if (next !== null) row.bar.style.setProperty("--next", place(next, now, length));
  return row.element;
}

function options(select, values) {
  const known = new Set([...select.options].map((one) => one.value));
  for (const value of values) if (!known.has(value)) select.add(new Option(WORDS[value] || value, value));
}

function show() {
  const now = Date.now() / 1000;
  const [state, provider, name] = [$("state").value, $("provider").value, $("name").value.toLowerCase()];
  const shown = latest.filter((one) => (!state || (one.state || "unseen") === state)
    && (!provider || one.provider === provider) && one.name.toLowerCase().includes(name));
  const length = chosenSpan(shown, now);
  $("from").textContent = `${span((length * AT) / (1 - AT))} ago`;
  $("to").textContent = `in ${span(length)}`;
  const elements = shown.map((one) => draw(one, now, length));
  const main = $("rows");
  if (elements.length !== main.children.length || elements.some((one, at) => main.children[at] !== one)) {
    main.replaceChildren(...elements);
  }
  const counts = new Map();
  for (const one of latest) counts.set(one.state || "unseen", (counts.get(one.state || "unseen") || 0) + 1);
  const told = ORDER.filter((one) => counts.has(one)).map((one) => `${counts.get(one)} ${WORDS[one]}`);
  const stale = Date.now() - answeredAt > 3 * EVERY_MS;
  $("sum").textContent = stale ? "rotator does not answer: this is what it said last" : told.join(", ") || "no credentials";
  $("sum").classList.toggle("stale", stale);
}

async function read() {
  try {
    const answer = await fetch("status.json", { cache: "no-store" });
    if (answer.ok) {
      latest = (await answer.json()).credentials;
      latest.sort((a, b) => ORDER.indexOf(a.state || "unseen") - ORDER.indexOf(b.state || "unseen")
        || (a.expires_at || "").localeCompare(b.expires_at || "") || a.name.localeCompare(b.name));
      const names = new Set(latest.map((one) => one.name));
      for (const name of rows.keys()) if (!names.has(name)) rows.delete(name);
      options($("state"), ORDER.filter((state) => latest.some((one) => (one.state || "unseen") === state)));
      options($("provider"), [...new Set(latest.map((one) => one.provider))].sort());
      answeredAt = Date.now();
    }
  } catch { /* told below: the answer is old */ }
  show();
}

for (const id of ["state", "provider", "span", "name"]) $(id).addEventListener("input", show);
read();
setInterval(read, EVERY_MS);
