
'use strict';
(function () {
  const data = JSON.parse(document.getElementById('data').textContent);
  const [NAME, DEPTH, LEFT, WIDTH, TOTAL, OWN, BEFORE, COLOUR] = [0, 1, 2, 3, 4, 5, 6, 7];
  const nodes = data.nodes, names = data.names, ROW = 19;
  const depth = nodes.reduce((most, node) => Math.max(most, node[DEPTH]), 0);
  const find = (id) => document.getElementById(id);
  const canvas = find('graph'), pen = canvas.getContext('2d'), details = find('details');
  // Where a node's own row begins, its callers' boxes lie around it.
  const rows = Array.from({ length: depth + 1 }, () => []);
  nodes.forEach((node, index) => rows[node[DEPTH]].push(index));
  rows.forEach((row) => row.sort((a, b) => nodes[a][LEFT] - nodes[b][LEFT]));

  let zoom = 0, flipped = false, pattern = null, hovered = -1, dark = false;

  const amount = (value) => {
    if (!data.unit) return String(value);
    if (data.unit === 'samples') return value + (value === 1 ? ' sample' : ' samples');
    if (value >= 1e9) return (value / 1e9).toFixed(2) + ' s';
    if (value >= 1e6) return (value / 1e6).toFixed(1) + ' ms';
    return value >= 1e3 ? (value / 1e3).toFixed(0) + ' µs' : value + ' ns';
  };
  const counted = (value) => (data.unit ? ' (' + amount(value) + ')' : '');
  const percent = (part, whole) => (whole ? part / whole * 100 : 0);
  const share = (part, whole) => percent(part, whole).toFixed(2) + '%';

  function box(index) {
    const node = nodes[index], to = nodes[zoom];
    if (node[DEPTH] < to[DEPTH]) {
      const around = node[LEFT] <= to[LEFT] + 1e-9 && node[LEFT] + node[WIDTH] >= to[LEFT] + to[WIDTH] - 1e-9;
      return around ? [0, 1, true] : null;
    }
    const left = (node[LEFT] - to[LEFT]) / to[WIDTH], width = node[WIDTH] / to[WIDTH];
    return left + width > 1e-9 && left < 1 - 1e-9 ? [left, width, false] : null;
  }
  const top = (level) => (flipped ? level : depth - level) * ROW;

  function draw() {
    const ratio = window.devicePixelRatio || 1, wide = canvas.clientWidth, high = (depth + 1) * ROW + 1;
    canvas.style.height = high + 'px';
    canvas.width = wide * ratio;
    canvas.height = high * ratio;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.font = '12px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace';
    const letter = pen.measureText('m').width;
    for (const row of rows) {
      for (const index of row) {
        const place = box(index);
        if (!place) continue;
        const node = nodes[index], x = place[0] * wide, w = place[1] * wide;
        if (w < 0.4) continue;
        const hit = pattern && index && pattern.test(names[node[NAME]]), y = top(node[DEPTH]);
        pen.globalAlpha = place[2] ? 0.5 : pattern && !hit ? 0.35 : 1;
        pen.fillStyle = hit ? '#c026d3' : index ? node[COLOUR] : dark ? '#48484a' : node[COLOUR];
        pen.fillRect(x, y, Math.max(w - 0.6, 0.4), ROW - 1);
        if (index === hovered) {
          pen.strokeStyle = dark ? '#fff' : '#1d1d1f';
          pen.strokeRect(x + 0.5, y + 0.5, Math.max(w - 1.6, 0.4), ROW - 2);
        }
        const room = Math.floor((w - 6) / letter);
        if (room >= 3) {
          const name = names[node[NAME]];
          pen.globalAlpha = place[2] ? 0.6 : 1;
          pen.fillStyle = hit || (dark && !index) ? '#fff' : '#1d1d1f';
          pen.fillText(name.length <= room ? name : name.slice(0, room - 1) + '…', x + 3, y + 13);
        }
      }
    }
    pen.globalAlpha = 1;
  }

  function under(event) {
    const area = canvas.getBoundingClientRect(), x = (event.clientX - area.left) / area.width;
    const line = Math.floor((event.clientY - area.top) / ROW), level = flipped ? line : depth - line;
    for (const index of rows[level] || []) {
      const place = box(index);
      if (place && x >= place[0] && x < place[0] + place[1]) return index;
    }
    return -1;
  }

  function describe(index) {
    const node = nodes[index];
    const name = document.createElement('b'), more = document.createElement('span');
    name.textContent = names[node[NAME]];
    if (data.compared) {
      const now = percent(node[TOTAL], data.total), was = percent(node[BEFORE], data.before), change = now - was;
      more.textContent = data.compared[1] + ' ' + now.toFixed(2) + '%, ' + data.compared[0] + ' ' + was.toFixed(2) + '%, ' +
        (change >= 0 ? '+' : '') + change.toFixed(2) + '%';
    } else {
      more.textContent = amount(node[TOTAL]) + ' (' + share(node[TOTAL], data.total) + '), itself ' +
        amount(node[OWN]) + ' (' + share(node[OWN], data.total) + ')';
    }
    details.replaceChildren(name, more);
  }

  canvas.addEventListener('mousemove', (event) => {
    const index = under(event);
    if (index !== hovered) { hovered = index; draw(); if (index >= 0) describe(index); }
    details.style.display = index >= 0 ? 'block' : 'none';
    if (index < 0) return;
    const left = Math.min(event.clientX + 14, window.innerWidth - details.offsetWidth - 8);
    const below = event.clientY + 18, fits = below + details.offsetHeight < window.innerHeight;
    details.style.left = Math.max(left, 8) + 'px';
    details.style.top = (fits ? below : event.clientY - details.offsetHeight - 10) + 'px';
  });
  canvas.addEventListener('mouseleave', () => { hovered = -1; details.style.display = 'none'; draw(); });
  canvas.addEventListener('click', (event) => { const index = under(event); if (index >= 0) { zoom = index; draw(); } });

  function search(text) {
    const matched = find('matched');
    try { pattern = text ? new RegExp(text, 'i') : null; } catch (error) { pattern = null; matched.textContent = 'not a pattern'; draw(); return; }
    let sum = 0;
    if (pattern) {
      // A match within a match is counted once.
      let end = -1;
      nodes.map((node, index) => [node, index]).filter(([node, index]) => index && pattern.test(names[node[NAME]]))
        .sort(([a], [b]) => a[LEFT] - b[LEFT] || a[DEPTH] - b[DEPTH])
        .forEach(([node]) => { if (node[LEFT] >= end - 1e-9) { sum += node[WIDTH]; end = node[LEFT] + node[WIDTH]; } });
    }
    matched.textContent = pattern ? 'matched ' + (sum * 100).toFixed(1) + '%' : '';
    draw();
  }
  find('search').addEventListener('input', (event) => search(event.target.value));

  function reset() { zoom = 0; find('search').value = ''; search(''); }
  find('reset').addEventListener('click', reset);
  find('flip').addEventListener('click', (event) => {
    flipped = !flipped;
    event.currentTarget.setAttribute('aria-pressed', flipped);
    draw();
  });

  // By function: in itself, and in all that it called with recursion counted once.
  function functions() {
    const sums = new Map(), open = [];
    for (const node of nodes.slice(1)) {
      while (open.length && open[open.length - 1][DEPTH] >= node[DEPTH]) open.pop();
      const sum = sums.get(node[NAME]) || { name: node[NAME], own: 0, total: 0, before: 0 };
      sums.set(node[NAME], sum);
      sum.own += node[OWN];
      if (!open.some((caller) => caller[NAME] === node[NAME])) { sum.total += node[TOTAL]; sum.before += node[BEFORE]; }
      open.push(node);
    }
    return [...sums.values()];
  }

  let order = 'own';
  function table() {
    const list = functions().sort((a, b) => b[order] - a[order] || b.total - a.total).slice(0, 500);
    const columns = data.compared ? [['total', data.compared[1]], ['before', data.compared[0]]] : [['own', 'itself'], ['total', 'total']];
    const element = (name, text, kind) => { const e = document.createElement(name); e.textContent = text; if (kind) e.className = kind; return e; };
    const grid = document.createElement('table'), head = grid.createTHead().insertRow(), body = grid.createTBody();
    for (const [key, word] of columns) {
      const cell = element('th', word + (key === order ? ' ↓' : ''), 'n');
      cell.addEventListener('click', () => { order = key; table(); });
      head.append(cell);
    }
    head.append(element('th', 'function'));
    for (const item of list) {
      const row = body.insertRow();
      for (const [key] of columns) {
        const whole = key === 'before' ? data.before : data.total;
        row.append(element('td', amount(item[key]) + '  ' + share(item[key], whole), 'n'));
      }
      const name = element('td', names[item.name], 'f');
      name.addEventListener('click', () => {
        const exact = '^' + names[item.name].replace(/[.*+?^${}()|[\]\\]/g, '\\$&') + '$';
        find('search').value = exact;
        search(exact);
        find('table').click();
      });
      row.append(name);
    }
    find('functions').replaceChildren(grid);
  }
  find('table').addEventListener('click', (event) => {
    const shown = canvas.hidden;
    canvas.hidden = !shown;
    find('functions').hidden = shown;
    event.currentTarget.setAttribute('aria-pressed', !shown);
    if (!shown) { order = data.compared ? 'total' : 'own'; table(); } else draw();
  });

  window.addEventListener('keydown', (event) => {
    if (event.key === 'Escape') reset();
    if (event.key === '/' && event.target.tagName !== 'INPUT') { event.preventDefault(); find('search').focus(); }
  });
  window.addEventListener('resize', draw);
  const scheme = window.matchMedia('(prefers-color-scheme: dark)');
  const follow = () => { dark = scheme.matches; draw(); };
  scheme.addEventListener('change', follow);

  find('under').textContent = data.compared
    ? 'red: more in ' + data.compared[1] + counted(data.total) + ', blue: more in ' + data.compared[0] + counted(data.before) + '; each as shares of its own whole'
    : amount(data.total) + ' in all';
  for (const [word, colour] of data.legend) {
    const entry = document.createElement('span'), dot = document.createElement('i');
    dot.style.background = colour;
    entry.append(dot, word);
    find('legend').append(entry);
  }
  follow();
})();
