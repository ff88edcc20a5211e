/* Runs before the first paint: the chosen theme, or the system's. Written plainly, it is not bundled. */
(function () {
  var chosen = null;
  try {
    chosen = localStorage.getItem("kanvas.theme");
  } catch (error) {
    /* Storage can be forbidden; the system's theme is right then. */
  }
  var dark = chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = dark ? "dark" : "light";
})();
