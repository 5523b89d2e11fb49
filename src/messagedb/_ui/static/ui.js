"use strict";
// Colors, before anything is drawn.
const keep = {
  get(name) { try { return localStorage.getItem("messagedb." + name); } catch { return null; } },
  set(name, value) { try { localStorage.setItem("messagedb." + name, value); } catch { /* private window */ } },
};
function applyTheme(choice) {
  if (choice === "light" || choice === "dark") document.documentElement.dataset.theme = choice;
  else delete document.documentElement.dataset.theme;
  for (const button of document.querySelectorAll("[data-theme-choice]"))
    button.setAttribute("aria-pressed", String(button.dataset.themeChoice === (choice || "auto")));
}
applyTheme(keep.get("theme"));

// Refresh: the same address again, and only what is in <main> is replaced.
let refreshTimer = 0;
let failures = 0;
function isBusy() {
  const active = document.activeElement;
  const main = document.getElementById("main");
  return document.hidden || document.querySelector("dialog[open], [data-live='on'], [data-live='paused'], [data-hold]")
    || (active && main.contains(active) && /^(INPUT|SELECT|TEXTAREA)$/.test(active.tagName))
    || String(getSelection()).length > 0;
}
async function refresh() {
  if (!isBusy()) {
    try {
      const answer = await fetch(location.href, { headers: { "X-Refresh": "1" } });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById("main");
      if (fresh && !isBusy()) replaceMain(fresh, page);
      failures = answer.ok ? 0 : failures + 1;
    } catch { failures += 1; }
  }
  planRefresh();
}
function replaceMain(fresh, page) {
  const main = document.getElementById("main");
  const active = document.activeElement;
  const mark = active && main.contains(active) ? active.getAttribute("href") || active.id : null;
  const opened = [...main.querySelectorAll("details")].map((each) => each.open);
  main.replaceChildren(...fresh.childNodes);
  followAll();
  main.querySelectorAll("details").forEach((each, index) => { if (opened[index] !== undefined) each.open = opened[index]; });
  if (mark) {
    const again = [...main.querySelectorAll("a, button, [tabindex]")].find((each) => (each.getAttribute("href") || each.id) === mark);
    if (again) again.focus({ preventScroll: true });
  }
  const time = page.getElementById("as-of");
  if (time) document.getElementById("as-of").replaceWith(document.importNode(time, true));
}
function planRefresh() {
  clearTimeout(refreshTimer);
  const seconds = Number(document.getElementById("refresh")?.value || 0);
  if (seconds) refreshTimer = setTimeout(refresh, seconds * 1000 * Math.min(2 ** failures, 16));
}

// Live rows of a stream.
let followed = new AbortController();
function followAll() {
  followed.abort();
  followed = new AbortController();
  document.querySelectorAll("table[data-source]").forEach((table) => follow(table, followed.signal));
}
function follow(table, signal) {
  const body = table.querySelector("tbody");
  const button = document.querySelector("[data-live-switch]");
  const state = document.querySelector("[data-live-state]");
  const waiting = document.querySelector("[data-live-waiting]");
  const most = Number(table.dataset.most || 200);
  let source = null;
  let held = [];
  let after = table.dataset.after;
  const isAtTop = () => table.getBoundingClientRect().top > -40;
  const show = (text, kind) => { state.textContent = text; state.className = "tag " + kind; };
  const insert = (rows) => {
    for (const row of rows) body.prepend(row);
    while (body.rows.length > most) body.lastElementChild.remove();
    document.querySelector("[data-live-empty]")?.remove();
    table.hidden = false;
  };
  const release = () => { insert(held); held = []; waiting.hidden = true; };
  const receive = (event) => {
    after = event.lastEventId;
    const box = document.createElement("template");
    box.innerHTML = event.data;
    const row = box.content.querySelector("tr");
    row.classList.add("new");
    if (isAtTop()) insert([row]);
    else {
      held.push(row);
      while (held.length > most) held.shift();
      waiting.textContent = held.length + (held.length === 1 ? " new message" : " new messages");
      waiting.hidden = false;
    }
  };
  const stop = () => {
    source?.close(); source = null;
    table.dataset.live = "paused";
    button.textContent = "Resume"; button.setAttribute("aria-pressed", "false");
    show("paused", "");
  };
  const start = () => {
    const address = new URL(table.dataset.source, location.href);
    address.searchParams.set("after", after);
    source = new EventSource(address);
    table.dataset.live = "on";
    button.textContent = "Pause"; button.setAttribute("aria-pressed", "true");
    source.onopen = () => show("live", "good");
    source.onerror = () => {
      if (source && source.readyState === EventSource.CLOSED) {
        source = null; show("reconnecting", "warn"); setTimeout(() => { if (table.dataset.live === "on" && !source) start(); }, 3000);
      } else show("reconnecting", "warn");
    };
    source.addEventListener("message", receive);
  };
  button.hidden = false;
  button.addEventListener("click", () => (table.dataset.live === "on" ? stop() : start()));
  waiting.addEventListener("click", () => { release(); document.getElementById("main").scrollIntoView(); });
  addEventListener("scroll", () => { if (held.length && isAtTop()) release(); }, { passive: true, signal });
  signal.addEventListener("abort", () => source?.close());
  if (table.dataset.live === "wanted") start();
}

document.addEventListener("DOMContentLoaded", () => {
  applyTheme(keep.get("theme"));
  for (const button of document.querySelectorAll("[data-theme-choice]"))
    button.addEventListener("click", () => { keep.set("theme", button.dataset.themeChoice); applyTheme(button.dataset.themeChoice); });
  const choice = document.getElementById("refresh");
  if (choice) {
    choice.value = keep.get("refresh") || "5";
    choice.addEventListener("change", () => { keep.set("refresh", choice.value); failures = 0; planRefresh(); });
    planRefresh();
  }
  followAll();
});
document.addEventListener("visibilitychange", () => { if (!document.hidden) planRefresh(); });
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const text = document.getElementById(button.dataset.copy).textContent;
  try { await navigator.clipboard.writeText(text); button.textContent = "Copied"; } catch { button.textContent = "Select and copy it"; }
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
});
document.addEventListener("keydown", (event) => {
  const inField = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
  if (event.key === "/" && !inField && !event.ctrlKey && !event.metaKey && !event.altKey) {
    const box = document.getElementById("go");
    if (box) { event.preventDefault(); box.focus(); }
  }
  const node = event.target.closest?.("[data-walk] a");
  if (node && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
    const all = [...node.closest("[data-walk]").querySelectorAll("a[data-node]")];
    const at = all.indexOf(node) + (event.key === "ArrowDown" ? 1 : -1);
    if (all[at]) { event.preventDefault(); all[at].focus(); }
  }
});
