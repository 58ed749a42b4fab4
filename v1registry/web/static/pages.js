// Improvements of the pages, which also work without scripts. It shows only content of this server.
"use strict";

(() => {
  const PAUSE_MS = 200;
  const SHOWN_MS = 2000;
  const announcement = document.getElementById("announcement");

  /** Have a screen reader say a text, even if it is the same text as before. */
  function announce(text) {
    announcement.textContent = "";
    setTimeout(() => { announcement.textContent = text; }, 50);
  }

  // -- buttons that copy commands and ids

  async function copy(button) {
    const text = button.dataset.copy;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // there is no clipboard over plain http: select the text, so that the user can copy it
      const code = button.closest(".command, .facts > div").querySelector("code");
      getSelection().selectAllChildren(code);
      if (!document.execCommand("copy")) {
        // the selection is visible, and read aloud, at the focus; the Tab key does not stop there
        code.tabIndex = -1;
        code.focus();
        getSelection().selectAllChildren(code);
        announce("The text is selected. Copy it with the keyboard");
        return;
      }
    }
    button.textContent = "Copied";
    announce("The text has been copied");
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
