// Keeps an open page up to date, and copies texts. Everything works without it, by reloading.

const main = document.getElementById("main");
const regions = (root) => [...root.querySelectorAll("[data-live]")];
const told = document.getElementById("live");

// Times, as text.rs writes them.

const units = [[120, 1, "s"], [7200, 60, "min"], [172800, 3600, "h"], [Infinity, 86400, "days"]];

function relative(at) {
  const seconds = Math.round((Date.now() - at) / 1000);
  const [, size, unit] = units.find(([below]) => Math.abs(seconds) < below);
  const count = Math.floor(Math.abs(seconds) / size);
  return seconds < 0 ? `in ${count} ${unit}` : `${count} ${unit} ago`;
}

function tellTimes() {
  for (const time of main.querySelectorAll("time[title]")) {
    const at = Date.parse(time.dateTime);
    if (!Number.isNaN(at)) time.textContent = relative(at);
  }
}

// What is on the page stays where somebody is at it: focus, open details, scrolled tables.

function place(region) {
  const active = document.activeElement;
  const like = (one) =>
    [one.tagName, one.id, one.getAttribute("href"), one.getAttribute("aria-label"), one.value].join();
  const all = (tag) => [...region.querySelectorAll(tag)];
  const focused = region.contains(active) ? like(active) : null;
  const open = all("details").map((details) => details.open);
  const scrolled = all(".scroll").map((table) => table.scrollLeft);
  return () => {
    all("details").forEach((details, at) => (details.open = open[at] ?? details.open));
    all(".scroll").forEach((table, at) => (table.scrollLeft = scrolled[at] ?? 0));
    if (focused === null) return;
    const found = all("a, button, input, summary, [tabindex]").find((one) => like(one) === focused);
    (found ?? main).focus({ preventScroll: true });
  };
}

function isInUse(region) {
  const selection = getSelection();
  const selects = !selection.isCollapsed && region.contains(selection.anchorNode);
  return selects || region.querySelector("input:focus, textarea:focus, [popover]:popover-open") !== null;
}

const numbers = (region) => [...region.querySelectorAll("tr[data-event]")].map((row) => Number(row.dataset.event));

let missed = 0;

// The page that somebody who uses a region has not seen yet.
let kept = null;

// Events that came and went between two updates, where rows are the latest events.
function tellMissed(region, before) {
  const after = numbers(region);
  if (before.length === 0 || after.length === 0) return;
  const oldest = Math.min(...after);
  missed += Math.max(0, oldest - Math.max(...before) - 1);
  if (missed === 0) return;
  const row = region.querySelector("tbody").insertRow();
  const cell = row.insertCell();
  cell.colSpan = 8;
  row.className = "missed";
  const link = document.createElement("a");
  const place = new URL(location.href);
  place.searchParams.set("before", oldest);
  link.href = place.href;
  link.textContent = "look at them";
  // Numbers of events may be left out.
  cell.append(`Up to ${missed} missed: `, link);
}

function update(page) {
  const fresh = new DOMParser().parseFromString(page, "text/html");
  kept = null;
  for (const region of regions(main)) {
    const next = regions(fresh).find((one) => one.dataset.live === region.dataset.live);
    if (!next) continue;
    if (isInUse(region)) {
      kept = page;
      continue;
    }
    const [before, restore] = [numbers(region), place(region)];
    region.replaceChildren(...next.childNodes);
    if (region.dataset.live === "latest") tellMissed(region, before);
    restore();
  }
  tellTimes();
}

// Whoever leaves a region sees what it has become. Focus is somewhere else only after its event.
const leave = () => setTimeout(() => kept && update(kept));
for (const event of ["selectionchange", "focusout", "toggle"]) document.addEventListener(event, leave, true);

// The stream.

let source = null;
let seen = told?.dataset.seen;
let paused = false;
let again = 0;

function say(text) {
  const status = told.querySelector("[role=status]");
  if (status.textContent !== text) status.textContent = text;
}

function close() {
  clearTimeout(again);
  source?.close();
  source = null;
}

function open() {
  close();
  if (paused || document.hidden) return;
  const place = new URL(told.dataset.stream, location.href);
  place.searchParams.set("page", location.pathname + location.search);
  place.searchParams.set("seen", seen);
  source = new EventSource(place);
  source.onopen = () => say("Live");
  source.addEventListener("page", (event) => {
    seen = event.lastEventId;
    update(event.data);
  });
  source.onerror = () => {
    if (source.readyState === EventSource.CONNECTING) return say("Connecting again");
    // It was refused: too many pages are open, or the sign-in has ended.
    say("Not live: reload the page");
    again = setTimeout(open, 30_000);
  };
}

if (told && regions(main).length > 0) {
  told.hidden = false;
  told.querySelector("button").onclick = (event) => {
    paused = !paused;
    event.target.textContent = paused ? "Go on" : "Pause";
    if (paused) say("Paused");
    open();
  };
  document.addEventListener("visibilitychange", open);
  addEventListener("pagehide", close);
  setInterval(tellTimes, 10_000);
  open();
}

// Texts to copy.

for (const text of document.querySelectorAll("pre[data-copy]")) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Copy";
  button.onclick = async () => {
    await navigator.clipboard.writeText(text.textContent);
    button.textContent = "Copied";
  };
  if (navigator.clipboard) text.before(button);
}
