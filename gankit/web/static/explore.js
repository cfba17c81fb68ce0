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
const command = (name) => document.querySelector(`[data-command="${name}"]`);
const url = (place) => `/generator/${place}`;

// The class, the truncation and the moves, as pairs of a query.
function view() {
  const chosen = new FormData(controls);
  const pairs = ["label", "psi"].map((name) => [name, chosen.get(name)]).filter(([, value]) => value);
  for (const slider of controls.querySelectorAll("[data-move]")) {
    if (Number(slider.value)) pairs.push(["move", `${slider.dataset.move}=${slider.value}`]);
  }
  return pairs;
}

function showValues(form) {
  for (const input of form.querySelectorAll("input[type=range]")) input.nextElementSibling.textContent = input.value;
}

const followers = []; // what is drawn again when the controls change
function changed() {
  showValues(controls);
  for (const follow of followers) follow();
}

// -- grids of seeds ---------------------------------------------------------------------------------------------------

for (const figure of document.querySelectorAll("[data-grid]")) {
  const picture = new Picture(figure, `${url(figure.dataset.grid)}/grid.png`, command("grid"));
  followers.push(() => picture.show([["seed", controls.seed.value || 0], ["n", controls.n.value], ...view()]));
}

if (controls) {
  controls.addEventListener("submit", (event) => event.preventDefault());
  controls.addEventListener("input", changed);
  controls.addEventListener("reset", () => setTimeout(changed));
  controls.querySelector("[data-next]").addEventListener("click", () => {
    controls.seed.value = Number(controls.seed.value) + Number(controls.n.value);
    changed();
  });
}

// -- between four seeds -----------------------------------------------------------------------------------------------

function blend(place) {
  const id = place.dataset.blend;
  const pad = place.querySelector(".pad"), dot = pad.querySelector("span");
  const corners = document.querySelector("[name=corners]");
  const picture = new Picture(place.querySelector(".picture"), `${url(id)}/blend.png`, command("walk"));
  let x = 0.5, y = 0.5;

  function show() {
    dot.style.left = `${100 * x}%`;
    dot.style.top = `${100 * y}%`;
    if (!corners.validity.valid) return;
    picture.show([["corners", corners.value], ["x", x.toFixed(4)], ["y", y.toFixed(4)], ...view()]);
  }

  function showCorners() {
    if (!corners.validity.valid) return;
    pad.querySelectorAll(".corner").forEach((image, i) => {
      const query = new URLSearchParams([["corners", corners.value], ["x", i % 2], ["y", i >> 1], ...view()]);
      image.src = `${url(id)}/blend.png?${query}`;
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
  controls.addEventListener("change", showCorners);
  document.querySelector("[data-shuffle]").addEventListener("click", () => {
    corners.value = Array.from({ length: 4 }, () => Math.floor(Math.random() * 10000)).join(",");
    both();
  });
  followers.push(show);
  showCorners();
}

document.querySelectorAll("[data-blend]").forEach(blend);

// -- a photo ----------------------------------------------------------------------------------------------------------

function photo(place) {
  const [pair, more] = place.querySelectorAll(":scope > div");
  const said = place.querySelector("[role=status]"), input = place.querySelector("input");
  let picture = null;

  async function take(file) {
    if (!file) return;
    said.textContent = `Looking for ${file.name} …`;
    try {
      const answer = await fetch(`${url(place.dataset.photo)}/photos?${new URLSearchParams({ name: file.name })}`, {
        method: "POST", body: file, headers: { accept: "application/json" },
      });
      const found = await answer.json();
      if (!answer.ok) throw new Error([found.error, found.hint].filter(Boolean).join(". "));
      said.textContent = [`Error ${found.error} (0 to 1; smaller is nearer).`, ...found.notes].join(" ");
      const address = `${url(place.dataset.photo)}/photos/${found.photo}`;
      pair.querySelector("img").src = `${address}/target.png`;
      more.querySelector("a").href = `${address}/latents.npz`;
      pair.hidden = more.hidden = false;
      picture = new Picture(pair.querySelector(".picture"), `${address}/sample.png`, command("photo"));
      picture.show(view());
    } catch (error) {
      said.textContent = error.message;
    }
  }

  input.addEventListener("change", () => take(input.files[0]));
  // A picture that falls beside the frame is meant for it too: the browser would leave the page.
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    take(event.dataTransfer.files[0]);
  });
  followers.push(() => picture && picture.show(view()));
}

document.querySelectorAll("[data-photo]").forEach(photo);

// -- mixed styles -----------------------------------------------------------------------------------------------------

for (const form of document.querySelectorAll("[data-mix]")) {
  const picture = new Picture(form.parentElement.querySelector(".picture"), `${url(form.dataset.mix)}/mix.png`, command("mix"));
  const show = () => {
    showValues(form);
    if (form.checkValidity()) picture.show([...new FormData(form), ["psi", controls.psi.value]]);
  };
  form.addEventListener("input", show);
  form.addEventListener("submit", (event) => event.preventDefault());
  followers.push(show);
}

if (controls) changed();
