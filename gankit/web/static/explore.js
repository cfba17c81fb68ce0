// Pictures that follow the controls. Only the newest wish counts: one request of a picture is under way at a time.
"use strict";

class Picture {
  constructor(figure, url, command) {
    this.figure = figure;
    this.url = url;
    this.command = command;
    this.busy = false;
  }

  async show(parameters) {
    this.wanted = parameters;
    if (this.busy) return;
    this.busy = true;
    try {
      while (this.wanted) {
        const query = new URLSearchParams(this.wanted);
        this.wanted = null;
        await this.fetch(query);
      }
    } finally {
      this.busy = false;
    }
  }

  async fetch(query) {
    const caption = this.figure.querySelector("figcaption");
    try {
      const response = await fetch(`${this.url}?${query}`, { headers: { accept: "image/png" } });
      if (!response.ok) {
        const problem = await response.json();
        caption.textContent = [problem.error, problem.hint].filter(Boolean).join(". ");
        return;
      }
      const image = this.figure.querySelector("img");
      const old = image.src;
      image.src = URL.createObjectURL(await response.blob());
      if (old) URL.revokeObjectURL(old);
      caption.textContent = "";
      if (this.command) this.command.textContent = decodeURIComponent(response.headers.get("x-command"));
    } catch {
      notice("gankit ui has ended, or cannot be reached.");
    }
  }
}

const controls = document.querySelector("[data-controls]");
const chosen = () => (controls ? Object.fromEntries(new FormData(controls)) : {});
const view = () => {
  const { label, psi } = chosen();
  return Object.fromEntries(Object.entries({ label, psi }).filter(([, value]) => value));
};

// -- grids of seeds ---------------------------------------------------------------------------------------------------

const grids = [...document.querySelectorAll("[data-grid]")].map(
  (figure) => new Picture(figure, `/generator/${figure.dataset.grid}/grid.png`, document.querySelector("[data-command=grid]")));

function showGrids() {
  for (const input of controls.querySelectorAll("input[type=range]")) input.nextElementSibling.textContent = input.value;
  const { seed, n } = chosen();
  for (const grid of grids) grid.show({ seed: seed || 0, n, ...view() });
}

if (controls) {
  controls.addEventListener("submit", (event) => event.preventDefault());
  controls.addEventListener("input", showGrids);
  controls.querySelector("[data-next]").addEventListener("click", () => {
    controls.seed.value = Number(controls.seed.value) + Number(controls.n.value);
    showGrids();
  });
  showGrids();
}

// -- between four seeds -----------------------------------------------------------------------------------------------

function blend(place) {
  const id = place.dataset.blend;
  const pad = place.querySelector(".pad"), dot = pad.querySelector("span");
  const corners = document.querySelector("[name=corners]");
  const picture = new Picture(place.querySelector(".picture"), `/generator/${id}/blend.png`, document.querySelector("[data-command=walk]"));
  let x = 0.5, y = 0.5;

  function show() {
    dot.style.left = `${100 * x}%`;
    dot.style.top = `${100 * y}%`;
    if (corners.validity.valid) picture.show({ corners: corners.value, x: x.toFixed(4), y: y.toFixed(4), ...view() });
  }

  function showCorners() {
    if (!corners.validity.valid) return;
    pad.querySelectorAll(".corner").forEach((image, i) => {
      image.src = `/generator/${id}/blend.png?${new URLSearchParams({ corners: corners.value, x: i % 2, y: i >> 1, ...view() })}`;
    });
  }

  function move(event) {
    const box = pad.getBoundingClientRect();
    x = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
    y = Math.min(1, Math.max(0, (event.clientY - box.top) / box.height));
    show();
  }

  pad.addEventListener("pointerdown", (event) => {
    pad.setPointerCapture(event.pointerId);
    move(event);
  });
  pad.addEventListener("pointermove", (event) => {
    if (pad.hasPointerCapture(event.pointerId)) move(event);
  });
  pad.addEventListener("keydown", (event) => {
    const step = event.shiftKey ? 0.1 : 0.02;
    const by = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key];
    if (!by) return;
    event.preventDefault();
    x = Math.min(1, Math.max(0, x + by[0]));
    y = Math.min(1, Math.max(0, y + by[1]));
    show();
  });
  const both = () => {
    show();
    showCorners();
  };
  corners.addEventListener("change", both);
  if (controls) controls.addEventListener("change", both);
  document.querySelector("[data-shuffle]").addEventListener("click", () => {
    corners.value = Array.from({ length: 4 }, () => Math.floor(Math.random() * 10000)).join(",");
    both();
  });
  both();
}

document.querySelectorAll("[data-blend]").forEach(blend);
