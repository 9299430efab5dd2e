const svg = (name, attributes) => {
  const e = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes || {})) e.setAttribute(key, value);
  return e;
};

/** Map shows where the couriers are and to whom they go. */
export class TownMap {
  constructor(root, tables) {
    this.tables = tables;
    this.couriers = root.querySelector('#couriers');
    this.homes = root.querySelector('#homes');
    this.ways = root.querySelector('#ways');
    this.markers = new Map();
  }

  /** Shows what the tables hold now. */
  draw() {
    for (const [id, marker] of this.markers) {
      if (this.tables.couriers.has(id)) continue;
      marker.remove();
      this.markers.delete(id);
    }
    for (const courier of this.tables.couriers.values()) this.#courier(courier);
    this.#errands();
  }

  #courier(courier) {
    let marker = this.markers.get(courier.id);
    if (!marker) {
      marker = svg('g', { class: 'courier' });
      marker.append(svg('circle', { r: 26 }), svg('text', { dy: 9 }));
      this.markers.set(courier.id, marker);
      this.couriers.append(marker);
    }
    marker.querySelector('text').textContent = courier.name[0];
    marker.style.transform = `translate(${courier.x}px, ${courier.y}px)`;
  }

  #errands() {
    const ways = [], homes = [];
    const busy = new Set();
    for (const order of this.tables.orders.values()) {
      const home = this.tables.customers.get(order.customer_id);
      if (!home || order.status === 'delivered' || order.status === 'cancelled') continue;
      const courier = order.status === 'on_the_way' && this.tables.couriers.get(order.courier_id);
      if (courier) {
        busy.add(courier.id);
        ways.push(svg('line', { x1: courier.x, y1: courier.y, x2: home.x, y2: home.y }));
      }
      homes.push(svg('circle', { cx: home.x, cy: home.y, r: courier ? 14 : 9, class: courier ? 'next' : '' }));
    }
    for (const [id, marker] of this.markers) marker.classList.toggle('busy', busy.has(id));
    this.ways.replaceChildren(...ways);
    this.homes.replaceChildren(...homes);
  }
}
