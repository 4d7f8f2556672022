package places

import (
	"net/http"
	"net/netip"
	"strings"
)

// AddressOf returns the address from which a request comes, "" for one that is not counted:
// a loopback or private one, behind which many clients may be. Behind a trusted proxy the
// header X-Forwarded-For names it. An IPv6 address stands for its /64, all of which one
// client may have.
func AddressOf(r *http.Request, trusted []netip.Prefix) string {
	remote, ok := parseAddr(r.RemoteAddr)
	if !ok {
		return "" // a Unix socket
	}
	isTrusted := contains(trusted, remote)
	if isTrusted {
		remote = forwarded(r.Header.Values("X-Forwarded-For"), remote, trusted)
	}
	if !contains(trusted, remote) && (remote.IsLoopback() || remote.IsPrivate() || remote.IsLinkLocalUnicast()) {
		return ""
	}
	if remote.Is4() {
		return remote.String()
	}
	prefix, _ := remote.WithZone("").Prefix(64) // 64 bits fit
	return prefix.String()
}

// forwarded returns the last address that no trusted proxy has: what stands before it, the
// client may have written. It returns the address of the proxy if there is none.
func forwarded(headers []string, proxy netip.Addr, trusted []netip.Prefix) netip.Addr {
	all := strings.Split(strings.Join(headers, ","), ",")
	for i := len(all) - 1; i >= 0; i-- {
		at, ok := parseAddr(strings.TrimSpace(all[i]))
		if !ok {
			return proxy
		}
		if proxy = at; !contains(trusted, at) {
			return at
		}
	}
	return proxy
}

// parseAddr reads an address, with or without a port.
func parseAddr(text string) (netip.Addr, bool) {
	if at, err := netip.ParseAddrPort(text); err == nil {
		return at.Addr().Unmap(), true
	}
	at, err := netip.ParseAddr(strings.Trim(text, "[]"))
	return at.Unmap(), err == nil
}

func contains(all []netip.Prefix, at netip.Addr) bool {
	for _, p := range all {
		if p.Contains(at.WithZone("")) {
			return true
		}
	}
	return false
}
