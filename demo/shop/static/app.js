import { before, parsePosition, shortId } from './position.js';
import { Tables } from './tables.js';
import { Stream } from './stream.js';
import { Step } from './step.js';
import { OrderList } from './orders.js';
import { TownMap } from './map.js';
import { EventLog } from './log.js';
import { Line } from './line.js';
import { Rate } from './rate.js';
import { finished, money, plural } from './format.js';

const $ = (id) => document.getElementById(id);

const tables = new Tables();
/** What the browser's clock is ahead of the database's, in ms. */
let skew = 0;
const now = () => Date.now() - skew;

const log = new EventLog($('log'), $('log-count'));
const line = new Line($('line'), $('line-text'), log);
const list = new OrderList($('orders'), $('empty'), tables, act, now);
const map = new TownMap($('map'), tables);
const rate = new Rate($('tile-events'), $('tile-rate'), $('spark'));

// Rows, then changes.

/** While rows are fetched again: the changes that arrive meanwhile. */
let held = null;
/** The last return of the connection, whose missed events are being counted. */
let resume = null;
/** Where the stream is; changes arrive in the order of commits. */
let position = null;

async function fetchRows() {
  const response = await fetch('/api/rows', { cache: 'no-store' });
  if (!response.ok) throw new Error((await response.json()).error);
  const data = await response.json();
  skew = Date.now() - Date.parse(data.now);
  tables.load(data);
  list.reload();
  showPaused(!data.running);
  drawSoon();
  return data.lsn;
}

/** Fetches until it works. */
async function rowsForSure() {
  for (;;) {
    try {
      return await fetchRows();
    } catch {
      line.unreachable();
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  }
}

const stream = new Stream({
  change(event, id) {
    if (held) held.push([event, id]);
    else apply(event, id);
  },
  reset({ reason }) { fetchAgain(reason); },
  ready({ resumed, again, lostFor, id }) {
    resume = null;
    if (resumed && again) {
      const readyAt = now();
      resume = Object.assign(line.resumed(id, lostFor), { readyAt });
    } else if (resumed) {
      line.live();
    }
    step.now();
  },
  lost() {
    line.lost();
    step.pause();
  },
});

function apply(event, id) {
  const at = parsePosition(id);
  if (position && at && before(at, position)) log.note(`${id} came too late`, 'lost');
  position = at || position;
  const change = tables.apply(event);
  rate.count();
  log.event(event, id, change);
  if (event.channel === 'orders') list.show(event.key.id, change);
  if (resume && Date.parse(event.tx.at) < resume.readyAt) {
    resume.caught++;
    resume.tell();
  }
  drawSoon();
}

/** Resets that come together, one for each channel, are one fetch. */
let resetTimer = 0;
let resetRound = 0;

function fetchAgain(reason) {
  held ??= [];
  position = null;
  const round = ++resetRound;
  clearTimeout(resetTimer);
  resetTimer = setTimeout(async () => {
    const done = line.reset(reason);
    const lsn = parsePosition(await rowsForSure());
    if (round !== resetRound) return; // another reset came meanwhile
    const changes = held;
    held = null;
    for (const [event, id] of changes) {
      const at = parsePosition(id);
      if (!at || !before(at, lsn)) apply(event, id); // the others are in the rows
    }
    done();
    step.now();
  }, 50);
}

// Is the page right?

const passed = (lsn) => position !== null && !before(position, parsePosition(lsn));

const step = new Step(tables, passed, ({ state, answer }) => {
  $('step').dataset.state = state;
  $('step-text').textContent = {
    unknown: () => 'waiting for the connection, then comparing with the database',
    equal: () => `in step with the database ✓ ${holds(answer)}, all rows compared at ${shortId(answer.lsn)}`,
    differs: () => `differs from the database ✗ which has ${holds(answer)}`,
  }[state]();
  if (state === 'equal' && resume && !resume.equal) {
    resume.equal = true;
    resume.tell();
  }
});

const holds = (answer) => [plural(answer.orders.count, 'order'), plural(answer.customers.count, 'customer'),
  plural(answer.couriers.count, 'courier')].join(', ');

// Everything else on the page.

let drawing = false;
function drawSoon() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    draw();
  });
}

function draw() {
  const orders = [...tables.orders.values()];
  const open = orders.filter((order) => !finished(order));
  $('tile-open').textContent = open.length;
  $('tile-pack').textContent = open.filter((order) => order.status === 'paid').length;
  $('tile-way').textContent = open.filter((order) => order.status === 'on_the_way').length;
  $('tile-value').textContent = money(open.reduce((sum, order) => sum + Number(order.total), 0));
  map.draw();
}

setInterval(() => { list.refresh(); rate.tick(); }, 1000);

async function act(method, path) {
  try {
    const response = await fetch(path, { method });
    const answer = await response.json();
    if (!response.ok) toast(answer.error);
    return answer;
  } catch {
    toast('The shop does not answer just now.');
    return {};
  }
}

let toastTimer = 0;
function toast(text) {
  $('toast').textContent = text;
  $('toast').hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { $('toast').hidden = true; }, 4000);
}

let paused = false;
function showPaused(value) {
  paused = value;
  $('pause').textContent = paused ? 'Resume business' : 'Pause business';
}

$('new').addEventListener('click', () => act('POST', '/orders'));
$('rush').addEventListener('click', () => act('POST', '/orders?count=20'));
$('pause').addEventListener('click', async () => {
  const { running } = await act('POST', `/business?run=${paused}`);
  if (running !== undefined) showPaused(!running);
});

line.connecting();
stream.open(await rowsForSure());
