// What each piece takes from each, by one head of one layer.

// Lines of less than this share are too faint to be seen, and there are very many of them.
const FAINTEST = 0.02;

const attention = {
  id: "attention",
  title: "Attention",
  about:
    "In each layer every piece takes from all pieces what each head looks for. The stronger a line, the " +
    "more the piece on its left takes from the one on its right.",
  verb: "Show",
  can: (model) => model.endpoints.includes("/v1/attention"),
  fields: (model) => [
    areaField("text", "Text", "The cat sat on the mat because it was tired.", { rows: 2 }),
    areaField("pair", "Second text, if you like", "", { rows: 2, optional: true }),
    numberField("layer", "Layer", model.layers, Math.floor(model.layers / 2)),
    numberField("head", "Head", model.heads, 0),
  ],

  async answer({ values, model, ask, step }) {
    const layer = Number(values.layer);
    const head = Number(values.head);
    const text = values.text;
    const pair = values.pair.trim() === "" ? null : values.pair;
    const [{ tokens, weights }, whole] = await Promise.all([
      ask("v1/attention", { text, pair, layer, head }),
      ask("v1/tokenize", { input: [pair === null ? text : [text, pair]] }),
    ]);
    const count = whole.answers[0].tokens.length;
    const isCut = count > tokens.length;
    const cut = isCut ? ` Of ${counted(count, "wordpiece")} the model reads ${tokens.length}.` : "";
    return {
      summary:
        `Layer ${layer} of 0 to ${model.layers - 1}, ` +
        `head ${head} of 0 to ${model.heads - 1}.${cut}`,
      nodes: [
        attentionFigure(tokens, weights, step),
        element(
          "p",
          { class: "note" },
          "Point at a piece, or move to it by Tab and ↑ ↓, to see its lines alone; Esc shows all. ",
          "There ← → go to another head, and with Shift to another layer. ",
          `Lines below ${100 * FAINTEST} % are not drawn.`,
        ),
      ],
    };
  },
};

/** Two columns of pieces and the lines between them. */
function attentionFigure(tokens, weights, step) {
  const drawing = linesBetween(weights);
  const columns = {
    from: pieceColumn(tokens, "from", (place) => takenBy(place, tokens, weights)),
    to: pieceColumn(tokens, "to", (place) => givenBy(place, tokens, weights)),
  };
  const figure = element(
    "div",
    { class: "attention", role: "group", "aria-label": "Attention between pieces" },
    element("div", { class: "side" }, "takes"),
    element("div"),
    element("div", { class: "side" }, "from"),
    columns.from,
    drawing,
    columns.to,
  );
  let kept = null; // the piece that has the focus
  const show = (piece) => setOff(piece, { drawing, columns, weights });
  const shownBy = (listen) => (event) => {
    const button = event.target.closest("button");
    if (button !== null) {
      listen({ side: button.dataset.side, place: Number(button.dataset.place) }, button);
    }
  };
  figure.addEventListener(
    "pointerover",
    shownBy((piece) => show(piece)),
  );
  figure.addEventListener("pointerout", () => show(kept));
  // A tap does not focus a button in every browser.
  figure.addEventListener(
    "click",
    shownBy((piece, button) => button.focus()),
  );
  figure.addEventListener(
    "focusin",
    shownBy((piece, button) => {
      kept = piece;
      makeOnlyStop(columns[piece.side], button);
      show(kept);
    }),
  );
  figure.addEventListener("focusout", () => {
    kept = null;
    show(null);
  });
  figure.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      kept = null;
      show(null);
    } else if (moveByKey(event, step)) {
      event.preventDefault();
    }
  });
  return figure;
}

/** One column; only one of its pieces is a stop of the Tab key, arrows go to the others. */
function pieceColumn(tokens, side, told) {
  const items = tokens.map((token, place) =>
    element(
      "li",
      {},
      element(
        "button",
        {
          type: "button",
          tabindex: place === 0 ? "0" : "-1",
          "data-key": `${side}-${place}`,
          "data-side": side,
          "data-place": place,
          "aria-label": told(place),
        },
        element("bdi", { class: "piece", title: token }, token),
        element("span", { class: "share" }),
      ),
    ),
  );
  return element("ol", { class: `column ${side}` }, ...items);
}

/** Lines in a drawing as high as the columns, whose rows all have the same height. */
function linesBetween(weights) {
  const count = weights.length;
  const middle = (place) => `${(100 * (place + 0.5)) / count}%`;
  const lines = weights.flatMap((row, from) =>
    row.map((weight, to) =>
      weight < FAINTEST
        ? null
        : shape("line", {
            x1: "0%",
            y1: middle(from),
            x2: "100%",
            y2: middle(to),
            "--weight": weight,
            "data-from": from,
            "data-to": to,
          }),
    ),
  );
  return shape("svg", { class: "lines", "aria-hidden": "true" }, ...lines);
}

/** Show the lines of one piece alone, and their shares beside the other column; null shows all. */
function setOff(piece, { drawing, columns, weights }) {
  drawing.classList.toggle("of-one", piece !== null);
  for (const line of drawing.children) {
    const isOther = piece !== null && Number(line.dataset[piece.side]) !== piece.place;
    line.classList.toggle("hidden", isOther);
  }
  for (const [side, column] of Object.entries(columns)) {
    column.querySelectorAll("button").forEach((button, place) => {
      const weight = piece === null || side === piece.side ? 0 : weightOf(piece, place, weights);
      button.querySelector(".share").textContent = weight < FAINTEST ? "" : percent(weight);
      button.classList.toggle("set-off", piece?.side === side && piece.place === place);
    });
  }
}

function weightOf(piece, other, weights) {
  return piece.side === "from" ? weights[piece.place][other] : weights[other][piece.place];
}

/** ↑ ↓ go to the neighbour in the column, ← → to another head, and with Shift to another layer. */
function moveByKey(event, step) {
  if (event.altKey || event.ctrlKey || event.metaKey) {
    return false; // the browser's own, such as Alt with ← for the page before
  }
  const row = event.target.closest("li");
  const field = event.shiftKey ? "layer" : "head";
  const moves = {
    ArrowUp: () => row?.previousElementSibling?.firstElementChild.focus(),
    ArrowDown: () => row?.nextElementSibling?.firstElementChild.focus(),
    ArrowLeft: () => step(field, -1),
    ArrowRight: () => step(field, 1),
  };
  moves[event.key]?.();
  return event.key in moves;
}

function makeOnlyStop(column, button) {
  column.querySelectorAll("button").forEach((each) => each.setAttribute("tabindex", "-1"));
  button.setAttribute("tabindex", "0");
}

/** For those who hear the figure: what a piece takes most from, and who takes most from it. */
function takenBy(place, tokens, weights) {
  const most = strongest(weights[place], tokens);
  return `${tokens[place]} takes ${most.map(([share, token]) => `${share} from ${token}`).join(", ")}`;
}

function givenBy(place, tokens, weights) {
  const most = strongest(
    weights.map((row) => row[place]),
    tokens,
  );
  return `${tokens[place]} gives ${most.map(([share, token]) => `${share} to ${token}`).join(", ")}`;
}

function strongest(row, tokens) {
  return row
    .map((weight, place) => ({ weight, token: tokens[place] }))
    .sort((one, other) => other.weight - one.weight)
    .slice(0, 3)
    .map(({ weight, token }) => [percent(weight), token]);
}
