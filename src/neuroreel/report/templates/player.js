"use strict";
// Plays the movies of one trial side by side. All of them are drawn from one frame number in one go: they cannot drift.
(() => {
  const trials = JSON.parse(document.getElementById("data").textContent);
  const find = (id) => document.getElementById(id);
  const stage = find("stage"), scrub = find("scrub"), button = find("play"), clock = find("clock");
  const state = { trial: 0, frame: 0, playing: false, since: 0, from: 0, drawn: -1, screens: [], asked: 0 };

  // A sheet holds frames one below the other, so its pixels in reading order are the movie's.
  async function unpack(trial, movie) {
    const size = trial.width * trial.height, grey = new Float32Array(trial.frames * size);
    let filled = 0;
    for (const url of movie.sheets) {
      const image = new Image();
      image.src = url;
      await image.decode();
      const canvas = document.createElement("canvas");
      canvas.width = image.width;
      canvas.height = image.height;
      const context = canvas.getContext("2d", { willReadFrequently: true });
      context.drawImage(image, 0, 0);
      const pixels = context.getImageData(0, 0, image.width, image.height).data;
      for (let i = 0; i < pixels.length; i += 4) grey[filled++] = (pixels[i] * 255) / (trial.levels - 1);
    }
    return grey;
  }

  const titles = { true: "true movie", start: "starting movie" };

  function addScreen(trial, label, score, greyAt) {
    const figure = document.createElement("figure"), screen = document.createElement("div");
    const canvas = document.createElement("canvas"), caption = document.createElement("figcaption");
    figure.className = "movie";
    figure.dataset.label = label;
    screen.className = "screen";
    canvas.width = trial.width;
    canvas.height = trial.height;
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `movie: ${titles[label] || label}`);
    screen.append(canvas);
    if (trial.outline) {
      const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
      svg.setAttribute("viewBox", `0 0 ${trial.width} ${trial.height}`);
      svg.setAttribute("preserveAspectRatio", "none");
      svg.setAttribute("aria-hidden", "true");
      path.setAttribute("d", trial.outline);
      svg.append(path);
      screen.append(svg);
    }
    const name = document.createElement("b");
    name.textContent = titles[label] || label;
    caption.append(name, score || "");
    figure.append(screen, caption);
    stage.append(figure);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    state.screens.push({ figure, canvas, context, image: context.createImageData(trial.width, trial.height), greyAt });
  }

  async function choose(number) {
    const asked = ++state.asked, trial = trials[number];
    const greys = await Promise.all(trial.movies.map((movie) => unpack(trial, movie)));
    if (asked !== state.asked) return; // another trial was chosen meanwhile
    stage.replaceChildren();
    state.screens = [];
    const level = (k, i) => {
      const grey = greys[k][i], movie = trial.movies[k];
      return find("match").checked ? Math.min(255, Math.max(0, movie.gain * grey + movie.offset)) : grey;
    };
    trial.movies.forEach((movie, k) => addScreen(trial, movie.label, movie.score, (i) => level(k, i)));
    const labels = trial.movies.map((movie) => movie.label);
    const truth = labels.indexOf("true"), ours = labels.indexOf("reconstruction");
    if (truth >= 0) {
      addScreen(trial, "difference", "true minus reconstruction; grey: equal", (i) => 127.5 + (level(truth, i) - level(ours, i)) / 2);
    }
    find("difference-option").hidden = find("match-option").hidden = truth < 0;
    find("outline-option").hidden = !trial.outline;
    showPanel(number, trial);
    scrub.max = trial.frames - 1;
    state.trial = number;
    stage.dataset.trial = number;
    show(state.frame % trial.frames);
    redraw();
  }

  function showPanel(number, trial) {
    for (const panel of document.querySelectorAll(".panel")) panel.hidden = Number(panel.dataset.trial) !== number;
    const notes = [document.querySelector(`.panel[data-trial="${number}"]`).dataset.notes];
    if (trial.shrink > 1) notes.push(`Shown at 1/${trial.shrink} of the size.`);
    if (trial.levels < 256) notes.push(`Shown with ${trial.levels} grey levels.`);
    find("movie-notes").textContent = notes.filter(Boolean).join(" ");
  }

  function draw(screen, frame, size) {
    const pixels = screen.image.data;
    for (let i = 0; i < size; i++) {
      pixels[4 * i] = pixels[4 * i + 1] = pixels[4 * i + 2] = Math.round(screen.greyAt(frame * size + i));
      pixels[4 * i + 3] = 255;
    }
    screen.context.putImageData(screen.image, 0, 0);
    screen.canvas.dataset.frame = frame;
  }

  // Up to four movies stand in one row, more in two of about one length: none is left alone in a row of its own.
  function arrange() {
    const seen = state.screens.filter((screen) => !screen.figure.hidden).length;
    stage.style.setProperty("--columns", seen <= 4 ? seen : Math.ceil(seen / 2));
  }

  function redraw() {
    const trial = trials[state.trial], frame = state.frame;
    for (const screen of state.screens) {
      const label = screen.figure.dataset.label;
      screen.figure.hidden = label === "difference" && !find("difference").checked;
      const outline = screen.figure.querySelector("svg");
      if (outline) outline.style.display = find("outline").checked ? "" : "none";
      if (!screen.figure.hidden) draw(screen, frame, trial.width * trial.height);
    }
    arrange();
    for (const raster of document.querySelectorAll(`.panel[data-trial="${state.trial}"] .raster`)) {
      const [left, right, top, bottom] = raster.dataset.timeBox.split(" ").map(Number);
      const at = left + ((right - left) * (frame + 0.5)) / trial.frames;
      raster.querySelector(".cursor").style.inset = `${100 * top}% auto ${100 * bottom}% ${100 * at}%`;
    }
    scrub.value = frame;
    const seconds = (frame / trial.rate).toFixed(2);
    scrub.setAttribute("aria-valuetext", `frame ${frame + 1}, ${seconds} seconds`);
    clock.textContent = `frame ${frame + 1} of ${trial.frames}, ${seconds} s`;
    state.drawn = frame;
  }

  function show(frame) { // from here on the clock counts from this frame
    state.frame = state.from = frame;
    state.since = performance.now();
    if (state.screens.length) redraw();
  }

  function play(on) {
    state.playing = on;
    button.textContent = on ? "\u275A\u275A" : "\u25B6";
    button.setAttribute("aria-label", on ? "Pause" : "Play");
    show(state.frame);
  }

  function tick(now) {
    if (state.playing && state.screens.length) {
      const trial = trials[state.trial];
      const passed = Math.max(0, now - state.since) / 1000;
      state.frame = (state.from + Math.floor(passed * trial.rate * Number(find("speed").value))) % trial.frames;
      if (state.frame !== state.drawn) redraw();
    }
    requestAnimationFrame(tick);
  }

  function step(by) {
    const frames = trials[state.trial].frames;
    play(false);
    show((state.frame + by + frames) % frames);
  }

  button.addEventListener("click", () => play(!state.playing));
  scrub.addEventListener("input", () => show(Number(scrub.value)));
  find("speed").addEventListener("change", () => show(state.frame));
  for (const id of ["outline", "difference", "match"]) find(id).addEventListener("change", redraw);
  for (const radio of document.querySelectorAll("[name=trial]")) {
    radio.addEventListener("change", () => choose(Number(radio.value)));
  }
  document.addEventListener("keydown", (event) => {
    const busy = event.target.closest("input, select, button, summary, .scroll");
    if (busy || event.ctrlKey || event.altKey || event.metaKey) return; // these have keys of their own
    const action = { " ": () => play(!state.playing), ArrowLeft: () => step(-1), ArrowRight: () => step(1) }[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
  choose(0).then(() => play(!matchMedia("(prefers-reduced-motion: reduce)").matches));
  requestAnimationFrame(tick);
})();
