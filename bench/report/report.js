// Sorting, filtering and links of the report. Put into the page when it is written; without it the page still reads.
"use strict";

/** @param {HTMLTableElement} table */
function rowsOf(table) {
  return [...table.tBodies[0].rows];
}

/** @param {HTMLTableElement} table */
function apply(table) {
  const box = table.closest(".table");
  const words = box.querySelector("input").value.toLowerCase().split(/\s+/).filter(Boolean);
  const select = box.querySelector("select");
  const outcome = select ? select.value : "";
  const only = table.only;
  let shown = 0;
  for (const row of rowsOf(table)) {
    row.text ??= [...row.cells].map((cell) => cell.textContent).join(" ").toLowerCase();
    const fits =
      words.every((word) => row.text.includes(word)) &&
      (!outcome || row.cells[select.dataset.column].textContent === outcome) &&
      (!only || only.has(row.id));
    row.hidden = !fits;
    shown += Number(fits);
  }
  const all = table.tBodies[0].rows.length;
  box.querySelector("output").textContent = shown === all ? `${all} ${all === 1 ? "row" : "rows"}` : `${shown} of ${all} rows`;
  box.querySelector("button.all").hidden = shown === all;
}

/** @param {HTMLTableElement} table */
function showAll(table) {
  const box = table.closest(".table");
  box.querySelector("input").value = "";
  const select = box.querySelector("select");
  if (select) select.value = "";
  table.only = null;
  apply(table);
}

/** What a field sorts by: its number where it has one, else its words. Blank fields come last both ways. */
function compare(a, b, column, sign) {
  const [x, y] = [a, b].map((row) => row.cells[column].dataset.order ?? row.cells[column].textContent);
  if (x === "" || y === "") return Number(x === "") - Number(y === "");
  const numbers = [Number(x), Number(y)];
  const difference = numbers.some(Number.isNaN)
    ? x.localeCompare(y, "en", { numeric: true })
    : numbers[0] - numbers[1];
  return sign * difference;
}

/** @param {HTMLTableElement} table @param {HTMLTableCellElement} head */
function sort(table, head) {
  const up = head.getAttribute("aria-sort") !== "ascending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  const rows = rowsOf(table).sort((a, b) => compare(a, b, head.cellIndex, up ? 1 : -1));
  table.tBodies[0].append(...rows);
}

/** Follow a link into a table: its runs alone are shown, and what is pointed at is never hidden. */
function follow(link) {
  const target = document.getElementById(link.hash.slice(1));
  const table = target && target.closest("table");
  if (!table) return;
  showAll(table);
  if (link.dataset.runs) {
    table.only = new Set(link.dataset.runs.split(" ").map((run) => `run-${run}`));
    apply(table);
  }
  target.tabIndex = -1;
  target.focus();
}

for (const table of document.querySelectorAll("table")) {
  const box = table.closest(".table");
  box.querySelector(".tools").hidden = false;
  box.querySelector("input").addEventListener("input", () => apply(table));
  box.querySelector("select")?.addEventListener("change", () => apply(table));
  box.querySelector("button.all").addEventListener("click", () => showAll(table));
  for (const head of table.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => sort(table, head));
  }
  apply(table);
}
document.addEventListener("click", (event) => {
  const link = event.target instanceof Element && event.target.closest("a[href^='#']");
  if (link) follow(link);
});
