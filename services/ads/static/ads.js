// Fills every [data-nguonthu-ad] slot of a page in one request, loads an image when its slot comes near,
// and tells when it was shown and when half of it was seen for a second. No dependency, no inline style.
(function () {
  "use strict";
  var script = document.currentScript;
  if (!script || !window.fetch) return;
  var base = new URL(script.src, location.href).origin;
  var VIEW_MS = 1000, HALF = 0.5, NEAR = "300px";

  // A word for this visit only, for frequency caps; gone when the tab closes.
  function visit() {
    try {
      var word = sessionStorage.getItem("nt_visit");
      if (!word) {
        word = Array.from(crypto.getRandomValues(new Uint8Array(12)), function (n) {
          return n.toString(16).padStart(2, "0");
        }).join("");
        sessionStorage.setItem("nt_visit", word);
      }
      return word;
    } catch (error) {
      return "";
    }
  }

  function tell(address) {
    if (!(navigator.sendBeacon && navigator.sendBeacon(address))) {
      fetch(address, { method: "POST", keepalive: true, mode: "no-cors" }).catch(function () {});
    }
  }

  function near(slot, then) {
    if (!window.IntersectionObserver) return then();
    var watch = new IntersectionObserver(function (seen) {
      if (seen.some(function (one) { return one.isIntersecting; })) {
        watch.disconnect();
        then();
      }
    }, { rootMargin: NEAR });
    watch.observe(slot);
  }

  function watchView(image, address) {
    if (!window.IntersectionObserver) return;
    var timer = 0, half = false;
    function look() {
      clearTimeout(timer);
      if (half && document.visibilityState === "visible") timer = setTimeout(done, VIEW_MS);
    }
    function done() {
      watch.disconnect();
      document.removeEventListener("visibilitychange", look);
      tell(address);
    }
    var watch = new IntersectionObserver(function (seen) {
      half = seen[seen.length - 1].intersectionRatio >= HALF;
      look();
    }, { threshold: [0, HALF] });
    watch.observe(image);
    document.addEventListener("visibilitychange", look);
  }

  function show(slot, ad) {
    var link = document.createElement("a");
    link.className = "nt-ad";
    link.href = ad.click_url;
    link.target = "_blank";
    link.rel = "sponsored noopener";
    link.setAttribute("aria-label", ad.label);
    var image = document.createElement("img");
    image.width = ad.width;
    image.height = ad.height;
    image.alt = ad.alt;
    image.decoding = "async";
    image.addEventListener("load", function () {
      tell(ad.impression_url);
      watchView(image, ad.viewable_url);
    }, { once: true });
    image.src = ad.creative_url;
    link.appendChild(image);
    // A page that labels its slots itself is not labelled twice.
    if (!slot.parentNode.querySelector(".ad-label")) {
      var label = document.createElement("small");
      label.className = "ad-label";
      label.textContent = ad.label;
      slot.appendChild(label);
    }
    slot.appendChild(link);
    slot.setAttribute("data-filled", "");
  }

  function fill() {
    var slots = Array.from(document.querySelectorAll("[data-nguonthu-ad]:not([data-asked])"));
    if (!slots.length) return;
    var query = new URLSearchParams({
      agency: script.dataset.agency || "",
      section: script.dataset.section || "",
      lang: document.documentElement.lang || "vi",
      v: visit(),
      p: slots.map(function (slot) { return slot.dataset.placement; }).join(",")
    });
    slots.forEach(function (slot) { slot.setAttribute("data-asked", ""); });
    fetch(base + "/b/decide?" + query, { credentials: "omit" })
      .then(function (answer) { return answer.ok ? answer.json() : { ads: [] }; })
      .then(function (answer) {
        var ads = answer.ads.slice();
        slots.forEach(function (slot) {
          var at = ads.findIndex(function (ad) { return ad.placement === slot.dataset.placement; });
          if (at < 0) return slot.setAttribute("data-empty", "");
          var ad = ads.splice(at, 1)[0];
          near(slot, function () { show(slot, ad); });
        });
      })
      .catch(function () {
        slots.forEach(function (slot) { slot.setAttribute("data-empty", ""); });
      });
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", fill);
  else fill();
})();
