// Asks again and again what changed, and puts it in its place; what the reader chose, opened and scrolled stays.
"use strict";

const EVERY_MS = 1000;
const shown = new Map(); // name of a part -> its HTML
let version = "";

function replace(part, html) {
  const open = [...part.querySelectorAll("details")].map((details) => details.open);
  const chosen = new Set([...part.querySelectorAll("input:checked")].map((input) => input.value));
  const focused = part.contains(document.activeElement) ? document.activeElement : null;
  const same = focused && { href: focused.getAttribute("href"), value: focused.value };
  const log = part.querySelector(".log");
  const atEnd = !log || log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  const top = log ? log.scrollTop : 0;
  part.innerHTML = html; // made by the server, which escapes all text
  part.querySelectorAll("details").forEach((details, i) => (details.open = Boolean(open[i])));
  for (const input of part.querySelectorAll("input[type=checkbox]")) input.checked = chosen.has(input.value);
  if (same) {
    const again = [...part.querySelectorAll("a,input,button")].find(
      (one) => one.getAttribute("href") === same.href && one.value === same.value);
    if (again) again.focus({ preventScroll: true });
  }
  const newLog = part.querySelector(".log");
  if (newLog) newLog.scrollTop = atEnd ? newLog.scrollHeight : top;
}

async function look() {
  const url = document.body.dataset.live;
  if (document.hidden) return;
  const known = `${url.includes("?") ? "&" : "?"}version=${encodeURIComponent(version)}`;
  const response = await fetch(url + known, { headers: { accept: "application/json" } });
  const news = await response.json();
  if (!response.ok) {
    notice(news.error || "This is no longer there.");
    return;
  }
  notice("");
  if (news.version && news.version === version) return;
  version = news.version;
  for (const [name, html] of Object.entries(news.parts)) {
    const part = document.querySelector(`[data-part="${name}"]`);
    if (!part || shown.get(name) === html) continue;
    shown.set(name, html);
    replace(part, html);
  }
  document.dispatchEvent(new Event("replaced"));
}

async function follow() {
  try {
    await look();
  } catch {
    notice("gankit ui has ended, or cannot be reached. This page is as it was last.");
  }
  setTimeout(follow, EVERY_MS);
}

if (document.body.dataset.live) {
  document.querySelectorAll(".log").forEach((log) => (log.scrollTop = log.scrollHeight));
  follow();
  document.addEventListener("visibilitychange", () => look().catch(() => {}));
}
