// Small comforts; every page works without them.
document.documentElement.classList.add("js");

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy],[data-print],[data-theme-choice]");
  if (!button) return;
  if (button.dataset.copy !== undefined) {
    navigator.clipboard.writeText(button.dataset.copy).then(() => {
      const before = button.textContent;
      button.textContent = button.dataset.done;
      setTimeout(() => { button.textContent = before; }, 1500);
    });
  } else if (button.dataset.print !== undefined) {
    window.print();
  } else {
    // The link alone would reload the page with ?theme=…; a form that is half filled in should not be lost.
    event.preventDefault();
    const choice = button.dataset.themeChoice;
    document.documentElement.dataset.theme = choice;
    document.cookie = "theme=" + choice + ";path=/;max-age=31536000;samesite=lax";
    for (const link of document.querySelectorAll("[data-theme-choice]")) {
      if (link === button) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  }
});

// Money in a field of [data-most] is checked before anything is asked: what is out of bounds is said at the field.
const digits = (field) => field.value.replace(/\D/g, "");
const bound = (field) => {
  const vnd = Number(digits(field));
  field.setCustomValidity(vnd < 1 || vnd > Number(field.dataset.most) ? field.dataset.tooMuch : "");
};
document.querySelectorAll("[data-most]").forEach(bound);
document.addEventListener("input", (event) => {
  if (event.target.dataset.most) bound(event.target);
});

document.addEventListener("submit", (event) => {
  const button = event.submitter;
  const question = button && button.dataset.confirm;
  // {amount_vnd} in a question is the money in the field of that name, as it is written.
  const money = (_, name) => digits(event.target.elements[name]).replace(/\B(?=(\d{3})+$)/g, ".") + "\u00a0₫";
  if (question && !window.confirm(question.replace(/\{(\w+)\}/g, money))) {
    event.preventDefault();
    return;
  }
  // A second tap on a slow line must not send the form twice.
  const form = event.target;
  if (form.dataset.sent) event.preventDefault();
  else if (form.method === "post" && !event.defaultPrevented) form.dataset.sent = "1";
});

window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});

// Live figures: <tag data-live="/address/of/events">, each message carries {"id of an element": "its text"}.
// A browser comes back by itself when a stream ends, but not when it was refused because too many are open.
const listen = (part) => {
  const events = new EventSource(part.dataset.live);
  events.onerror = () => {
    if (events.readyState === EventSource.CLOSED) setTimeout(listen, 30000, part);
  };
  events.onmessage = (message) => {
    for (const [id, text] of Object.entries(JSON.parse(message.data))) {
      const target = document.getElementById(id);
      if (!target) continue;
      if (target.tagName === "PROGRESS") target.value = Number(text);
      else target.textContent = text;
    }
  };
};
document.querySelectorAll("[data-live]").forEach(listen);

// Parts that other services answer: <tag data-part="/its/address">, in it the way to its own page, and hidden in
// [data-away] what is said when it does not answer. One that is away hides no other.
const ask = async (address) => {
  const answer = await fetch(address, { headers: { "x-part": "1" }, signal: AbortSignal.timeout(12000) });
  // Whatever else came is no part, such as the page to sign in.
  if (!answer.ok || answer.headers.get("x-part") !== "1") throw new Error(answer.status);
  return answer.text();
};
const asked = {};
const join = async (place) => {
  const address = place.dataset.part;
  try {
    // A part that stands in several places, such as a person's name, is asked for once.
    asked[address] ??= ask(address);
    const part = new DOMParser().parseFromString(await asked[address], "text/html");
    place.replaceChildren(...part.body.childNodes);
  } catch {
    for (const note of place.querySelectorAll("[data-away]")) note.hidden = false;
  }
  place.removeAttribute("aria-busy");
};
document.querySelectorAll("[data-part]").forEach(join);
