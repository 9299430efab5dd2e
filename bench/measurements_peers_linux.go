package main

// peersOnLinux are the measurements with other servers beside walrelay.
var peersOnLinux = []measurement{
	{"fanout", true, &fanning, fanning.run},
	{"peerstorm", true, nil, (*lab).peerStorm},
}
