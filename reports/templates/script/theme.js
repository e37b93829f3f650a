// Light, dark, or as the system is. Remembered where the browser allows it; a page opened from a file may be refused.

const THEME = "harness-report-theme";

function rememberedTheme() {
  try {
    return localStorage.getItem(THEME) ?? "auto";
  } catch {
    return "auto";
  }
}

function setTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem(THEME, theme);
  } catch {
    // then the choice lasts as long as the page
  }
}

function listenToTheme() {
  const select = byId("theme");
  select.value = ["light", "dark"].includes(rememberedTheme()) ? rememberedTheme() : "auto";
  setTheme(select.value);
  select.addEventListener("change", () => setTheme(select.value));
}
