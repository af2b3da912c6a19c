// Comfort for pages that work without it: buttons that copy a record, and a check without a wait.
// Its words stand in data attributes of the body, since they are translated; none becomes HTML.

(() => {
  "use strict";

  /** @type {DOMStringMap} copied, selected, busy: what is said then */
  const words = document.body.dataset;

  /**
   * A place beside *element* from which screen readers read what is said in it.
   * @param {Element} element
   * @param {string} name its class
   * @returns {HTMLElement}
   */
  const statusAfter = (element, name) => {
    const status = document.createElement("span");
    status.className = name;
    status.setAttribute("role", "status");
    element.after(status);
    return status;
  };

  /**
   * Select *element* whole, as a reader would who copies it by hand.
   * @param {Element} element
   */
  const select = (element) => {
    const selection = window.getSelection();
    selection?.removeAllRanges();
    const range = document.createRange();
    range.selectNodeContents(element);
    selection?.addRange(range);
  };

  /**
   * Copy what *element* says; where there is no clipboard (a page by HTTP), as it was once done.
   * @param {Element} element
   * @returns {Promise<boolean>} whether it is copied; if not, it is selected
   */
  const copy = async (element) => {
    try {
      await navigator.clipboard.writeText(element.textContent ?? "");
      return true;
    } catch {
      select(element);
      return document.execCommand("copy");
    }
  };

  /** @param {HTMLButtonElement} button */
  const prepareCopying = (button) => {
    const record = document.getElementById(button.dataset.copy ?? "");
    if (!record) {
      return;
    }
    const status = statusAfter(button, "copy-status");
    button.hidden = false;
    button.addEventListener("click", async () => {
      status.textContent = "";
      const copied = await copy(record);
      status.textContent = (copied ? words.copied : words.selected) ?? "";
    });
  };

  /**
   * Check now, and show the page anew.
   * @param {HTMLFormElement} form
   * @param {HTMLElement} status
   */
  const check = async (form, status) => {
    const response = await fetch(form.action, {
      method: "POST",
      headers: { Accept: "application/json" },
      body: new URLSearchParams(/** @type {any} */ (new FormData(form))),
    });
    const answer = response.redirected ? {} : await response.json();
    if (response.ok) {
      const page = new URL(response.redirected ? response.url : window.location.href);
      page.searchParams.set("checked", "1");
      page.hash = "";
      window.location.replace(page.href);
    } else if (typeof (answer.sentence ?? answer.problem) === "string") {
      status.textContent = answer.sentence ?? answer.problem;
    } else {
      throw new Error("no answer that can be shown");
    }
    return response.ok;
  };

  /** @param {HTMLFormElement} form */
  const prepareChecking = (form) => {
    const status = statusAfter(form, "check-status");
    /** @param {boolean} isBusy */
    const setBusy = (isBusy) => {
      form.setAttribute("aria-busy", String(isBusy));
      for (const button of form.querySelectorAll("button")) {
        button.disabled = isBusy;
      }
    };
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      status.textContent = words.busy ?? "";
      setBusy(true);
      try {
        if (!(await check(form, status))) {
          setBusy(false);
        }
      } catch {
        form.submit();
      }
    });
    // A page that a browser shows again as it was left is not busy any more.
    window.addEventListener("pageshow", () => setBusy(false));
  };

  document.querySelectorAll("button[data-copy]").forEach(prepareCopying);
  document.querySelectorAll("form[data-live]").forEach(prepareChecking);
})();
