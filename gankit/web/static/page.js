// Every page: the token leaves the address bar, commands are copied, lists are filtered, questions are asked first.
"use strict";

const address = new URL(location.href);
if (address.searchParams.has("token")) {
  address.searchParams.delete("token");
  history.replaceState(null, "", address);
}

function notice(words) {
  const place = document.getElementById("notice");
  place.textContent = words;
  place.hidden = !words;
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(button.parentElement.querySelector("code").textContent);
  button.textContent = "Copied";
  setTimeout(() => (button.textContent = "Copy"), 1500);
});

document.addEventListener("submit", (event) => {
  const question = event.target.dataset.confirm;
  if (question && !confirm(question)) event.preventDefault();
});

function filter() {
  for (const input of document.querySelectorAll("[data-filter]")) {
    const word = input.value.toLowerCase();
    for (const row of document.querySelectorAll(input.dataset.filter)) {
      row.hidden = !row.textContent.toLowerCase().includes(word);
    }
  }
}
document.addEventListener("input", filter);
document.addEventListener("replaced", filter);
