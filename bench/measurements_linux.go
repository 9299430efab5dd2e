package main

// onLinux are the measurements with clients on epoll.
var onLinux = []measurement{
	{"storm", true, nil, (*lab).storm},
	{"soak", false, &soaking, soaking.run},
	{"idle", false, &idling, idling.run},
	{"slow", false, &slowing, slowing.run},
	{"usershttp", false, &crowding, crowding.run},
}
