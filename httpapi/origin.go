package httpapi

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"
)

// origins decides which pages may read: those of the same origin and those on an
// exact list. Immutable.
type origins struct {
	allowed []string
	proxies proxies
}

// checkOrigin says what is wrong with an entry of allowed_origins.
func checkOrigin(origin string) error {
	switch origin {
	case "*":
		return fmt.Errorf("* would let every page read with the user's cookies; name the origins")
	case "null":
		return fmt.Errorf("null is the origin of any sandboxed page; name the origins")
	}
	u, err := url.Parse(origin)
	if err != nil || u.Scheme == "" || u.Host == "" || u.Scheme+"://"+u.Host != origin || strings.ToLower(origin) != origin || strings.Contains(origin, "*") {
		return fmt.Errorf("%q is not an origin; write scheme://host[:port] in lower case without a trailing /, for example https://app.example.com", origin)
	}
	return nil
}

// admit decides about a request and sets the CORS headers of its answer, whatever
// that will be. A refused origin gets none.
func (o *origins) admit(r *http.Request, h http.Header) error {
	h.Set("Vary", "Origin, Cookie, Authorization")
	origin := r.Header.Get("Origin")
	listed := origin != "" && slices.Contains(o.allowed, origin)
	if !listed && !o.sameOrigin(r) {
		return refuse(http.StatusForbidden, "origin_refused",
			"pages of another origin may not read here; add the page's origin to http.allowed_origins or serve both from one origin")
	}
	if listed {
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Allow-Credentials", "true")
		h.Set("Access-Control-Expose-Headers", "Retry-After")
	}
	return nil
}

// sameOrigin reports whether the browser says that the request is not a foreign
// page's, or whether no browser says anything. Sec-Fetch-Site cannot be set by a
// page; it is absent in old browsers, on plain HTTP, and outside browsers. Then a
// same-origin GET has no Origin header at all. The origin null is nobody's own.
func (o *origins) sameOrigin(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none":
		return origin != "null"
	case "":
		return origin == "" || origin == o.own(r)
	}
	return false
}

// own is the origin under which the client reached us.
func (o *origins) own(r *http.Request) string {
	scheme, host := o.reached(r)
	defaultPort := map[string]string{"http": ":80", "https": ":443"}[scheme]
	return scheme + "://" + strings.TrimSuffix(host, defaultPort)
}

// reached is how the client's browser reached us: http or https, and a host, in lower case. Only
// proxies that are trusted can say so; what is neither is not believed.
func (o *origins) reached(r *http.Request) (scheme, host string) {
	scheme, host = "http", strings.ToLower(r.Host)
	if r.TLS != nil {
		scheme = "https"
	}
	if !o.proxies.trust(r.RemoteAddr) {
		return scheme, host
	}
	if said := forwarded(r.Header, "X-Forwarded-Proto"); said == "http" || said == "https" {
		scheme = said
	}
	if said := forwarded(r.Header, "X-Forwarded-Host"); isHost(said) {
		host = said
	}
	return scheme, host
}

// forwarded is what the first proxy of a chain said, in lower case.
func forwarded(h http.Header, name string) string {
	first, _, _ := strings.Cut(h.Get(name), ",")
	return strings.ToLower(strings.TrimSpace(first))
}

// isHost reports whether text, in lower case, can be a host with or without a port.
func isHost(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < '0' || c > '9') && !strings.ContainsRune("-._~:[]", c)
	})
}

// preflight answers OPTIONS for clients that use fetch. The origin was admitted.
func preflight(r *http.Request, h http.Header) {
	h.Set("Allow", allowedMethods)
	if h.Get("Access-Control-Allow-Origin") == "" || r.Header.Get("Access-Control-Request-Method") == "" {
		return
	}
	h.Set("Access-Control-Allow-Methods", http.MethodGet)
	h.Set("Access-Control-Allow-Headers", "authorization, last-event-id")
	h.Set("Access-Control-Max-Age", "600")
}

// proxies are the peers whose forwarding headers are believed.
type proxies []netip.Prefix

// trust reports whether the peer of a connection is one of them.
func (p proxies) trust(remoteAddr string) bool {
	peer, err := netip.ParseAddrPort(remoteAddr)
	if err != nil {
		return false
	}
	addr := peer.Addr().Unmap().WithZone("")
	return slices.ContainsFunc(p, func(n netip.Prefix) bool { return n.Contains(addr) })
}

// extractIP finds the client's address: the rightmost one of X-Forwarded-For that is
// not a proxy's when the peer is one, else the peer's.
func (p proxies) extractIP() echo.IPExtractor {
	trust := []echo.TrustOption{echo.TrustLoopback(false), echo.TrustLinkLocal(false), echo.TrustPrivateNet(false)}
	for _, n := range p {
		n = n.Masked()
		trust = append(trust, echo.TrustIPRange(&net.IPNet{
			IP: n.Addr().AsSlice(), Mask: net.CIDRMask(n.Bits(), n.Addr().BitLen()),
		}))
	}
	return echo.ExtractIPFromXFFHeader(trust...)
}
