package config

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// The functions of this file read one kind of value each. Their errors say what
// is wanted and never quote the value: it may have come from a variable.

// text is any text that is not empty.
func text(v scalar) (string, error) {
	switch {
	case v.node.Tag == "!!bool" && !v.expanded():
		return "", errors.New("must be text; put it in quotes if it is meant so")
	case strings.TrimSpace(v.text) == "":
		return "", errors.New("empty; give it a value or remove the key")
	}
	return v.text, nil
}

// optional is a text that may be empty, which means the same as no key.
func optional(v scalar) (string, error) {
	if v.text == "" {
		return "", nil
	}
	return text(v)
}

// bare refuses values in quotes where YAML has a type of its own for them. What
// variables held is always text.
func bare(v scalar, want string) error {
	if v.node.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 && !v.expanded() {
		return fmt.Errorf("must be %s without quotes", want)
	}
	return nil
}

func boolean(v scalar) (bool, error) {
	if err := bare(v, "true or false"); err != nil {
		return false, err
	}
	switch v.text {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, errors.New("must be true or false")
}

// count is a whole number from 1.
func count(v scalar) (int, error) {
	if err := bare(v, "a whole number"); err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(v.text, 10, 31)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return 0, fmt.Errorf("must be at most %d", math.MaxInt32)
	case err != nil:
		return 0, errors.New("must be a whole number")
	case n == 0:
		return 0, errors.New("must be at least 1; 0 would let nothing through")
	}
	return int(n), nil
}

var rateForm = regexp.MustCompile(`^([0-9]{1,9})/(s|min|h)$`)

// perMinute is a rate such as 60/min, in events per minute.
func perMinute(v scalar) (int, error) {
	m := rateForm.FindStringSubmatch(v.text)
	if m == nil {
		return 0, errors.New("must be a rate such as 60/min, 1/s or 600/h")
	}
	n, _ := strconv.Atoi(m[1]) // nine digits
	switch m[2] {
	case "s":
		n *= 60
	case "h":
		if n%60 != 0 {
			return 0, errors.New("is counted by the minute; write a multiple of 60/h")
		}
		n /= 60
	}
	switch {
	case n == 0:
		return 0, errors.New("must be at least 1/min; 0 would let nothing through")
	case n > math.MaxInt32:
		return 0, errors.New("too large")
	}
	return n, nil
}

var sizeForm = regexp.MustCompile(`^([0-9]+) ?([A-Za-z]*)$`)

