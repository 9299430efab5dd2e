const svg = (name, attributes) => {
  const e = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes || {})) e.setAttribute(key, value);
  return e;
};

/** How long a courier takes to get where its row says, in ms. */
const walk = matchMedia('(prefers-reduced-motion: reduce)').matches ? 0 : 900;

/** TownMap shows where the couriers are and to whom they go. */
export class TownMap {
  constructor(root, tables) {
    this.tables = tables;
    this.couriers = root.querySelector('#couriers');
    this.homes = root.querySelector('#homes');
    this.ways = root.querySelector('#ways');
    this.markers = new Map();
    this.moving = false;
  }

  /** Shows what the tables hold now. */
  draw() {
    for (const [id, marker] of this.markers) {
      if (this.tables.couriers.has(id)) continue;
      marker.element.remove();
      this.markers.delete(id);
    }
    for (const courier of this.tables.couriers.values()) this.#aim(courier);
    this.#drawHomes();
    if (this.moving) return;
    this.moving = true;
    this.#move(performance.now());
  }

  /** Sends a courier's marker to the place that its row names. */
  #aim(courier) {
    let marker = this.markers.get(courier.id);
    if (!marker) {
      const element = svg('g', { class: 'courier' });
      element.append(svg('circle', { r: 26 }), svg('text', { dy: 9 }));
      this.couriers.append(element);
      marker = { element, at: courier, from: courier, to: courier, start: 0 };
      this.markers.set(courier.id, marker);
    }
    marker.element.querySelector('text').textContent = courier.name[0];
    if (marker.to.x === courier.x && marker.to.y === courier.y) return;
    Object.assign(marker, { from: marker.at, to: courier, start: performance.now() });
  }

  /** One frame after the other until everybody is where they belong. */
  #move(now) {
    let moving = false;
    for (const marker of this.markers.values()) {
      const done = walk ? Math.min(1, Math.max(0, (now - marker.start) / walk)) : 1;
      const eased = done * done * (3 - 2 * done);
      const between = (a, b) => a + (b - a) * eased;
      marker.at = { x: between(marker.from.x, marker.to.x), y: between(marker.from.y, marker.to.y) };
      marker.element.setAttribute('transform', `translate(${marker.at.x.toFixed(1)} ${marker.at.y.toFixed(1)})`);
      if (done < 1) moving = true;
    }
    this.#drawWays();
    this.moving = moving;
    if (moving) requestAnimationFrame((time) => this.#move(time));
  }

  /** The open orders, with the customer's row and the courier's marker if there is one. */
  * #errands() {
    for (const order of this.tables.orders.values()) {
      const home = this.tables.customers.get(order.customer_id);
      if (!home || order.status === 'delivered' || order.status === 'cancelled') continue;
      yield { home, marker: order.status === 'on_the_way' ? this.markers.get(order.courier_id) : undefined };
    }
  }

  #drawHomes() {
    const homes = [], busy = new Set();
    for (const { home, marker } of this.#errands()) {
      if (marker) busy.add(marker);
      homes.push(svg('circle', { cx: home.x, cy: home.y, r: marker ? 14 : 9, class: marker ? 'next' : '' }));
    }
    this.homes.replaceChildren(...homes);
    for (const marker of this.markers.values()) marker.element.classList.toggle('busy', busy.has(marker));
  }

  #drawWays() {
    const ways = [];
    for (const { home, marker } of this.#errands()) {
      if (marker) ways.push(svg('line', { x1: marker.at.x, y1: marker.at.y, x2: home.x, y2: home.y }));
    }
    this.ways.replaceChildren(...ways);
  }
}
