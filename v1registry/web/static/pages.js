// What is nicer with a script; everything works without it. It shows only what this server made, and asks nobody else.
"use strict";

(() => {
  const PAUSE_MS = 200;
  const SHOWN_MS = 2000;
  const announcement = document.getElementById("announcement");

  /** Have a screen reader say a text. The same one twice is said twice. */
  function announce(text) {
    announcement.textContent = "";
    setTimeout(() => { announcement.textContent = text; }, 50);
  }

  // -- commands are copied by a click

  async function copy(button) {
    const text = button.dataset.copy;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // no clipboard over plain http, or not allowed: select it, so that a key does it
      const code = button.parentElement.querySelector("code");
      getSelection().selectAllChildren(code);
      if (!document.execCommand("copy")) {
        // where the focus is, the selection is seen and read; only a script leads there
        code.tabIndex = -1;
        code.focus();
        getSelection().selectAllChildren(code);
        announce("The command is selected: copy it with the keyboard");
        return;
      }
    }
    button.textContent = "Copied";
    announce("The command is copied");
    setTimeout(() => { button.textContent = "Copy"; }, SHOWN_MS);
  }

  for (const button of document.querySelectorAll("[data-copy]")) {
    button.hidden = false;
    button.addEventListener("click", () => copy(button));
  }

  // -- search as you type

  const form = document.querySelector("[data-search]");
  const results = document.getElementById("results");
  if (!form || !results) return;

  let timer = 0;
  let running = null;
  let shown = form.elements.q.value.trim();

  function address(query, part) {
    const url = new URL(form.action);
    if (query) url.searchParams.set("q", query);
    if (part) url.searchParams.set("part", part);
    return url;
  }

  async function search() {
    const query = form.elements.q.value.trim();
    running?.abort();
    running = null;
    form.removeAttribute("aria-busy");
    if (query === shown) return;
    const request = running = new AbortController();
    form.setAttribute("aria-busy", "true");
    try {
      const answer = await fetch(address(query, "results"), {
        headers: {Accept: "text/html"},
        credentials: "same-origin",
        signal: request.signal,
      });
      if (!answer.ok) throw new Error(String(answer.status));
      const text = await answer.text();
      if (request !== running) return;
      const parsed = new DOMParser().parseFromString(text, "text/html");
      results.replaceChildren(...parsed.body.childNodes);
      shown = query;
      history.replaceState(null, "", address(query));
      announce(results.querySelector("[data-announce]").dataset.announce);
    } catch (error) {
      if (error.name !== "AbortError") announce("The search failed. Press Enter to try again");
    } finally {
      if (request === running) form.removeAttribute("aria-busy");
    }
  }

  form.elements.q.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(search, PAUSE_MS);
  });
})();
