// For the pages of applications: shows a notice when the user of the page is signed out, and when they are signed in again.
//
// Put it first in the head of a page, so that it sees the page's WebSockets: <script src="/oauth2/signed_out.js"></script>
"use strict";
(() => {
  const WHILE_SIGNED_IN = 60_000;
  const WHILE_SIGNED_OUT = 3_000;
  const script = document.currentScript;
  // A module, or a second copy on the same page.
  if (script === null || window.top !== window || window.doorwardSignedOut) return;
  window.doorwardSignedOut = true;
  const endpoints = script.src.replace(/\/[^/]*$/, "");
  let user = null;
  let out = false;
  let asking = false;
  let timer = 0;
  let notice = null;

  const ask = (name) => fetch(`${endpoints}/${name}`, { cache: "no-store", headers: { accept: "application/json" } });

  // Issuer and subject of the user; null if the answer says none.
  async function person() {
    const answer = await ask("userinfo");
    if (!answer.ok) return null;
    const { iss, sub } = await answer.json();
    return JSON.stringify([iss, sub]);
  }

  async function look() {
    if (asking || document.visibilityState === "hidden") return;
    asking = true;
    clearTimeout(timer);
    try {
      // Asking when the session ends does not keep it alive.
      const { status } = await ask("session");
      if (status === 200 && user === null) {
        user = await person();
      } else if (status === 200 && out) {
        const now = await person();
        if (now !== null) signedIn(now === user);
      } else if (status === 401 && user !== null && !out) {
        signedOut();
      }
    } catch {
      // The gateway does not answer; nothing is known.
    } finally {
      asking = false;
      timer = setTimeout(look, out ? WHILE_SIGNED_OUT : WHILE_SIGNED_IN);
    }
  }

  function signedOut() {
    out = true;
    const here = location.pathname + location.search + location.hash;
    const again = styled("a", "Sign in again in a new tab");
    again.href = `${endpoints}/start?rd=${encodeURIComponent(here)}`;
    again.target = "_blank";
    again.rel = "noopener";
    show("You are signed out. ", again, ", then go on in this one.");
  }

  function signedIn(same) {
    out = false;
    const reload = button("reload it", () => location.reload());
    if (same) {
      const close = button("Close", () => notice.remove());
      show("You are signed in again. If this page does not react, ", reload, ". ", close);
    } else {
      user = null;
      show("Another user is signed in now. This page is not theirs: ", reload, ".");
    }
  }

  function button(text, act) {
    const made = styled("button", text);
    made.type = "button";
    made.addEventListener("click", act);
    return made;
  }

  // By the object model, which a policy for styles allows.
  function styled(element, text) {
    const made = document.createElement(element);
    made.textContent = text;
    Object.assign(made.style, { font: "inherit", color: "inherit", background: "none", border: "0", padding: "0",
      textDecoration: "underline", cursor: "pointer" });
    return made;
  }

  function show(...parts) {
    notice?.remove();
    notice = document.createElement("div");
    notice.id = "doorward-signed-out";
    notice.setAttribute("role", "alert");
    // In the corner that applications rarely use.
    Object.assign(notice.style, { position: "fixed", bottom: "1em", left: "1em", maxWidth: "22em", zIndex: "2147483647",
      padding: "1em", borderRadius: ".4em", font: "16px/1.4 system-ui, sans-serif", color: "#fff", background: "#7a1f1f" });
    notice.append(...parts);
    document.body.append(notice);
  }

  // The gateway closes the WebSockets of a session when it ends.
  const Socket = window.WebSocket;
  window.WebSocket = class WebSocket extends Socket {
    constructor(...given) {
      super(...given);
      this.addEventListener("close", ({ code }) => {
        if (code === 1008 || code === 1006) look();
      });
    }
  };

  // It refuses their requests.
  const refused = ({ name, responseStatus }) =>
    (responseStatus === 401 || responseStatus === 424) && !name.startsWith(`${endpoints}/`);
  try {
    new PerformanceObserver((seen) => {
      if (!out && seen.getEntries().some(refused)) look();
    }).observe({ type: "resource" });
  } catch {
    // A browser without it looks once a minute.
  }

  document.addEventListener("visibilitychange", look);
  if (document.body === null) document.addEventListener("DOMContentLoaded", look);
  else look();
})();
