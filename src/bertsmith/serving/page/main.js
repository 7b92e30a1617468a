// The page: its views, the form of one, the question that is asked, its answer, and the history.

/**
 * The views in their order. Each has an `id` for addresses, a `title`, a sentence `about` it, and
 * the `verb` of its button; it knows which models `can` answer it and, for one of these, the
 * `fields` of its form. Its `answer` to what stands in them is a sentence or its parts, `summary`,
 * and the `nodes` that show the rest; it asks the model by `ask(address, body)`.
 */
const VIEWS = [
  maskedWords,
  entities,
  answers,
  classes,
  score,
  choices,
  wordInContext,
  attention,
  similarity,
  wordpieces,
];
// A server gives up after 30 seconds if it is not told otherwise; one that hangs never does.
const LONGEST_WAIT_MS = 120_000;

const page = {
  models: [],
  view: null,
  model: null,
  /** The name of the model that somebody chose; views that it cannot answer have another. */
  chosen: null,
  /** The fragment that leads to what is shown. */
  address: "",
  /** What was typed last in each view, by its id. */
  typed: new Map(),
  /** What was typed over a question and not asked, by the question's address. */
  drafts: new Map(),
  /** The one question that is being asked: its address, and an AbortController to give it up. */
  question: null,
};

async function start() {
  const question = beginQuestion("v1/models");
  try {
    page.models = (await request("v1/models", null, question.signal)).data;
  } catch (refusal) {
    if (page.question === question) {
      giveUp();
      clearAnswer();
      showRefusal(refusal);
    }
    return;
  }
  part("key").hidden = true;
  window.addEventListener("hashchange", showAddressed); // once, however often it is said
  showAddressed();
}

/** Show what the fragment of the address says, and its answer where it has the whole question. */
function showAddressed() {
  const said = saidBy(location.hash);
  const views = VIEWS.filter((view) => page.models.some(view.can));
  const view = views.find(({ id }) => id === said.view) ?? views[0];
  const able = page.models.filter(view.can);
  const model = able.find(({ id }) => id === said.model) ?? modelFor(view);
  const fields = view.fields(model);
  const isNew = view !== page.view;
  if (page.view === null) {
    page.chosen = said.model; // who has a link has chosen
  }
  remember(said);
  giveUp();
  Object.assign(page, { view, model, address: location.hash });
  const draft = page.drafts.get(page.address);
  page.drafts.delete(page.address);
  showNavigation(views);
  showChooser(able);
  showForm(fields, { ...page.typed.get(view.id), ...said, ...draft }, isNew);
  clearAnswer();
  const amiss = whatIsAmiss(said, page, fields);
  if (amiss !== null) {
    showError(amiss);
  } else if (draft === undefined && isQuestion(said, fields) && part("form").checkValidity()) {
    answerForm();
  }
}

/** The model that was chosen, where it can answer. */
function modelFor(view) {
  const able = page.models.filter(view.can);
  return able.find(({ id }) => id === page.chosen) ?? able[0];
}

/**
 * Keep what is typed for when the view comes again, and for this place in the history, if the
 * place that follows does not ask it.
 */
function remember(next) {
  if (page.view === null) {
    return;
  }
  const values = formValues();
  const said = saidBy(page.address);
  const isLostIn = (other) => Object.entries(values).some(([name, value]) => other[name] !== value);
  page.typed.set(page.view.id, values);
  if (isLostIn(said) && isLostIn(next) && isQuestion(said, page.view.fields(page.model))) {
    page.drafts.set(page.address, values);
  }
}

function showNavigation(views) {
  const links = views.map((view) =>
    element(
      "a",
      {
        href: fragment({ view: view.id, model: modelFor(view).id }),
        "data-key": view.id,
        "aria-current": view === page.view ? "page" : null,
      },
      view.title,
    ),
  );
  refill(part("views"), links);
}

/** The models that can answer this view, where there are several. */
function showChooser(able) {
  if (able.length === 1) {
    part("model").replaceChildren(element("span", { class: "only" }, page.model.id));
    return;
  }
  const options = able.map(({ id }) =>
    element("option", { value: id, selected: id === page.model.id }, id),
  );
  const change = (event) => chooseModel(able.find(({ id }) => id === event.target.value));
  const label = element("label", { for: "model-name" }, "Model");
  refill(part("model"), [
    label,
    element("select", { id: "model-name", "data-key": "model", change }, ...options),
  ]);
}

