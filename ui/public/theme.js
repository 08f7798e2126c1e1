// Sets the colour scheme before the first paint, so that a dark page never flashes white. A file of its own,
// because a strict content security policy allows no inline script. Reads what src/theme.ts and
// src/lib/viewState.ts write.
(() => {
  let scheme = new URLSearchParams(location.search).get("theme");
  if (!/^(light|dark|auto)$/.test(scheme || "")) {
    try {
      scheme = localStorage.getItem("skopos-color-scheme");
    } catch {
      scheme = null;
    }
  }
  const dark =
    scheme === "dark" || (scheme !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.setAttribute("data-mantine-color-scheme", dark ? "dark" : "light");
})();
