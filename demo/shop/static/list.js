import { EventLog } from './log.js';
import { el } from './format.js';

const $ = (id) => document.getElementById(id);
const log = new EventLog($('log'), $('log-count'));

/** The rows of the user, by id. They come from the stream alone. */
const items = new Map();

// The stream. The browser sends the shop's session cookie with it, and nothing else is
// needed to get the user's own rows, and no others.

let events = null;

function follow() {
  events?.close();
  show('connecting', 'connecting…');
  events = new EventSource('/events/list');
  events.addEventListener('ready', () => {
    // Let in again after its session had ended, with a new one: begin anew, with all rows.
    if (document.body.dataset.state === 'out') follow();
    else enter();
  });
  events.addEventListener('snapshot', (e) => {
    const { rows, first } = JSON.parse(e.data);
    if (first) items.clear();
    for (const row of rows) items.set(row.id, row);
    draw();
  });
  for (const op of ['insert', 'update', 'delete']) events.addEventListener(op, change);
  events.addEventListener('end', (e) => {
    // The session is over, and what is on the screen was its user's. The browser asks
    // once more: with a new cookie it is let in again, else the answer is 401.
    if (JSON.parse(e.data).reason === 'signed_out') leave();
  });
  events.addEventListener('error', () => {
    if (events.readyState === EventSource.CLOSED) leave(); // 401: it does not ask again
    else if (document.body.dataset.state === 'live') show('lost', 'connection lost, waiting…');
  });
}

function change(e) {
  const event = JSON.parse(e.data);
  const before = items.get(event.key.id);
  if (event.row) items.set(event.key.id, event.row);
  else items.delete(event.key.id);
  log.event(event, e.lastEventId, { before, after: event.row });
  draw();
}

// Signed in and out.

let askedAt = 0;

async function enter() {
  const response = await fetch('/api/me', { cache: 'no-store' });
  if (!response.ok) return; // the stream will say so, too
  $('whose').textContent = `${(await response.json()).name}’s shopping list`;
  show('live', 'live');
}

function leave() {
  if (document.body.dataset.state === 'out') return;
  const after = askedAt ? `, ${Math.round(performance.now() - askedAt)} ms after the click` : '';
  const told = document.body.dataset.state !== 'connecting';
  askedAt = 0;
  items.clear();
  log.clear();
  draw();
  $('whose').textContent = 'Shopping list';
  if (told) show('out', `signed out: the stream has ended${after}`, 'ended');
  else show('out', 'not signed in');
}

function show(state, text, line = state) {
  document.body.dataset.state = state;
  $('line').dataset.state = line;
  $('line-text').textContent = text;
}

async function login(name, password) {
  const answer = await post('/login', { name, password });
  if (answer) follow();
}

async function logout(everywhere) {
  askedAt = performance.now();
  if (!await post('/logout', { everywhere })) askedAt = 0;
  // That is all: the row is deleted, and the stream ends, in every tab of this session.
}

async function post(path, fields, method = 'POST') {
  try {
    const body = fields && new URLSearchParams(fields);
    const response = await fetch(path, { method, body });
    const answer = await response.json();
    if (response.ok) return answer;
    toast(answer.error);
  } catch {
    toast('The shop does not answer just now.');
  }
  return null;
}

// Everything else on the page.

function draw() {
  $('items').replaceChildren(...[...items.values()].sort((a, b) => a.id - b.id).map((row) => {
    const line = el('li', row.done ? 'done' : '');
    line.dataset.id = row.id;
    const tick = el('button', 'tick', row.item);
    tick.addEventListener('click', () => post(`/list/${row.id}/toggle`));
    const remove = el('button', 'stop', '×');
    remove.setAttribute('aria-label', `Remove ${row.item}`);
    remove.addEventListener('click', () => post(`/list/${row.id}`, null, 'DELETE'));
    line.append(tick, remove);
    return line;
  }));
  $('empty').hidden = items.size > 0;
}

let toastTimer = 0;
function toast(text) {
  $('toast').textContent = text;
  $('toast').hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { $('toast').hidden = true; }, 4000);
}

$('login').addEventListener('submit', (e) => {
  e.preventDefault();
  const form = new FormData(e.target);
  e.target.reset();
  login(form.get('name'), form.get('password'));
});
for (const button of document.querySelectorAll('[data-name]')) {
  button.addEventListener('click', () => login(button.dataset.name, button.dataset.password));
}
$('add').addEventListener('submit', (e) => {
  e.preventDefault();
  post('/list', { item: new FormData(e.target).get('item') });
  e.target.reset();
});
$('logout').addEventListener('click', () => logout(false));
$('everywhere').addEventListener('click', () => logout(true));

// A second name of this machine: browsers keep cookies by name.
const beside = new URL(location.href);
beside.hostname = location.hostname === 'localhost' ? '127.0.0.1' : 'localhost';
$('beside').href = beside.href;
$('beside').textContent = beside.host;

follow();
