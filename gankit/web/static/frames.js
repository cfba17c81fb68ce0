// A slider through the pictures of a figure; who looks at the last one goes on seeing the last one.
"use strict";

(() => {
  let kept = null; // the picture that was chosen; null: the last one

  function enhance() {
    for (const figure of document.querySelectorAll("[data-frames]:not(.moving)")) {
      const pictures = [...figure.querySelectorAll("img")];
      const caption = figure.querySelector("figcaption");
      const slider = document.createElement("input");
      Object.assign(slider, { type: "range", min: 0, max: pictures.length - 1 });
      slider.setAttribute("aria-label", "time");
      const last = pictures.length - 1;
      slider.value = kept === null ? last : Math.min(kept, last);
      const show = () => {
        pictures.forEach((picture, i) => picture.classList.toggle("shown", i === Number(slider.value)));
        caption.textContent = pictures[slider.value].alt;
        slider.setAttribute("aria-valuetext", caption.textContent);
      };
      slider.addEventListener("input", () => {
        kept = Number(slider.value) === last ? null : Number(slider.value);
        show();
      });
      figure.classList.add("moving");
      if (pictures.length > 1) figure.insertBefore(slider, caption);
      show();
    }
  }

  document.addEventListener("replaced", enhance);
  enhance();
})();
