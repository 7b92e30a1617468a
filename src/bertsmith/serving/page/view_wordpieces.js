// How a text is cut, in both notations.

// More take browsers seconds to lay out, and nobody reads them.
const MOST_PIECES = 1000;

const wordpieces = {
  id: "wordpieces",
  title: "Wordpieces",
  about:
    "Models read pieces of words out of a fixed vocabulary. Two ways to write them are in use.",
  verb: "Cut",
  can: (model) => model.endpoints.includes("/v1/tokenize"),
  fields: () => [
    areaField("text", "Text", "Snowboarders in Reykjavik were unbelievably cheerful."),
  ],

  async answer({ values, model, ask }) {
    const inNotation = async (notation) =>
      (await ask("v1/tokenize", { input: [values.text], notation })).answers[0];
    const [bert, gnmt] = await Promise.all([inNotation("bert"), inNotation("gnmt")]);
    const count = bert.tokens.length;
    const cut = count > model.max_length ? ` Of these the model reads ${model.max_length}.` : "";
    const most = MOST_PIECES.toLocaleString("en");
    const shown = count > MOST_PIECES ? ` The first ${most} are shown.` : "";
    return {
      summary: `${counted(count, "wordpiece")}, [CLS] and [SEP] among them.${cut}${shown}`,
      nodes: [
        heading("BERT: ## continues a word"),
        pieceList(bert, bert.tokens),
        heading("Wu et al. 2016: _ starts a word"),
        pieceList(bert, gnmt.tokens),
      ],
    };
  },
};

/** Pieces with their ids below them; those of one word touch. */
function pieceList(encoding, written) {
  const items = written.slice(0, MOST_PIECES).map((piece, place) => {
    const [start, end] = encoding.offsets[place];
    const kind = start === end ? "special" : /^##./.test(encoding.tokens[place]) ? "joined" : null;
    return element(
      "li",
      { class: kind },
      element("bdi", { class: "piece" }, piece),
      element("span", { class: "id" }, String(encoding.ids[place])),
    );
  });
  return element("ol", { class: "pieces" }, ...items);
}