/** Go to the same view of another model, with the same question where there is an answer. */
function chooseModel(model) {
  page.chosen = model.id;
  const isAnswered = part("result").hasChildNodes();
  const question = isAnswered ? heldBy(page.view.fields(model), formValues()) : {};
  location.hash = fragment({ view: page.view.id, model: model.id, ...question });
}

function showForm(fields, values, isNew) {
  const { title, about, verb } = page.view;
  document.title = `${title} · bertsmith`;
  part("title").textContent = title;
  part("about").textContent = about;
  const controls = fields.map((field) => fieldElement(field, values[field.name] ?? field.example));
  const button = element("button", { type: "submit", class: "ask" }, verb);
  part("form").replaceChildren(...controls, button);
  const wasHidden = part("view").hidden;
  part("view").hidden = false;
  if (isNew && !wasHidden) {
    part("title").focus(); // who goes on by the keyboard, or listens, is in the new view
  }
}

function formValues() {
  return Object.fromEntries(new FormData(part("form")));
}

/** Ask what stands in the form and show the answer; the address leads here from now on. */
async function answerForm() {
  const values = formValues();
  const { view, model } = page;
  const address = String(new URLSearchParams({ view: view.id, model: model.id, ...values }));
  if (page.question?.address === address) {
    return; // a double click
  }
  const question = beginQuestion(address);
  const ask = (path, body) => request(path, { model: model.id, ...body }, question.signal);
  try {
    const { summary, nodes } = await view.answer({ values, model, ask, step });
    if (page.question === question) {
      showStatus(summary);
      refill(part("result"), nodes);
      keepAddress(values);
    }
  } catch (refusal) {
    if (page.question === question) {
      clearAnswer();
      showRefusal(refusal);
    }
  } finally {
    if (page.question === question) {
      giveUp();
    }
  }
}

/** Let the address lead here; an earlier text stays in the history, another layer or head not. */
function keepAddress(values) {
  const { view, model } = page;
  const before = saidBy(page.address);
  const isAnother = ({ kind, name }) =>
    kind !== "number" && name in before && before[name] !== values[name];
  const address = fragment({ view: view.id, model: model.id, ...values });
  if (view.fields(model).some(isAnother)) {
    history.pushState(null, "", address);
  } else {
    history.replaceState(null, "", address);
  }
  page.address = location.hash; // as the browser writes it
  if (!isQuestion(saidBy(page.address), view.fields(model))) {
    part("result").append(
      element("p", { class: "note" }, "The text is too long to stand in the page's address."),
    );
  }
}

/** Take the place of the question that is being asked, if there is one, and say that one is. */
function beginQuestion(address) {
  giveUp();
  const stop = new AbortController();
  const late = new Refusal("The server has not answered for two minutes; try again later.", 0);
  const timer = setTimeout(() => stop.abort(late), LONGEST_WAIT_MS);
  page.question = { address, stop, timer, signal: stop.signal };
  showError("");
  showStatus("Asking…");
  part("result").setAttribute("aria-busy", "true"); // the answer before stays, faint
  return page.question;
}

/** End the question that is being asked; the server need not go on, and what comes is not shown. */
function giveUp() {
  clearTimeout(page.question?.timer);
  page.question?.stop.abort();
  page.question = null;
  part("result").removeAttribute("aria-busy");
}

/** Go on by some places in a field of numbers, from what it shows now, and ask again. */
function step(name, by) {
  const field = part("form").elements[name];
  field.selectedIndex = (field.selectedIndex + by + field.length) % field.length;
  part("form").requestSubmit();
}

function clearAnswer() {
  showError("");
  showStatus("");
  part("result").replaceChildren();
}

/** Say why there is no answer, and ask for a key where one is needed. */
function showRefusal(refusal) {
  if (!(refusal instanceof Refusal)) {
    showError("This page has failed; the browser's console says how.");
    throw refusal;
  }
  if (refusal.status !== 401) {
    showError(refusal.message);
    return;
  }
  part("key").hidden = false;
  part("key-reason").textContent = hasKey()
    ? "The server does not know this key."
    : "This server answers only to those who have one of its API keys.";
  part("key-value").focus();
}

/** A sentence, or its parts. */
function showStatus(sentence) {
  part("status").replaceChildren(...[sentence].flat());
}

function showError(message) {
  part("error").textContent = message;
  part("error").hidden = message === "";
}

part("form").addEventListener("submit", (event) => {
  event.preventDefault();
  answerForm();
});
part("key").addEventListener("submit", (event) => {
  event.preventDefault();
  useKey(part("key-value").value);
  part("key-value").value = "";
  start();
});
// A link to #main would take the place of what the fragment says.
part("skip").addEventListener("click", () => part("form").elements[0]?.focus());
start();
