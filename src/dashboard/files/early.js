// Before anything is drawn: the theme that was chosen here, so that no page flashes in the other one. No module, as modules come later.
try {
  const theme = localStorage.getItem("altlas.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // The browser keeps nothing for this page.
}
