package demo

import (
	"bufio"
	"io"
	"strings"
)

// readKeys gives the lines of r, without space and in lower case. At its end, and
// for a nil reader, nothing more comes.
func readKeys(r io.Reader) <-chan string {
	if r == nil {
		return nil
	}
	// One line may wait, so that the goroutine ends with the line that comes after
	// the demo, instead of keeping it.
	keys := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(r)
		for lines.Scan() {
			keys <- strings.ToLower(strings.TrimSpace(lines.Text()))
		}
	}()
	return keys
}
