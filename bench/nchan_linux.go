package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// errNotInstalled says that a peer is not there to be compared with.
var errNotInstalled = errors.New("not installed")

// nchanModules are the places of the module in Debian and elsewhere.
var nchanModules = []string{"/usr/lib/nginx/modules/ngx_nchan_module.so", "/usr/lib64/nginx/modules/ngx_nchan_module.so", "/usr/local/lib/nginx/modules/ngx_nchan_module.so"}

// nchanConf has one worker, as the server has one CPU, and keeps messages in memory. Clients that
// are new get what comes, those that come back with an id what they missed. There are more
// worker_connections than files: near their end nginx closes connections that others wait for.
const nchanConf = `load_module %[1]s;
daemon off;
%[2]s
worker_processes 1;
worker_rlimit_nofile %[3]d;
pid %[4]s/nginx.pid;
error_log stderr warn;
events { worker_connections %[6]d; use epoll; }
http {
    access_log off;
    client_body_temp_path %[4]s/body;
    proxy_temp_path %[4]s/proxy;
    fastcgi_temp_path %[4]s/fastcgi;
    uwsgi_temp_path %[4]s/uwsgi;
    scgi_temp_path %[4]s/scgi;
    keepalive_requests 1000000000;
    server {
        listen %[5]s backlog=4096;
        location = /events {
            nchan_subscriber eventsource;
            nchan_channel_id bench;
            nchan_subscriber_first_message newest;
        }
        location = /publish {
            nchan_publisher;
            nchan_channel_id bench;
            nchan_message_buffer_length 1000;
            nchan_message_timeout 10m;
        }
    }
}
`

// findNchan gives nginx and the module, or errNotInstalled.
func findNchan() (nginx, module string, err error) {
	if nginx, err = exec.LookPath("nginx"); err != nil {
		if nginx, err = exec.LookPath("/usr/sbin/nginx"); err != nil {
			return "", "", fmt.Errorf("nginx is %w (scripts/deps nginx installs it with nchan)", errNotInstalled)
		}
	}
	for _, module = range nchanModules {
		if _, err := os.Stat(module); err == nil {
			return nginx, module, nil
		}
	}
	return "", "", fmt.Errorf("nginx's module nchan is %w (scripts/deps nginx installs it)", errNotInstalled)
}

// startNchan starts nginx with nchan.
func (l *lab) startNchan(ctx context.Context, files int) (*peer, error) {
	nginx, module, err := findNchan()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(l.dir, "nchan")
	if err != nil {
		return nil, err
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	user := ""
	if os.Getuid() == 0 {
		user = "user root;" // the directory is ours
	}
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, fmt.Appendf(nil, nchanConf, module, user, files, dir, addr, 2*files), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, nginx, "-p", dir, "-c", file, "-e", "stderr")
	return startHub(ctx, "nchan", addr, cmd)
}

// startFloor starts this program as the floor.
func (l *lab) startFloor(ctx context.Context) (*peer, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, program, floorCommand, addr)
	if _, err := cmd.StdinPipe(); err != nil { // it ends with us, however we end
		return nil, err
	}
	return startHub(ctx, "floor", addr, cmd)
}

// startHub starts a server that is published to over HTTP, and connects its publisher.
func startHub(ctx context.Context, name, addr string, cmd *exec.Cmd) (*peer, error) {
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // nginx ends its worker then
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	dead := make(chan struct{})
	go func() { defer close(dead); _ = cmd.Wait() }() // ended by a signal, or said tells why
	end := func() (string, error) {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
		killed := time.AfterFunc(cmd.WaitDelay, func() { _ = cmd.Process.Kill() })
		defer killed.Stop()
		<-dead
		return said.String(), nil
	}
	publisher, err := dialHub(ctx, dead, addr)
	if err != nil {
		said, _ := end()
		return nil, fmt.Errorf("start %s: %w; it said: %s", name, err, said)
	}
	return &peer{name: name, addr: addr, pid: cmd.Process.Pid, publisher: publisher, end: end,
		client: func() *client {
			return &client{dialect: dialect{path: "/events", position: hubPosition}, channel: name, prefix: []byte(hubPrefix)}
		}}, nil
}

// dialHub connects a publisher as soon as the server listens.
func dialHub(ctx context.Context, dead <-chan struct{}, addr string) (*hubPublisher, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		p, err := newHubPublisher(ctx, addr, "/publish")
		if err == nil {
			return p, nil
		}
		select {
		case <-dead:
			return nil, errors.New("it has ended")
		case <-ctx.Done():
			return nil, err
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// hubPosition reads ids such as 12, and 1700000000:3 of nchan: the third message of a second.
func hubPosition(id []byte) (position, error) {
	major, n := number(id, 10)
	if n == 0 {
		return position{}, fmt.Errorf("id %q is not of the form 12 or 12:3", id)
	}
	if n == len(id) {
		return position{commit: uint64(major)}, nil
	}
	minor, m := number(id[n+1:], 10)
	if id[n] != ':' || m == 0 || n+1+m < len(id) {
		return position{}, fmt.Errorf("id %q is not of the form 12 or 12:3", id)
	}
	return position{uint64(major), uint64(minor)}, nil
}
