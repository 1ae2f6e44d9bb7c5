
(function () {
  var holder = document.getElementById('frames');
  var left = +holder.dataset.left, width = +holder.dataset.width, letter = +holder.dataset.letter;
  var frames = Array.prototype.map.call(holder.children, function (g) {
    return {
      g: g, l: +g.dataset.l, w: +g.dataset.w, d: +g.dataset.d,
      rect: g.querySelector('rect'), text: g.querySelector('text'),
      title: g.querySelector('title').textContent
    };
  });
  var reset = document.getElementById('reset'), search = document.getElementById('search');
  var details = document.getElementById('details'), matched = document.getElementById('matched');
  var epsilon = 1e-7;

  function name(f) { return f.title.replace(/ \([^()]*\)$/, ''); }

  function show(to) {
    frames.forEach(function (f) {
      var inside = f.l >= to.l - epsilon && f.l + f.w <= to.l + to.w + epsilon && f.d >= to.d;
      var around = f.d < to.d && f.l <= to.l + epsilon && f.l + f.w >= to.l + to.w - epsilon;
      if (!inside && !around) { f.g.setAttribute('display', 'none'); return; }
      var x = around ? 0 : (f.l - to.l) / to.w, w = around ? 1 : f.w / to.w;
      var pixels = w * width;
      f.g.removeAttribute('display');
      f.g.style.opacity = around ? 0.55 : 1;
      f.rect.setAttribute('x', left + x * width);
      f.rect.setAttribute('width', Math.max(pixels - 0.5, 0.1));
      f.text.setAttribute('x', left + x * width + 3);
      var room = Math.floor((pixels - 6) / letter), text = name(f);
      f.text.textContent = room < 3 ? '' : text.length <= room ? text : text.slice(0, room - 1) + '…';
    });
    reset.setAttribute('display', to.d ? 'inline' : 'none');
  }

  function find() {
    var wanted = window.prompt('Functions whose name matches (a regular expression)', '');
    if (wanted === null) { return; }
    var pattern;
    try { pattern = wanted && new RegExp(wanted, 'i'); } catch (error) { matched.textContent = String(error); return; }
    var hits = [];
    frames.forEach(function (f) {
      var hit = pattern && f.d > 0 && pattern.test(name(f));
      f.g.classList.toggle('m', !!hit);
      if (hit) { hits.push(f); }
    });
    // A match within a match is counted once.
    hits.sort(function (a, b) { return a.l - b.l || a.d - b.d; });
    var sum = 0, end = -1;
    hits.forEach(function (f) { if (f.l >= end - epsilon) { sum += f.w; end = f.l + f.w; } });
    matched.textContent = pattern ? 'matched: ' + (sum * 100).toFixed(1) + '%' : ' ';
  }

  frames.forEach(function (f) {
    f.g.addEventListener('click', function () { show(f); });
    f.g.addEventListener('mouseover', function () { details.textContent = f.title; });
    f.g.addEventListener('mouseout', function () { details.textContent = ' '; });
  });
  reset.addEventListener('click', function () { show(frames[0]); });
  search.setAttribute('display', 'inline');
  search.addEventListener('click', find);
  window.addEventListener('keydown', function (event) {
    if (event.key === 'Escape') { show(frames[0]); }
    if ((event.ctrlKey || event.metaKey) && event.key === 'f') { event.preventDefault(); find(); }
  });
})();
