-- Who has a shopping list here. Passwords are "lovelace" and "hopper" (see password.go).
create table users (
	id       bigint generated always as identity primary key,
	name     text not null unique,
	password text not null
);

-- id is what the cookie carries, signed (see session.go). Signing out deletes the row.
create table sessions (
	id         text primary key,
	user_id    bigint not null references users on delete cascade,
	expires_at timestamptz not null
);

create index on sessions (user_id);

-- The key begins with the owner: so the old row in the WAL tells whose it was.
create table list_items (
	user_id bigint not null references users on delete cascade,
	id      bigint generated always as identity,
	item    text not null check (length(item) between 1 and 60),
	done    boolean not null default false,
	primary key (user_id, id)
);

insert into users (name, password) values
	('Ada',   'pbkdf2-sha256$100000$o8XG2Qfx+l3Ze7Tse3+8OQ$qYNqXI50Jc25jBwI3LuXNWv6JwIXRSVxqarFZmw6OLM'),
	('Grace', 'pbkdf2-sha256$100000$bTzHgbEVXyMXU8EKrTvM5A$emDMb45ZN+vJCESiEerSSj2CHVneW6tWMCa6i/UPkQQ');

insert into list_items (user_id, item, done)
select u.id, v.item, v.done
from (values
	(1, 'Ada', 'figs', true), (2, 'Ada', 'honey', false), (3, 'Ada', 'goat cheese', false),
	(4, 'Grace', 'sourdough', true), (5, 'Grace', 'olives', false), (6, 'Grace', 'cider', false)
) v (n, name, item, done)
join users u using (name)
order by v.n;
