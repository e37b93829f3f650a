// Draws the page from the state, at first and after every choice.

const wide = matchMedia("(min-width: 62rem)");

function render() {
  const view = viewOf();
  const picture = byId("default-picture");
  const asDrawn = data.picture && picture && wide.matches && isDefaultView();
  byId("view").textContent = viewTitle(view);
  byId("view").hidden = asDrawn; // the picture has its own title
  drawControls();
  byId("default").hidden = !asDrawn;
  byId("stage").hidden = asDrawn;
  picture?.querySelectorAll(".grid").forEach((old) => old.remove());
  if (asDrawn) coverPicture(view);
  else if (data.sampled.length) drawScatter(view);
  else drawHeatmaps(view);
  drawCards();
  drawTrials();
}

function start() {
  document.documentElement.classList.add("live");
  readAddress();
  listenToTheme();
  listenToControls();
  listenToCells();
  listenToTrials();
  byId("trials-find").value = state.find;
  render();
  wide.addEventListener("change", render);
  window.addEventListener("popstate", () => {
    readAddress();
    byId("trials-find").value = state.find;
    byId("trials-status").value = state.status;
    byId("trials-of").value = state.of;
    render();
  });
}

start();
