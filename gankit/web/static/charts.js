// Charts are drawn by the server; each is fetched when it is seen, and again when there is something new.
"use strict";

const AT_ONCE = 3; // charts that are fetched at a time
const visible = new Set();
const waiting = new Set();
let fetching = 0;

const watcher = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (entry.isIntersecting) {
      visible.add(entry.target);
      ask(entry.target);
    } else visible.delete(entry.target);
  }
}, { rootMargin: "300px" });

function smoothing() {
  const slider = document.getElementById("smoothing");
  return slider ? slider.value : "0";
}

function ask(box) {
  waiting.add(box);
  next();
}

async function next() {
  if (fetching >= AT_ONCE || !waiting.size) return;
  const [box] = waiting;
  waiting.delete(box);
  fetching += 1;
  try {
    const response = await fetch(`/chart?${box.dataset.chart}&smoothing=${smoothing()}`);
    if (response.ok && box.isConnected) {
      const svg = new DOMParser().parseFromString(await response.text(), "image/svg+xml").documentElement;
      if (svg.tagName === "svg") box.replaceChildren(document.importNode(svg, true));
    }
  } catch {
    // The page says when the server cannot be reached.
  } finally {
    fetching -= 1;
    next();
  }
}

function observe() {
  for (const box of visible) if (!box.isConnected) visible.delete(box);
  for (const box of document.querySelectorAll("[data-chart]")) {
    watcher.observe(box);
    if (visible.has(box)) ask(box);
  }
}

document.addEventListener("replaced", observe);
document.addEventListener("input", (event) => {
  if (event.target.id === "smoothing") for (const box of visible) ask(box);
});
observe();
