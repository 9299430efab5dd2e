insert into customers (name, street, email, x, y) values
	('Mara Lindqvist', '12 Harbour Row',   'mara@example.com',   128, 112),
	('Jonas Weber',    '3 Mill Lane',      'jonas@example.com',  842,  96),
	('Amina Diallo',   '27 Orchard Street','amina@example.com',  232, 452),
	('Tomás Rivera',   '8 Castle Hill',    'tomas@example.com',  676, 168),
	('Priya Nair',     '41 Station Road',  'priya@example.com',  878, 316),
	('Chloé Martin',   '5 Chapel Yard',    'chloe@example.com',  356, 120),
	('Kenji Satō',     '19 Willow Walk',   'kenji@example.com',  724, 500),
	('Nora Haugen',    '2 Quay Side',      'nora@example.com',   126, 306),
	('Luca Bianchi',   '33 Market Cross',  'luca@example.com',   572, 436),
	('Zofia Nowak',    '14 Linden Avenue', 'zofia@example.com',  872, 520),
	('Samuel Okafor',  '7 Weaver''s Court','samuel@example.com', 424, 540),
	('Elif Demir',     '22 Garden Terrace','elif@example.com',   264, 232),
	('Ines Carvalho',  '9 Bridge End',     'ines@example.com',   128, 508),
	('Olli Virtanen',  '30 North Gate',    'olli@example.com',   540,  64);

insert into couriers (name, x, y) values ('Bea', 250, 176), ('Finn', 671, 198), ('Yusuf', 500, 300);

insert into orders (customer_id, courier_id, status, items, total, placed_at, changed_at)
select c.id, (select id from couriers where name = v.courier), v.status::order_status, v.items, v.total,
	now() - make_interval(secs => v.age), now() - make_interval(secs => v.age / 2)
from (values
	('Mara Lindqvist', 'Bea',  'on_the_way', array['2 × figs', '1 × sourdough'],             14.80, 312),
	('Jonas Weber',    'Finn', 'on_the_way', array['1 × burrata', '3 × tomatoes'],           16.70, 288),
	('Amina Diallo',   null,   'packed',     array['1 × olives', '2 × lemons', '1 × basil'],  9.90, 251),
	('Tomás Rivera',   null,   'paid',       array['2 × cider', '1 × goat cheese'],          14.60, 214),
	('Priya Nair',     null,   'paid',       array['4 × fennel', '1 × honey'],               14.80, 170),
	('Chloé Martin',   null,   'paid',       array['1 × sourdough', '1 × eggs'],              9.00, 141),
	('Kenji Satō',     null,   'placed',     array['3 × figs', '2 × olives'],                22.20,  96),
	('Nora Haugen',    null,   'placed',     array['2 × tomatoes', '1 × burrata'],           13.30,  58),
	('Luca Bianchi',   null,   'placed',     array['1 × honey', '1 × lemons'],                9.30,  21)
) v (name, courier, status, items, total, age)
join customers c using (name)
order by v.age desc;
