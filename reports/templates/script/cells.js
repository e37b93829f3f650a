// Moving over cells, by pointer or by keyboard: arrows go from cell to cell and on to the next panel.

let current = null; // the cell whose card is shown, as { backend, cell }

function cellUnder(event) {
  return event.target.closest?.("#explore [role=gridcell]");
}

function pointAt(made) {
  current = { backend: Number(made.dataset.backend), cell: Number(made.dataset.cell) };
  drawCards();
}

function step(made, event) {
  const { row, column: across } = { row: Number(made.dataset.row), column: Number(made.dataset.column) };
  const grid = made.closest("[role=grid]");
  const at = (r, c, inside = grid) => inside.querySelector(`[data-row="${r}"][data-column="${c}"]`);
  const line = () => [...grid.querySelectorAll(`[data-row="${row}"]`)];
  switch (event.key) {
    case "ArrowRight":
      return at(row, across + 1) ?? beside(grid, 1)?.querySelector(`[data-row="${row}"]`);
    case "ArrowLeft":
      return at(row, across - 1) ?? [...(beside(grid, -1)?.querySelectorAll(`[data-row="${row}"]`) ?? [])].at(-1);
    case "ArrowDown":
      return at(row + 1, across);
    case "ArrowUp":
      return at(row - 1, across);
    case "Home":
      return event.ctrlKey ? grid.querySelector("[role=gridcell]") : line()[0];
    case "End":
      return event.ctrlKey ? [...grid.querySelectorAll("[role=gridcell]")].at(-1) : line().at(-1);
    default:
      return null;
  }
}

function beside(grid, by) {
  const grids = visibleGrids();
  return grids[grids.indexOf(grid) + by];
}

function visibleGrids() {
  return [...document.querySelectorAll("#explore [role=grid]")].filter((grid) => grid.offsetParent !== null);
}

// One cell of each grid can be reached with the tab key: the one that was visited last.
function focusCell(made) {
  made.closest("[role=grid]").querySelectorAll('[tabindex="0"]').forEach((other) => (other.tabIndex = -1));
  made.tabIndex = 0;
  made.focus();
}

function onKey(event) {
  if (event.key === "Escape" && (current || state.pins)) return closeCard();
  const made = cellUnder(event);
  if (!made || event.altKey || event.metaKey) return undefined;
  if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    return pinCell(made);
  }
  const next = step(made, event);
  if (next) {
    event.preventDefault();
    focusCell(next);
  }
  return undefined;
}

// Pinning draws the heatmaps anew: the cell that has the focus keeps it.
function pinCell(made) {
  const panel = visibleGrids().indexOf(made.closest("[role=grid]"));
  const { row, column: across } = made.dataset;
  togglePin(Number(made.dataset.backend), Number(made.dataset.cell));
  const again = visibleGrids()[panel]?.querySelector(`[data-row="${row}"][data-column="${across}"]`);
  if (again) focusCell(again);
}

// Escape closes what was opened last: the card of the cell under the pointer or focus, then the pins.
function closeCard() {
  const pins = pinsOf();
  const shown = current && !pins.some((pin) => same(pin, current));
  current = null;
  if (shown) drawCards();
  else choose({ pins: state.pins.split(" ").slice(0, -1).join(" ") });
}

function same(a, b) {
  return a.backend === b.backend && a.cell === b.cell;
}

function listenToCells() {
  const explore = byId("explore");
  explore.addEventListener("pointerover", (event) => {
    const made = event.pointerType === "touch" ? null : cellUnder(event);
    if (made) pointAt(made);
  });
  explore.addEventListener("focusin", (event) => {
    const made = cellUnder(event);
    if (made) pointAt(made);
  });
  explore.addEventListener("click", (event) => {
    const made = cellUnder(event);
    if (made) pinCell(made);
  });
  document.addEventListener("keydown", onKey);
}