var sizeUnits = map[string]int64{"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}

// size is a number of bytes from 1, with or without a unit.
func size(v scalar) (int64, error) {
	m := sizeForm.FindStringSubmatch(v.text)
	if m == nil {
		return 0, errors.New("must be a number of bytes such as 1048576, 512KiB, 1MiB or 10GiB")
	}
	unit, ok := sizeUnits[m[2]]
	if !ok {
		return 0, errors.New("unknown unit; there are B, KiB, MiB, GiB and TiB (powers of 1024)")
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	switch {
	case err != nil || n > math.MaxInt64/unit:
		return 0, errors.New("too large")
	case n == 0:
		return 0, errors.New("must be more than 0")
	}
	return n * unit, nil
}

var days = regexp.MustCompile(`^([0-9]{1,6})d`)

// duration is more than 0: Go's units, and d for 24 hours in front of them.
func duration(v scalar) (time.Duration, error) {
	rest, total := v.text, time.Duration(0)
	if m := days.FindStringSubmatch(rest); m != nil {
		n, _ := strconv.Atoi(m[1]) // six digits
		if n > 100*365 {
			return 0, errors.New("longer than a hundred years")
		}
		total = time.Duration(n) * 24 * time.Hour
		rest = rest[len(m[0]):]
	}
	if rest != "" {
		d, err := time.ParseDuration(rest)
		if err != nil || strings.HasPrefix(rest, "+") || strings.HasPrefix(rest, "-") {
			return 0, errors.New("must be a duration with its unit, such as 15s, 500ms, 24h or 7d")
		}
		total += d
	}
	if total <= 0 {
		return 0, errors.New("must be more than 0")
	}
	return total, nil
}

// listen is the address of a listener: host:port or :port.
func listen(v scalar) (string, error) {
	host, port, err := net.SplitHostPort(v.text)
	if err != nil {
		return "", errors.New(`must be host:port or :port, such as ":8080" or 127.0.0.1:9090 (an IPv6 address in brackets and quotes)`)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
		return "", errors.New("the port must be a number from 0 to 65535")
	}
	if _, err := netip.ParseAddr(host); err != nil && host != "" && !hostname.MatchString(host) {
		return "", errors.New("the host must be an IP address or a name")
	}
	return v.text, nil
}

var hostname = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?)*\.?$`)

// sameListener reports whether two valid addresses cannot be listened on at the
// same time.
func sameListener(a, b string) bool {
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	if errA != nil || errB != nil || portA != portB || portA == "0" {
		return false
	}
	return isWildcard(hostA) || isWildcard(hostB) || loopback(hostA) == loopback(hostB)
}

func isWildcard(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "" || err == nil && ip.IsUnspecified()
}

// loopback gives the names of this machine's own address the same spelling.
func loopback(host string) string {
	if host == "127.0.0.1" || host == "::1" {
		return "localhost"
	}
	return strings.ToLower(host)
}

// network is a range of addresses.
func network(v scalar) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(v.text)
	if ip, bad := netip.ParseAddr(v.text); bad == nil {
		return p, fmt.Errorf("must be a network; write %s/%d for this one address", ip.Unmap().WithZone(""), ip.Unmap().BitLen())
	}
	switch {
	case err != nil:
		return p, errors.New(`must be a network such as 10.0.0.0/8 or "::1/128"`)
	case p.Addr().Is4In6():
		return p, errors.New("must be written as an IPv4 network")
	case p != p.Masked():
		return p, fmt.Errorf("has bits beyond its length; write %s", p.Masked())
	}
	return p, nil
}

// basePath is where the streams live: /a or /a/b.
func basePath(v scalar) (string, error) {
	if !pathForm.MatchString(v.text) {
		return "", errors.New("must be a path such as /events: begin with /, not end with it, and have letters, digits, - and _ in between")
	}
	return v.text, nil
}

var pathForm = regexp.MustCompile(`^(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+$`)

// origin is a web origin exactly as browsers send it.
func origin(v scalar) (string, error) {
	if v.text == "*" || v.text == "null" {
		return "", errors.New(`"*" and "null" are not allowed: any page could read a user's rows; name each origin`)
	}
	u, err := url.Parse(v.text)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Host == "", u.User != nil:
		return "", errors.New("must be an origin such as https://app.example.com")
	case strings.HasSuffix(v.text, "/"):
		return "", errors.New("must not end with a slash")
	case strings.Contains(u.Host, "*"):
		return "", errors.New("patterns are not supported; name each origin")
	case u.Host != strings.ToLower(u.Host):
		return "", errors.New("must be in lower case, as browsers send it")
	case u.Scheme+"://"+u.Host != v.text:
		return "", errors.New("must be an origin only: scheme, host and port, without a path")
	case !originHost(u):
		return "", errors.New("the host must be a name in ASCII (punycode) or an IP address, and the port a number")
	case u.Scheme == "https" && u.Port() == "443", u.Scheme == "http" && u.Port() == "80":
		return "", errors.New("must not name the default port: browsers leave it out")
	}
	return v.text, nil
}

func originHost(u *url.URL) bool {
	host := u.Hostname()
	if _, err := netip.ParseAddr(host); err != nil && !hostname.MatchString(host) {
		return false
	}
	if u.Port() == "" {
		return !strings.HasSuffix(u.Host, ":")
	}
	n, err := strconv.ParseUint(u.Port(), 10, 16)
	return err == nil && n > 0
}

// upstream is the URL of the application; empty for none.
func upstream(v scalar) (*url.URL, error) {
	if v.text == "" {
		return nil, nil
	}
	u, err := url.Parse(v.text)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		return nil, errors.New("must be a URL such as http://localhost:3000")
	case u.User != nil:
		return nil, errors.New("must not hold a user or a password")
	case !originHost(u):
		return nil, errors.New("the host must be a name or an IP address, and the port a number")
	case u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
		return nil, errors.New("must not have a query or a fragment")
	}
	return u, nil
}

var slotForm = regexp.MustCompile(`^[a-z0-9_]{1,63}$`)

// slot is the name of a replication slot.
func slot(v scalar) (string, error) {
	if !slotForm.MatchString(v.text) {
		return "", errors.New("must have 1 to 63 of a-z, 0-9 and _, as Postgres wants it of slots")
	}
	return v.text, nil
}

// publication is the name of a publication.
func publication(v scalar) (string, error) {
	s, err := text(v)
	switch {
	case err != nil:
		return "", err
	case len(s) > 63:
		return "", errors.New("must have at most 63 bytes, as Postgres wants it of names")
	case strings.ContainsRune(s, 0):
		return "", errors.New("must not hold a NUL character")
	}
	return s, nil
}
