/** Texts for people. */

export const statusNames = {
  placed: 'Placed', paid: 'Paid', packed: 'Packed', on_the_way: 'On the way', delivered: 'Delivered', cancelled: 'Cancelled',
};

export const steps = ['placed', 'paid', 'packed', 'on_the_way', 'delivered'];

export const finished = (order) => order.status === 'delivered' || order.status === 'cancelled';

const euros = new Intl.NumberFormat('en-IE', { style: 'currency', currency: 'EUR' });
export const money = (amount) => euros.format(amount);

export const plural = (n, one, many = `${one}s`) => `${n.toLocaleString('en')} ${n === 1 ? one : many}`;

export function ago(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  return `${Math.floor(s / 3600)} h`;
}

export const clock = (date) => date.toLocaleTimeString('en-GB');

/** Makes an element: el('span', 'class', 'text'). */
export function el(name, className, text) {
  const e = document.createElement(name);
  if (className) e.className = className;
  if (text !== undefined) e.textContent = text;
  return e;
}
