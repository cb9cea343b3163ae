// Sets the kept theme before the first paint. Classic and blocking on purpose; must stay tiny.
try {
  const kept = localStorage.getItem("coxswain-theme");
  if (kept === "light" || kept === "dark") document.documentElement.dataset.theme = kept;
} catch {
  // Storage is off: the system's preference holds.
}
