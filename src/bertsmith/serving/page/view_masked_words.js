// What BERT was trained to do: words for each [MASK].

const maskedWords = {
  id: "masked-words",
  title: "Masked words",
  about: "BERT is trained to find words that are hidden from it. Write [MASK] where you hide one.",
  verb: "Fill in",
  can: (model) => model.endpoints.includes("/v1/fill-mask"),
  fields: () => [areaField("text", "Text", "Paris is the [MASK] of France.")],

  async answer({ values, ask }) {
    const body = { input: [values.text], top_k: 10 };
    const masks = (await ask("v1/fill-mask", body)).answers[0];
    const likeliest = masks.flatMap(([first], place) => [
      place > 0 ? ", " : "",
      isolated(first.word),
      ` ${percent(first.probability)}`,
    ]);
    return {
      summary: ["Likeliest: ", ...likeliest, "."],
      nodes: [
        passage(...filledIn(values.text, masks)),
        ...masks.flatMap((candidates, place) => [
          masks.length > 1 ? heading(`[MASK] ${place + 1}`) : "",
          barList(candidates.map((each) => ({ name: each.word, share: each.probability }))),
        ]),
      ],
    };
  },
};

/** The text with the likeliest word in the place of each [MASK]. */
function filledIn(text, masks) {
  const between = text.split("[MASK]");
  return between.flatMap((part, place) =>
    place < masks.length ? [part, element("mark", {}, masks[place][0].word)] : [part],
  );
}
