// Code and tables that scroll sideways can be scrolled with the keyboard.
function markScrollers() {
  for (const box of document.querySelectorAll("pre, .table-wrapper")) {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  }
}

// A choice between the versions that versions.json lists, if it lists several.
async function addVersions() {
  const root = new URL(document.documentElement.dataset.content_root, location.href);
  const file = new URL(document.querySelector("meta[name=versions]").content, root);
  if (!file.protocol.startsWith("http")) return;
  const answer = await fetch(file);
  const versions = answer.ok ? await answer.json() : [];
  if (versions.length < 2) return;
  const select = document.createElement("select");
  select.className = "version-switch";
  select.ariaLabel = "Version";
  for (const each of versions) {
    const target = new URL(each.url, file).href;
    const isHere = target === root.href;
    select.add(new Option(each.version, target, isHere, isHere));
  }
  select.addEventListener("change", () => location.assign(select.value));
  document.querySelector(".sidebar-brand").after(select);
}

addEventListener("DOMContentLoaded", markScrollers);
addEventListener("load", markScrollers);
addEventListener("resize", markScrollers);
addEventListener("DOMContentLoaded", addVersions);
