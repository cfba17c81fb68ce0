// The numbers of a chart under the pointer.
"use strict";

(() => {
  const tip = document.createElement("div");
  tip.id = "tip";
  tip.hidden = true;
  document.body.append(tip);

  function value(axis, pixel) {
    const share = (pixel - axis.start) / (axis.end - axis.start);
    if (!axis.logarithmic) return axis.low + share * (axis.high - axis.low);
    return Math.exp(Math.log(axis.low) + share * (Math.log(axis.high) - Math.log(axis.low)));
  }

  function written(number) {
    return Math.abs(number) >= 1e4 ? Math.round(number).toLocaleString("en") : Number(number.toPrecision(4)).toString();
  }

  document.addEventListener("pointermove", (event) => {
    const svg = event.target.closest && event.target.closest("svg[data-x]");
    tip.hidden = !svg;
    if (!svg) return;
    const x = JSON.parse(svg.dataset.x), y = JSON.parse(svg.dataset.y);
    const box = svg.getBoundingClientRect();
    const at = ((event.clientX - box.left) * svg.viewBox.baseVal.width) / box.width;
    const found = [];
    let where = null;
    for (const line of svg.querySelectorAll("[data-series]")) {
      let nearest = null;
      for (const point of line.points) {
        if (!nearest || Math.abs(point.x - at) < Math.abs(nearest.x - at)) nearest = point;
      }
      if (!nearest) continue;
      where = where === null ? nearest.x : where;
      found.push([line.dataset.series, value(y, nearest.y)]);
    }
    tip.hidden = !found.length;
    if (!found.length) return;
    const shown = found.slice(0, 12).map(([name, number]) => `${name}  ${written(number)}`);
    tip.textContent = [`${written(value(x, where))} images`, ...shown].join("\n");
    tip.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8))}px`;
    tip.style.top = `${Math.max(4, Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 8))}px`;
  });
})();
