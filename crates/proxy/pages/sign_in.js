// Keeps the fragment of the address through a sign-in: browsers send it to no server.
"use strict";
const fragment = window.location.hash;
if (fragment.length > 1) {
  const links = document.querySelectorAll("a[data-sign-in]");
  for (const link of links) {
    const url = new URL(link.href);
    const target = url.searchParams.get("rd");
    if (target !== null && !target.includes("#")) {
      url.searchParams.set("rd", target + fragment);
      link.href = url.pathname + url.search;
    }
  }
}
