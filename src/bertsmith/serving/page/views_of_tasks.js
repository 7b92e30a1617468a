// Views of fine-tuned models: each shows what one task answers for a record.

const entities = {
  id: "entities",
  title: "Entities",
  about: "The model gives each word a tag; what the tags spell is marked in the text.",
  verb: "Mark",
  can: (model) => predicts(model, "token_classification"),
  fields: () => [
    areaField("text", "Text", "Ada Lovelace met Charles Babbage in London in June 1833."),
  ],

  async answer({ values, ask }) {
    const answer = await predicted(ask, values.text);
    // Plain tags, such as parts of speech, spell no entities.
    return answer.entities === undefined
      ? taggedWords(answer)
      : markedEntities(values.text, answer);
  },
};

function markedEntities(text, answer) {
  const types = [...new Set(answer.entities.map((each) => each.type))].sort();
  const mark = (words, { type, probability }) =>
    element(
      "mark",
      { class: "entity", "data-colour": types.indexOf(type) % 6 },
      words,
      element("span", { class: "tag", dir: "ltr" }, ` ${type} ${percent(probability)}`),
    );
  const count = answer.entities.length;
  return {
    summary: count === 1 ? "1 entity found." : `${count || "No"} entities found.`,
    nodes: [passage(...withMarks(text, answer.entities, mark))],
  };
}

function taggedWords(answer) {
  const items = answer.tokens.map((word, place) =>
    element(
      "li",
      {},
      element("bdi", {}, word),
      element("span", { class: "tag" }, answer.tags[place]),
    ),
  );
  return {
    summary: `${counted(items.length, "word")} tagged.`,
    nodes: [element("ol", { class: "tagged" }, ...items)],
  };
}

const answers = {
  id: "answers",
  title: "Answers",
  about: "The model reads a question beside a passage, and answers with words of the passage.",
  verb: "Answer",
  can: (model) => predicts(model, "question_answering"),
  fields: () => [
    lineField("question", "Question", "Where did Charles Babbage live?"),
    areaField(
      "passage",
      "Passage",
      "Charles Babbage was born in London in 1791. He lived at 1 Dorset Street, Marylebone, where he " +
        "worked on the Analytical Engine until he died.",
      { rows: 6 },
    ),
  ],

  async answer({ values, ask }) {
    const record = { question: values.question, context: values.passage };
    const answer = await predicted(ask, record);
    const spans = answer.start === null ? [] : [answer];
    const mark = (words) => element("mark", {}, words);
    const candidates = answer.n_best.slice(0, 5).map((each) => ({
      name: each.answer || "no answer in the passage",
      share: each.probability,
    }));
    return {
      summary: spans.length
        ? ["Answer: ", isolated(answer.answer), ` (${percent(answer.probability)}).`]
        : "The passage has no answer, the model says.",
      nodes: [
        passage(...withMarks(values.passage, spans, mark)),
        heading("Likeliest answers"),
        barList(candidates),
      ],
    };
  },
};

const classes = {
  id: "classes",
  title: "Classes",
  about:
    "How likely each class is for a text, or for a pair of texts where the model was taught pairs.",
  verb: "Classify",
  can: (model) => predicts(model, "sequence_classification"),
  fields: (model) => textFields(model, "A gripping film with a fine cast.", "It was a joy to see."),

  async answer({ values, ask }) {
    const answer = await predicted(ask, textsOf(values));
    const chosen = answer.labels ?? [answer.label];
    const rows = Object.entries(answer.probabilities)
      .map(([name, share]) => ({ name, share, isChosen: chosen.includes(name) }))
      .sort((one, other) => other.share - one.share);
    const said = chosen.flatMap((name, place) => [
      place > 0 ? ", " : "",
      isolated(name),
      ` (${percent(answer.probabilities[name])})`,
    ]);
    return {
      summary: said.length ? [...said, "."] : "None of the classes is likely enough.",
      nodes: [barList(rows)],
    };
  },
};

const score = {
  id: "score",
  title: "Score",
  about: "The number that the model gives to a text, or to a pair of texts.",
  verb: "Score",
  can: (model) => predicts(model, "sequence_regression"),
  fields: (model) =>
    textFields(model, "A man is playing a guitar.", "Someone plays an instrument."),

  async answer({ values, ask }) {
    const answer = await predicted(ask, textsOf(values));
    const shown = answer.score.toFixed(3);
    return { summary: `Score ${shown}.`, nodes: [element("p", { class: "figure" }, shown)] };
  },
};

const choices = {
  id: "choices",
  title: "Choices",
  about: "Which of several endings fits best.",
  verb: "Choose",
  can: (model) => predicts(model, "multiple_choice"),
  fields: () => [
    areaField("context", "Beginning", "She opened the door, and"),
    areaField(
      "choices",
      "Endings, one a line",
      "walked into the room.\nthe river was frozen.\nate it.",
    ),
  ],

  async answer({ values, ask }) {
    const answer = await predicted(ask, [values.context, linesOf(values.choices)]);
    const rows = linesOf(values.choices).map((name, place) => ({
      name,
      share: answer.probabilities[place],
      isChosen: place === answer.choice,
    }));
    return {
      summary: [isolated(answer.text), ` (${percent(answer.probability)})`],
      nodes: [barList(rows)],
    };
  },
};

function predicts(model, task) {
  return model.endpoints.includes("/v1/predict") && model.tasks[0] === task;
}

async function predicted(ask, record) {
  return (await ask("v1/predict", { records: [record] })).answers[0];
}

/** A text, and a second one where the model reads pairs, or may. */
function textFields({ reads_pairs: readsPairs }, text, pair) {
  const first = areaField("text", "Text", text);
  if (readsPairs === false) {
    return [first];
  }
  return readsPairs
    ? [first, areaField("pair", "Second text", pair, { rows: 2 })]
    : [first, areaField("pair", "Second text, if you like", "", { rows: 2, optional: true })];
}

/** A text, or the pair where there is a second one. */
function textsOf(values) {
  return (values.pair ?? "").trim() === "" ? values.text : [values.text, values.pair];
}
