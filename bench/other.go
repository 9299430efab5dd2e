//go:build !linux

package main

import "errors"

var errLinux = errors.New("bench needs Linux: epoll, and the CPU clocks and memory figures of other processes")

func cpuSeconds(int) (float64, error) { return 0, errLinux }

func peakRSS(int) (int64, error) { return 0, errLinux }

var onLinux []measurement

var peersOnLinux []measurement

func serveFloor(string, int) error { return errLinux }
