create type order_status as enum ('placed', 'paid', 'packed', 'on_the_way', 'delivered', 'cancelled');

-- Places on the map: x from 0 to 999 (west to east), y from 0 to 599 (north to south).
create table customers (
	id     bigint generated always as identity primary key,
	name   text not null,
	street text not null,
	email  text not null unique,
	x      integer not null,
	y      integer not null,
	points integer not null default 0
);

create table couriers (
	id   bigint generated always as identity primary key,
	name text not null,
	x    integer not null,
	y    integer not null
);

create table orders (
	id          bigint generated always as identity (start with 1001) primary key,
	customer_id bigint not null references customers,
	courier_id  bigint references couriers,
	status      order_status not null default 'placed',
	items       text[] not null,
	total       numeric(10,2) not null check (total >= 0),
	placed_at   timestamptz(3) not null default now(),
	changed_at  timestamptz(3) not null default now()
);

create index on orders (status);

-- A courier carries one order at a time.
create unique index one_order_per_courier on orders (courier_id) where status = 'on_the_way';
