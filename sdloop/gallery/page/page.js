// The page of `sdloop pick` and of the galleries that it exports. A gallery has no server: its
// pictures are in window.sdloopPictures. Text from files is always inserted as text, never as HTML.
"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const gallery = document.documentElement.hasAttribute("data-gallery");
  const MANY = 12; // pictures side by side
  const SMALL = 256; // pixels: smaller pictures are enlarged with sharp pixels, not blurred

  const pictures = new Map(); // id → facts from the server
  const cells = new Map(); // id → its element in the grid
  const whole = new Map(); // id → all settings in its file
  let byPath = new Map();
  let picks = [], rejects = [], choices = new Map(); // by path
  let shown = [], places = new Map();
  let current = null, marked = new Set();
  let number = 0, unread = 0, copies = "";
  let writing = Promise.resolve(), writes = 0, wrote = 0; // of choices

  // ---- small helpers ----------------------------------------------------------------------

  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (value !== null) element.setAttribute(name, value);
    }
    element.append(...children);
    return element;
  }
  const small = (one) => gallery ? one.small : `thumbnail/${one.id}?${one.version}`;
  const large = (one) => gallery ? one.large : `picture/${one.id}?${one.version}`;
  const choiceOf = (id) => choices.get(pictures.get(id)?.path) ?? "none";
  const collator = new Intl.Collator("en", { numeric: true });
  const count = (n, what) => `${n.toLocaleString("en")} ${what}`;
  const text = (value) => typeof value === "number" ? String(+value.toPrecision(6)) : String(value);
  const title = (one) => one.settings.prompt ?? one.path;

  async function ask(path, method = "GET") {
    const answer = await fetch(path, { method });
    if (!answer.ok) throw new Error(await answer.text());
    return answer.json();
  }

  function say(line, wrong = false) {
    const told = $("told");
    if (told.textContent !== line) told.textContent = line;
    told.classList.toggle("wrong", wrong);
  }
  let notice = null;
  function notify(line, wrong = false) {
    clearTimeout(notice);
    say(line, wrong);
    notice = setTimeout(() => { notice = null; summarise(); }, 6000);
  }
  function summarise() {
    if (notice !== null) return;
    const there = [...pictures.values()];
    const kinds = (wanted) => there.filter((one) => choices.get(one.path) === wanted).length;
    const parts = [count(there.length, there.length === 1 ? "picture" : "pictures")];
    if (shown.length !== there.length) parts.push(count(shown.length, "shown"));
    if (!gallery) parts.push(count(kinds("pick"), "picked"), count(kinds("reject"), "rejected"));
    if (marked.size) parts.push(count(marked.size, "marked"));
    if (wrote !== writes) parts.push("writing");
    if (unread) parts.push(`reading ${count(unread, "more")}`);
    say(parts.join(" · "));
  }

  // ---- which pictures, in which order ---------------------------------------------------------

  const TERM = /(-?)(?:([A-Za-z]\w*)(<=|>=|!=|=|<|>|:))?(?:"([^"]*)"|(\S+))/g;
  const OPERATORS = {
    "=": (a, b) => a === b, "!=": (a, b) => a !== b, "<": (a, b) => a < b,
    "<=": (a, b) => a <= b, ">": (a, b) => a > b, ">=": (a, b) => a >= b,
    ":": (a, b) => String(a).includes(String(b)),
  };
  const valueOf = (one, field) => field === "path" ? one.path : one.settings[field];

  function compared(value, operator, wanted) {
    if (value === undefined) return operator === "!=";
    const number = Number(wanted);
    const numeric = typeof value === "number" && wanted !== "" && !Number.isNaN(number);
    if (numeric && operator !== ":") return OPERATORS[operator](value, number);
    return OPERATORS[operator](String(value).toLowerCase(), wanted.toLowerCase());
  }
  function terms(words, fields) {
    return [...words.matchAll(TERM)].map(([, minus, field, operator, quoted, plain]) => {
      const wanted = quoted ?? plain;
      const known = field !== undefined && (field === "path" || fields.has(field));
      const word = (known || field === undefined ? wanted : field + operator + wanted).toLowerCase();
      const fits = known
        ? (one) => compared(valueOf(one, field), operator, wanted)
        : (one) => one.text.includes(word);
      return minus ? (one) => !fits(one) : fits;
    });
  }
  function fields() {
    const found = new Map();
    for (const one of pictures.values()) {
      for (const [name, value] of Object.entries(one.settings)) {
        if (!found.has(name)) found.set(name, new Map());
        const values = found.get(name);
        if (values.size <= 40) values.set(value, (values.get(value) ?? 0) + 1);
      }
    }
    return found;
  }
  function order(by, reversed) {
    const rank = new Map(picks.map((path, index) => [path, index]));
    const key = {
      "": (one) => gallery ? one.place : -one.time,
      "time": (one) => -one.time,
      "path": (one) => one.path,
      "pick": (one) => rank.get(one.path),
      "clip": (one) => one.settings.clip === undefined ? undefined : -one.settings.clip,
    }[by] ?? ((one) => one.settings[by]);
    const sign = reversed ? -1 : 1;
    return (a, b) => {
      const [x, y] = [key(a), key(b)];
      if (x === undefined || y === undefined) {
        if (x !== y) return x === undefined ? 1 : -1; // those without a value always come last
      } else if (x !== y) {
        if (typeof x === "number" && typeof y === "number") return sign * (x - y);
        return sign * collator.compare(String(x), String(y));
      }
      return b.time - a.time || collator.compare(a.path, b.path);
    };
  }
  const SHOWS = {
    all: () => true,
    unrejected: (choice) => choice !== "reject",
  };
  let known = new Map();
  function arrange() {
    const fitting = terms($("words").value, known);
    const shows = SHOWS[$("show").value] ?? ((choice) => choice === $("show").value);
    const found = [...pictures.values()]
      .filter((one) => shows(choiceOf(one.id)) && fitting.every((fits) => fits(one)))
      .sort(order($("sort").value, $("reverse").getAttribute("aria-pressed") === "true"))
      .map((one) => one.id);
    const place = places.get(current) ?? 0;
    if (found.length !== shown.length || found.some((id, index) => id !== shown[index])) {
      const inGrid = $("grid").contains(document.activeElement);
      // While a large folder is read, the older ones come last: nothing else needs to move.
      const follow = shown.length > 0 && shown.every((id, index) => id === found[index]);
      if (follow) $("grid").append(...found.slice(shown.length).map(cellOf));
      else $("grid").replaceChildren(...found.map(cellOf));
      shown = found;
      places = new Map(shown.map((id, index) => [id, index]));
      marked = new Set([...marked].filter((id) => pictures.has(id)));
      if (!places.has(current)) select(shown[Math.min(place, shown.length - 1)] ?? null, inGrid);
      else if (inGrid) cells.get(current).focus({ preventScroll: true });
    }
    $("nothing").hidden = shown.length > 0;
    $("nothing").textContent = unread ? "Reading…" : pictures.size
      ? "No picture matches the filter." : "No pictures yet. New pictures appear here automatically.";
    summarise();
  }
  function remember() {
    const state = new URLSearchParams();
    for (const id of ["words", "show", "sort", "size"]) if ($(id).value || id === "sort") state.set(id, $(id).value);
    if ($("reverse").getAttribute("aria-pressed") === "true") state.set("reverse", "");
    history.replaceState(null, "", `#${state}`);
  }
  function recall() {
    const state = new URLSearchParams(location.hash.slice(1));
    for (const id of ["words", "show", "size"]) if (state.has(id)) $(id).value = state.get(id);
    wantedSort = state.get("sort");
    if (state.has("reverse")) $("reverse").setAttribute("aria-pressed", "true");
    resize();
  }
  let wantedSort = null; // the order in the address, until it is known whether it exists
  function offerFields() {
    const before = known;
    known = fields();
    if (before.size === known.size && [...known.keys()].every((name) => before.has(name))) return;
    const choice = (value, label) => make("option", { value }, label);
    const first = [choice("", gallery ? "original order" : "newest"), choice("path", "name")];
    first.push(gallery ? choice("time", "newest") : choice("pick", "order of picking"));
    if (known.has("clip")) first.push(choice("clip", "CLIP score"));
    const group = make("optgroup", { label: "Settings" },
      ...[...known.keys()].filter((name) => name !== "clip").sort().map((name) => choice(name, name.replaceAll("_", " "))));
    const chosen = $("sort").value || (wantedSort ?? (known.has("clip") && !gallery ? "clip" : ""));
    $("sort").replaceChildren(...first, ...(known.size ? [group] : []));
    $("sort").value = known.has(chosen) || ["path", "pick", "time"].includes(chosen) ? chosen : "";
  }
  function hint() {
    const base = $("words").value.replace(/\S*$/, "");
    const options = [];
    for (const [name, values] of known) {
      if (values.size < 2 || values.size > 40) continue;
      for (const value of values.keys()) options.push(base + asTerm(name, value));
    }
    $("hints").replaceChildren(...options.slice(0, 200).map((value) => make("option", { value })));
  }
  function asTerm(name, value) {
    const plain = String(value).replaceAll('"', "");
    return `${name}${plain === String(value) ? "=" : ":"}${/\s|^$/.test(plain) ? `"${plain}"` : plain}`;
  }

  // ---- the grid -------------------------------------------------------------------------------

  function sharp(image, limit) {
    image.addEventListener("load", () => image.classList.toggle("small", image.naturalWidth <= limit));
    return image;
  }
  function cellOf(id) {
    const one = pictures.get(id);
    let cell = cells.get(id);
    if (cell === undefined || cell.dataset.version !== one.version) {
      const image = sharp(make("img", { src: small(one), alt: "", loading: "lazy", decoding: "async" }), 160);
      cell = make("div", { "class": "cell", role: "option", tabindex: "-1", id: `p-${id}` },
        image, make("span", { "class": "name" }, ...nameOf(one.path)), make("span", { "class": "badge" }));
      cell.dataset.version = one.version;
      cell.dataset.id = id;
      cells.set(id, cell);
    }
    return mark(cell, id);
  }
  // In a long path, the folders are shortened.
  function nameOf(path) {
    const at = path.lastIndexOf("/") + 1;
    return [make("span", {}, path.slice(0, at)), make("span", {}, path.slice(at))];
  }
  function mark(cell, id) {
    const one = pictures.get(id), choice = choiceOf(id);
    const word = { pick: "picked", reject: "rejected", none: "" }[choice];
    if (cell.dataset.choice !== choice || !cell.hasAttribute("aria-label")) {
      cell.dataset.choice = choice;
      cell.lastChild.textContent = word;
      cell.title = title(one);
      cell.setAttribute("aria-label", [title(one), one.path, word].filter(Boolean).join(", "));
    }
    cell.setAttribute("aria-selected", String(marked.has(id)));
    cell.tabIndex = id === current ? 0 : -1;
    return cell;
  }
  function select(id, focus = true) {
    const before = current;
    current = id;
    for (const one of [before, id]) if (cells.has(one) && pictures.has(one)) mark(cells.get(one), one);
    if (focus && id !== null && !$("viewer").open) cells.get(id)?.focus();
    if (id !== null) cells.get(id)?.scrollIntoView({ block: "nearest" });
    describe();
  }
  function step(by) {
    if (!shown.length) return;
    const place = (places.get(current) ?? -1) + by;
    select(shown[Math.max(0, Math.min(shown.length - 1, place))]);
  }
  const across = () => getComputedStyle($("grid")).gridTemplateColumns.split(" ").length;
  function toggleMark(id) {
    if (id === null) return;
    if (!marked.delete(id)) marked.add(id);
    mark(cells.get(id), id);
    summarise();
  }
  function markTo(id) {
    const [from, to] = [places.get(current) ?? 0, places.get(id)].sort((a, b) => a - b);
    for (const one of shown.slice(from, to + 1)) { marked.add(one); mark(cells.get(one), one); }
    summarise();
  }
  function unmark() {
    const before = [...marked];
    marked = new Set();
    for (const id of before) if (cells.has(id)) mark(cells.get(id), id);
    summarise();
  }
  function resize() {
    document.documentElement.style.setProperty("--size", `${$("size").value}px`);
  }

  // ---- picking --------------------------------------------------------------------------------

  function choose(id, choice) {
    if (gallery || id === null) return;
    const wanted = choiceOf(id) === choice ? "none" : choice;
    const { path } = pictures.get(id);
    takeChoices({
      picks: wanted === "pick" ? [...picks, path] : picks.filter((one) => one !== path),
      rejects: wanted === "reject" ? [...rejects, path] : rejects.filter((one) => one !== path),
    });
    writes += 1;
    summarise();
    // One after the other, so that the last of several keys wins.
    writing = writing.then(() => ask(`choose/${id}/${wanted}`, "POST")).then(
      (told) => { wrote += 1; if (wrote === writes) takeChoices(told); },
      (error) => { wrote += 1; notify(`Not saved: ${error.message}`, true); },
    );
  }
  function takeChoices(told) {
    const before = choices;
    ({ picks, rejects } = told);
    choices = new Map([...rejects.map((path) => [path, "reject"]), ...picks.map((path) => [path, "pick"])]);
    for (const path of new Set([...before.keys(), ...choices.keys()])) {
      const id = byPath.get(path);
      if (before.get(path) !== choices.get(path) && cells.has(id)) mark(cells.get(id), id);
    }
    arrange();
    for (const panel of $("panels").children) markPanel(panel);
    markButtons($("facts"), current);
  }
  function chooseButtons(id) {
    if (gallery) return "";
    const button = (choice, label, key) => make("button", {
      type: "button", "class": `is-${choice}`, "data-choose": choice, onclick: () => choose(id, choice),
    }, `${label} `, make("kbd", {}, key));
    const group = make("span", { "class": "choose", role: "group", "aria-label": "Choice" },
      button("pick", "Pick", "p"), button("reject", "Reject", "x"));
    markButtons(group, id);
    return group;
  }
  function markButtons(element, id) {
    for (const button of element.querySelectorAll("[data-choose]")) {
      button.setAttribute("aria-pressed", String(choiceOf(id) === button.dataset.choose));
    }
  }

  // ---- how it was made ------------------------------------------------------------------------

  let describing = null;
  function describe() {
    clearTimeout(describing);
    const one = pictures.get(current);
    if ($("facts").hidden) return;
    if (one === undefined) { $("facts").replaceChildren(); return; }
    const told = whole.get(one.id);
    $("facts").replaceChildren(...sections(one, told));
    if (told !== undefined || gallery) return;
    // While an arrow key is held down, do not request the facts of every picture on the way.
    describing = setTimeout(async () => {
      try { whole.set(one.id, await ask(`facts/${one.id}`)); } catch { return; }
      if (current === one.id && whole.get(one.id)) describe();
    }, 60);
  }
  function sections(one, told) {
    const { prompt, ...settings } = one.settings;
    const found = [
      sharp(make("img", { src: small(one), alt: title(one) }), 160),
      make("h2", {}, one.path),
      make("p", { "class": "row" }, chooseButtons(one.id),
        make("button", { type: "button", onclick: () => view([one.id]) }, "Large ", make("kbd", {}, "Enter"))),
    ];
    if (prompt !== undefined) found.splice(2, 0, make("p", { "class": "prompt" }, prompt));
    else found.splice(2, 0, make("p", { "class": "prompt" }, "The file contains no settings."));
    const rows = Object.entries(settings).map(([name, value]) => make("tr", {},
      make("th", { scope: "row" }, name.replaceAll("_", " ")),
      make("td", {}, make("button", {
        type: "button", title: "Filter by this", onclick: () => filterBy(name, value),
      }, text(value)))));
    if (rows.length) found.push(make("table", { "aria-label": "Settings" }, make("tbody", {}, ...rows)));
    for (const [name, label] of [["command", "Make it again"], ["larger", "Make it twice as large"]]) {
      if (told?.[name]) found.push(...commandOf(label, told[name]));
    }
    const versions = Object.entries(told?.made?.versions ?? {}).map(([name, value]) => `${name} ${value}`);
    if (versions.length) found.push(make("h3", {}, "Made with"), make("p", { "class": "prompt" }, versions.join(", ")));
    return found;
  }
  function commandOf(label, command) {
    // Break lines only between arguments if possible; the text itself does not change.
    const words = command.split(/ (?=--)/).flatMap((word) => [make("span", {}, word), " "]);
    const shownCommand = make("pre", { tabindex: "0", "aria-label": `${label}: the command` }, ...words.slice(0, -1));
    const button = make("button", { type: "button", onclick: () => clip(command, shownCommand, button) }, "Copy");
    return [make("h3", {}, label), shownCommand, make("p", { "class": "row" }, button)];
  }
  async function clip(words, element, button) {
    try {
      await navigator.clipboard.writeText(words);
      const before = button.textContent;
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = before; }, 1500);
    } catch {
      getSelection().selectAllChildren(element); // so that the user can copy it
    }
  }
  function filterBy(name, value) {
    $("words").value = `${$("words").value.trim()} ${asTerm(name, value)}`.trim();
    arrange();
    remember();
  }

  // ---- large, and side by side ----------------------------------------------------------------

  let viewed = [];
  function view(ids) {
    viewed = ids.slice(0, MANY);
    if (!viewed.length) return;
    const several = viewed.length > 1;
    const differing = several ? differences(viewed.map((id) => pictures.get(id))) : [];
    const columns = viewed.length <= 3 ? viewed.length : Math.ceil(Math.sqrt(viewed.length));
    $("panels").style.gridTemplateColumns = `repeat(${columns}, minmax(0, 1fr))`;
    $("panels").replaceChildren(...viewed.map((id) => panelOf(id, differing)));
    $("viewer-told").textContent = several
      ? `${viewed.length} side by side${ids.length > MANY ? ` of ${ids.length}` : ""}, with their differences`
      : `${(places.get(viewed[0]) ?? 0) + 1} of ${shown.length}`;
    if (!$("viewer").open) $("viewer").showModal();
    $("panels").firstChild.focus();
  }
  function differences(ones) {
    const names = new Set(ones.flatMap((one) => Object.keys(one.settings)));
    return [...names].filter((name) => new Set(ones.map((one) => one.settings[name])).size > 1);
  }
  function panelOf(id, differing) {
    const one = pictures.get(id);
    const told = make("span", { "class": "differs" });
    if (differing.length) {
      for (const name of differing) {
        told.append(`${name.replaceAll("_", " ")} `, make("b", {}, text(one.settings[name] ?? "none")), "  ");
      }
    } else told.append(title(one));
    const panel = make("figure", { "class": "panel", tabindex: "0", "aria-label": title(one) },
      make("div", { "class": "frame" }, sharp(make("img", { src: large(one), alt: title(one) }), SMALL)),
      make("figcaption", {}, told, chooseButtons(id)));
    panel.dataset.id = id;
    markPanel(panel);
    return panel;
  }
  function markPanel(panel) {
    panel.dataset.choice = choiceOf(panel.dataset.id);
    markButtons(panel, panel.dataset.id);
  }
  const active = () => document.activeElement?.closest?.(".panel") ?? $("panels").firstChild;
  function move(by) {
    if (viewed.length === 1) {
      const place = (places.get(viewed[0]) ?? -1) + by;
      if (place < 0 || place >= shown.length) return;
      select(shown[place]);
      view([shown[place]]);
      const next = pictures.get(shown[place + by]);
      if (next !== undefined) new Image().src = large(next); // preload
      return;
    }
    const panels = [...$("panels").children];
    panels[(panels.indexOf(active()) + by + panels.length) % panels.length].focus();
  }
  function compare() {
    if (marked.size) { view(shown.filter((id) => marked.has(id))); return; }
    const picked = picks.map((path) => byPath.get(path)).filter((id) => id !== undefined);
    const ids = gallery ? shown.slice(0, 4) : picked;
    if (ids.length) view(ids);
    else notify("Mark two or more pictures with m, then compare them.");
  }
  function zoom() {
    const on = $("viewer").classList.toggle("true");
    $("zoom").setAttribute("aria-pressed", String(on));
  }

  // ---- copies and enlargements of the picks ---------------------------------------------------

  async function copy() {
    try {
      await writing; // what was just picked belongs to the picks
      const told = await ask("copy", "POST");
      const parts = [`${count(told.copied, told.copied === 1 ? "pick" : "picks")} copied to ${told.folder}`];
      if (told.there) parts.push(`${told.there} already there`);
      if (told.gone.length) parts.push(`${told.gone.length} missing`);
      notify(parts.join(", "));
    } catch (error) { notify(`Not copied: ${error.message}`, true); }
  }
  async function enlarge() {
    try {
      await writing;
      const told = await ask("larger");
      $("commands").value = told.commands.join("\n");
      $("enlarge-run").disabled = told.commands.length === told.by_hand;
      $("by-hand").hidden = !told.by_hand;
      $("by-hand").textContent = `${told.by_hand} of them run Python code named in the Recipe: check it and run them yourself.`;
      $("enlarge").showModal();
    } catch (error) { notify(error.message, true); }
  }
  async function run() {
    $("enlarge-run").disabled = true;
    try { await ask("larger", "POST"); } catch (error) { notify(error.message, true); }
    soon();
  }
  function tellJobs(jobs) {
    const lines = jobs.map((job) => `${job.path}: ${job.state}${job.state === "failed" ? `: ${job.told}` : ""}`);
    if (lines.join("\n") === [...$("jobs").children].map((one) => one.textContent).join("\n")) return;
    $("jobs").replaceChildren(...lines.map((line) => make("li", {}, line)));
  }

  // ---- news -----------------------------------------------------------------------------------

  let timer = null, lost = false;
  function soon(wait = 0) {
    clearTimeout(timer);
    timer = setTimeout(poll, wait);
  }
  async function poll() {
    const before = writes;
    let wait = document.hidden ? 6000 : 1500;
    try {
      const news = await ask(`news?after=${number}`);
      if (lost) { lost = false; notice = null; }
      take(news);
      if (before === writes && wrote === writes) takeChoices(news);
      else arrange();
      if (news.unread) wait = 0;
    } catch {
      lost = true;
      clearTimeout(notice);
      notice = 0;
      say("sdloop pick does not answer: your choices are not saved.", true);
      wait = 3000;
    }
    soon(wait);
  }
  function take(news) {
    ({ number, unread, copies } = news);
    $("folder").textContent = news.folder;
    document.title = `${news.folder} · sdloop pick`;
    $("copy").title = `to ${copies}`;
    for (const id of news.gone) {
      byPath.delete(pictures.get(id)?.path);
      for (const map of [pictures, cells, whole]) map.delete(id);
    }
    add(news.pictures);
    tellJobs(news.jobs);
  }
  function add(news) {
    for (const one of news) {
      one.place = pictures.size;
      one.text = `${one.path}\n${one.settings.prompt ?? ""}`.toLowerCase();
      pictures.set(one.id, one);
      byPath.set(one.path, one.id);
      whole.delete(one.id);
    }
    if (news.length) offerFields();
  }

  // ---- keys and clicks ------------------------------------------------------------------------

  const inGrid = {
    ArrowRight: () => step(1), n: () => step(1), ArrowLeft: () => step(-1), b: () => step(-1),
    ArrowDown: () => step(across()), ArrowUp: () => step(-across()),
    Home: () => select(shown[0] ?? null), End: () => select(shown[shown.length - 1] ?? null),
    PageDown: () => step(3 * across()), PageUp: () => step(-3 * across()),
    Enter: () => current !== null && view([current]),
    m: () => toggleMark(current), " ": () => toggleMark(current), Escape: unmark,
    p: () => choose(current, "pick"), x: () => choose(current, "reject"),
    c: compare, i: toggleFacts, "/": () => $("words").focus(), "?": () => $("keys").showModal(),
  };
  const inViewer = {
    ArrowRight: () => move(1), n: () => move(1), ArrowLeft: () => move(-1), b: () => move(-1),
    p: () => choose(active().dataset.id, "pick"), x: () => choose(active().dataset.id, "reject"),
    z: zoom, c: () => $("viewer").close(),
  };
  function toggleFacts() {
    $("facts").hidden = !$("facts").hidden;
    $("facts-toggle").setAttribute("aria-pressed", String(!$("facts").hidden));
    describe();
  }
  function pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.target;
    if (target.matches("input, select, textarea")) {
      if (event.key === "Escape" || (event.key === "Enter" && target === $("words"))) {
        cells.get(current)?.focus();
      }
      return;
    }
    if (target.matches("button, a") && (event.key === "Enter" || event.key === " ")) return;
    const viewing = $("viewer").open;
    if (!viewing && document.querySelector("dialog[open]")) return;
    let act = (viewing ? inViewer : inGrid)[event.key];
    if (viewing && /^[1-9]$/.test(event.key) && viewed.length >= Number(event.key)) {
      act = () => choose(viewed[Number(event.key) - 1], "pick");
    }
    // In an element that scrolls, the arrow keys scroll it.
    if (act === undefined || (target.matches("pre") && event.key.startsWith("Arrow"))) return;
    event.preventDefault();
    act();
  }
  function clicked(event) {
    const id = event.target.closest(".cell")?.dataset.id;
    if (id === undefined) return;
    if (event.ctrlKey || event.metaKey) toggleMark(id);
    else if (event.shiftKey) markTo(id);
    select(id);
  }

  function start() {
    document.documentElement.classList.add("scripts");
    recall();
    if (matchMedia("(max-width: 760px)").matches) toggleFacts();
    document.addEventListener("keydown", pressed);
    $("grid").addEventListener("click", clicked);
    $("grid").addEventListener("dblclick", () => current !== null && view([current]));
    $("grid").addEventListener("focusin", (event) => {
      const id = event.target.closest(".cell")?.dataset.id;
      if (id !== undefined && id !== current) select(id, false);
    });
    $("query").addEventListener("submit", (event) => event.preventDefault());
    $("words").addEventListener("input", () => { hint(); arrange(); remember(); });
    $("words").addEventListener("focus", hint);
    for (const id of ["show", "sort"]) $(id).addEventListener("change", () => { arrange(); remember(); });
    $("size").addEventListener("input", () => { resize(); remember(); });
    $("reverse").addEventListener("click", () => {
      $("reverse").setAttribute("aria-pressed", String($("reverse").getAttribute("aria-pressed") !== "true"));
      arrange();
      remember();
    });
    $("compare").addEventListener("click", compare);
    $("copy").addEventListener("click", copy);
    $("larger").addEventListener("click", enlarge);
    $("enlarge-run").addEventListener("click", run);
    $("enlarge-copy").addEventListener("click", () => {
      $("commands").select();
      clip($("commands").value, $("commands"), $("enlarge-copy"));
    });
    $("facts-toggle").addEventListener("click", toggleFacts);
    $("help").addEventListener("click", () => $("keys").showModal());
    $("zoom").addEventListener("click", zoom);
    for (const button of document.querySelectorAll("dialog .close")) {
      button.addEventListener("click", () => button.closest("dialog").close());
    }
    $("viewer").addEventListener("close", () => { viewed = []; $("panels").replaceChildren(); cells.get(current)?.focus(); });
    document.addEventListener("visibilitychange", () => { if (!document.hidden && !gallery) soon(); });
    if (!gallery) { soon(); return; }
    const told = window.sdloopPictures;
    add(told);
    for (const one of told) whole.set(one.id, one);
    arrange();
    describe();
  }
  start();
})();
