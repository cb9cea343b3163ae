// Starts the page, and says so when it cannot or when it dies.
const show = (what) => {
  document.getElementById("splash")?.remove();
  document.getElementById("crash-detail").textContent = what;
  document.getElementById("crash").hidden = false;
};

// A panic ends in a WebAssembly trap; anything else may come from a browser extension.
addEventListener("error", (event) => {
  if (event.error instanceof WebAssembly.RuntimeError) show(String(event.error));
});
addEventListener("unhandledrejection", (event) => {
  if (event.reason instanceof WebAssembly.RuntimeError) show(String(event.reason));
});

try {
  const app = await import(document.getElementById("app-js").href);
  await app.default({ module_or_path: document.getElementById("app-wasm").href });
} catch (error) {
  show(`The program could not be started: ${error}`);
}
