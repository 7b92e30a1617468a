// What several views draw: bars, a table of similarities, marked words.

/** Named shares of 1, each with a bar; `isChosen` ones are set off. */
function barList(rows) {
  const items = rows.map(({ name, share, isChosen }) =>
    element(
      "li",
      { class: isChosen ? "chosen" : null },
      element("span", { class: "name", dir: "auto", title: name }, name),
      element("span", { class: "share" }, percent(share)),
      element("span", { class: "bar", "--share": share, "aria-hidden": "true" }),
    ),
  );
  return element("ol", { class: "bars" }, ...items);
}

/** A table of cosines, the greater the deeper its colour. */
function heatMap(caption, labels, rows) {
  const numbers = labels.map((label) => element("th", { scope: "col" }, label.short));
  const lines = rows.map((row, place) =>
    element(
      "tr",
      {},
      element(
        "th",
        { scope: "row" },
        element(
          "div",
          { class: "named" },
          element("span", { class: "short" }, labels[place].short),
          element(
            "span",
            { class: "long", dir: "auto", title: labels[place].title },
            ...labels[place].long,
          ),
        ),
      ),
      ...row.map((cosine) =>
        element("td", { "--weight": Math.max(0, cosine).toFixed(3) }, cosine.toFixed(2)),
      ),
    ),
  );
  const table = element(
    "table",
    { class: "heat" },
    element("caption", {}, caption),
    element("thead", {}, element("tr", {}, element("td"), ...numbers)),
    element("tbody", {}, ...lines),
  );
  // A wide table is moved by itself, by the keyboard too, and not the page around it.
  return element(
    "div",
    { class: "scrolled", tabindex: "0", role: "region", "aria-label": caption },
    table,
  );
}

/** A text as it was written, with its marks. */
function passage(...nodes) {
  return element("p", { class: "passage", dir: "auto" }, ...nodes);
}

/** A heading of a part of the answer. */
function heading(text) {
  return element("h3", {}, text);
}
