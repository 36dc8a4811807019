// The theme: the system's, until the reader chooses. It runs before the page is drawn, hence no module.
(() => {
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const kept = () => {
    try {
      return localStorage.getItem("theme");
    } catch {
      return null; // storage is refused
    }
  };
  let chosen = kept();

  function show() {
    const theme = chosen ?? (dark.matches ? "dark" : "light");
    root.dataset.theme = theme;
    root.classList.toggle("dark-mode", theme === "dark"); // Swagger UI's name
    document.querySelector("#theme")?.setAttribute("aria-pressed", String(theme === "dark"));
  }

  show();
  dark.addEventListener("change", show);
  addEventListener("DOMContentLoaded", () => {
    show();
    document.querySelector("#theme").addEventListener("click", () => {
      chosen = root.dataset.theme === "dark" ? "light" : "dark";
      try {
        localStorage.setItem("theme", chosen);
      } catch {
        // it holds for this page alone
      }
      show();
    });
  });
})();
