package demo

import (
	"bytes"
	"net"
	"strings"
	"testing"
)

func TestChooseAddresses(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	free, err := freeAddress(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(free)

	a, err := chooseAddresses(t.Context(), free, &screen{out: new(bytes.Buffer)})
	if err != nil || a.public != free || a.page != "localhost:"+port || a.shop == a.admin {
		t.Errorf("free address: %+v, %v", a, err)
	}
	_, err = chooseAddresses(t.Context(), taken.Addr().String(), &screen{out: new(bytes.Buffer)})
	if err == nil || !strings.Contains(err.Error(), "address already in use") || !strings.Contains(err.Error(), "--listen") {
		t.Errorf("taken address: %v", err)
	}
}

// TestDefaultPortTaken takes :8080, unless somebody else has it, which is as good.
func TestDefaultPortTaken(t *testing.T) {
	if taken, err := net.Listen("tcp", defaultListen); err == nil {
		defer taken.Close()
	}
	var said bytes.Buffer
	a, err := chooseAddresses(t.Context(), "", &screen{out: &said})
	if err != nil {
		t.Fatal(err)
	}
	if a.public == defaultListen || !strings.Contains(said.String(), "port 8080 is taken, so this is on port "+a.public[1:]) {
		t.Errorf("chose %+v and said %q", a, said.String())
	}
}
