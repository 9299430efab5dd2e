import { ago, el, finished, money, statusNames, steps } from './format.js';

/** What the button of an order does next. */
const nextStep = { placed: 'Mark paid', paid: 'Pack', packed: 'Send out', on_the_way: 'Hand over' };

/**
 * OrderList shows orders, the newest first, one element per order that stays the same
 * element while its row changes.
 */
export class OrderList {
  /** act(method, path) sends what a button does; now() is the database's clock. */
  constructor(list, empty, tables, act, now) {
    Object.assign(this, { list, empty, tables, act, now });
    this.items = new Map();
    this.leaving = new Set();
  }

  /** Shows all rows anew, without highlights. */
  reload() {
    this.list.replaceChildren();
    this.items.clear();
    for (const id of [...this.tables.orders.keys()].sort((a, b) => b - a)) {
      const item = this.#make(id);
      this.items.set(id, item);
      this.list.append(item);
      this.#fill(item);
    }
    this.#count();
  }

  /** Shows a change that was applied to the tables. */
  show(id, { before, after }) {
    let item = this.items.get(id);
    if (!after) {
      if (item) this.#leave(id, item);
    } else if (item) {
      this.#fill(item, before);
      flash(item, 'changed');
    } else {
      item = this.#make(id);
      this.items.set(id, item);
      this.list.insertBefore(item, this.#following(id));
      this.#fill(item);
      flash(item, 'arrived');
    }
    this.#count();
  }

  /** Shows again what depends on other tables or on the time. */
  refresh() {
    for (const [id, item] of this.items) {
      const order = this.tables.orders.get(id);
      if (!order) continue;
      item.parts.placed.textContent = ago(this.now() - Date.parse(order.placed_at));
      this.#customer(item, order);
    }
  }

  #count() { this.empty.hidden = this.items.size > 0; }

  #following(id) {
    for (const element of this.list.children) if (Number(element.dataset.id) < id) return element;
    return null;
  }

  #make(id) {
    const item = el('li', 'order');
    item.dataset.id = id;
    const parts = {
      id: el('span', 'id', `#${id}`), customer: el('span', 'customer'), items: el('span', 'items'),
      total: el('span', 'total num'), status: el('span', 'status'), placed: el('span', 'placed num'), buttons: el('span', 'buttons'),
    };
    parts.name = el('b'); parts.street = el('small');
    parts.customer.append(parts.name, parts.street);
    parts.pill = el('span', 'pill');
    parts.bar = el('span', 'bar');
    for (let i = 0; i < steps.length; i++) parts.bar.append(el('i'));
    parts.status.append(parts.pill, parts.bar);
    parts.next = el('button', 'next'); parts.next.type = 'button';
    parts.stop = el('button', 'stop', '×'); parts.stop.type = 'button';
    parts.next.addEventListener('click', () => this.act('POST', `/orders/${id}/advance`));
    parts.stop.addEventListener('click', () => {
      const order = this.tables.orders.get(id);
      if (order && finished(order)) this.act('DELETE', `/orders/${id}`);
      else this.act('POST', `/orders/${id}/cancel`);
    });
    parts.buttons.append(parts.next, parts.stop);
    item.append(parts.id, parts.customer, parts.items, parts.total, parts.status, parts.placed, parts.buttons);
    item.parts = parts;
    return item;
  }

  #fill(item, before) {
    const order = this.tables.orders.get(Number(item.dataset.id));
    const { parts } = item;
    this.#customer(item, order);
    parts.items.textContent = order.items.join(', ');
    parts.items.title = parts.items.textContent;
    parts.total.textContent = money(order.total);
    parts.placed.textContent = ago(this.now() - Date.parse(order.placed_at));
    parts.pill.textContent = statusNames[order.status];
    if (before && before.status !== order.status) flash(parts.pill, 'changed');
    item.dataset.status = order.status;
    const done = steps.indexOf(order.status);
    [...parts.bar.children].forEach((segment, i) => segment.classList.toggle('on', i <= done));
    parts.next.hidden = finished(order);
    parts.next.textContent = nextStep[order.status] || '';
    parts.stop.title = finished(order) ? 'Remove' : 'Cancel';
    parts.stop.setAttribute('aria-label', `${parts.stop.title} order ${order.id}`);
  }

  #customer(item, order) {
    const customer = this.tables.customers.get(order.customer_id);
    item.parts.name.textContent = customer ? customer.name : `customer ${order.customer_id}`;
    item.parts.street.textContent = customer ? `${customer.street} · ${customer.points} pts` : '';
  }

  #leave(id, item) {
    this.items.delete(id);
    item.classList.add('leaving');
    setTimeout(() => item.remove(), 450);
  }
}

/** Plays the animation of a class from its beginning. */
export function flash(element, name) {
  element.classList.remove('arrived', 'changed');
  void element.offsetWidth; // the browser must see it gone
  element.classList.add(name);
}
