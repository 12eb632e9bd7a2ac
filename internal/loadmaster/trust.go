package loadmaster

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"tandem/internal/pair"
)

// trust says how a unit's certificate is verified. Exactly one of these holds:
//
//   - pin: the leaf is the certificate with this SHA-256, whatever it says of
//     itself and whenever it ends. A pin beats a CA file.
//   - caFile: the leaf is in the file itself, which is a pin too; or a
//     certificate of the file has signed it and it names the unit, by address
//     or by VM name. Units' certificates rarely carry the address
//     (loadmaster.md 1.2), but without a name every other server that the same
//     authority has signed for could take the unit's place and its API key.
//   - neither: the system's roots and the unit's address, as for any web site.
type trust struct {
	address netip.Addr
	vm      string
	pin     string
	caFile  string
}

// distrust is why a certificate was not accepted.
type distrust struct{ why string }

func (d *distrust) Error() string { return d.why }

// config returns the TLS settings for the trust. InsecureSkipVerify turns off
// only what VerifyConnection beside it does instead.
func (t trust) config(readFile func(string) ([]byte, error)) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	switch {
	case t.pin != "":
		want, err := parsePin(t.pin)
		if err != nil {
			return nil, err
		}
		config.InsecureSkipVerify = true
		config.VerifyConnection = func(s tls.ConnectionState) error { return verifyPin(s, want) }
	case t.caFile != "":
		config.InsecureSkipVerify = true
		config.VerifyConnection = func(s tls.ConnectionState) error { return t.verifyCA(s, readFile) }
	}
	return config, nil
}

// parsePin reads a SHA-256 in hexadecimal digits of either case, with or
// without colons.
func parsePin(text string) ([sha256.Size]byte, error) {
	b, err := hex.DecodeString(strings.ReplaceAll(text, ":", ""))
	if err != nil || len(b) != sha256.Size {
		return [sha256.Size]byte{}, fmt.Errorf("certificate pin %q: expected a SHA-256, 64 hexadecimal digits: %w", text, pair.ErrInvalid)
	}
	return [sha256.Size]byte(b), nil
}

func verifyPin(s tls.ConnectionState, want [sha256.Size]byte) error {
	if len(s.PeerCertificates) == 0 {
		return &distrust{"the unit showed no certificate"}
	}
	got := sha256.Sum256(s.PeerCertificates[0].Raw)
	if subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
		return &distrust{fmt.Sprintf("the certificate has SHA-256 %x, expected the pinned %x", got, want)}
	}
	return nil
}

func (t trust) verifyCA(s tls.ConnectionState, readFile func(string) ([]byte, error)) error {
	if len(s.PeerCertificates) == 0 {
		return &distrust{"the unit showed no certificate"}
	}
	leaf := s.PeerCertificates[0]
	trusted, err := readCertificates(t.caFile, readFile)
	if err != nil {
		return &distrust{err.Error()}
	}
	roots := x509.NewCertPool()
	for _, cert := range trusted {
		if bytes.Equal(cert.Raw, leaf.Raw) {
			return nil
		}
		roots.AddCert(cert)
	}
	between := x509.NewCertPool()
	for _, cert := range s.PeerCertificates[1:] {
		between.AddCert(cert)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between}); err != nil {
		return &distrust{fmt.Sprintf("the certificate is not signed by one of %s: %v", t.caFile, err)}
	}
	if !t.names(leaf) {
		return &distrust{fmt.Sprintf("the certificate is for %s, expected %s or %q among its names; "+
			"pin it, or put the certificate itself into %s", names(leaf), t.address, t.vm, t.caFile)}
	}
	return nil
}

// names reports whether the certificate names the unit. Wildcards do not: they
// name many.
func (t trust) names(leaf *x509.Certificate) bool {
	for _, ip := range leaf.IPAddresses {
		if a, ok := netip.AddrFromSlice(ip); ok && a.Unmap() == t.address {
			return true
		}
	}
	return t.vm != "" && slices.ContainsFunc(leaf.DNSNames, func(name string) bool { return strings.EqualFold(name, t.vm) })
}

func names(leaf *x509.Certificate) string {
	all := slices.Clone(leaf.DNSNames)
	for _, ip := range leaf.IPAddresses {
		all = append(all, ip.String())
	}
	if len(all) == 0 {
		return "nobody"
	}
	return strings.Join(all, ", ")
}

func readCertificates(file string, readFile func(string) ([]byte, error)) ([]*x509.Certificate, error) {
	rest, err := readFile(file)
	if err != nil {
		return nil, fmt.Errorf("read CA file: %w", err)
	}
	var certs []*x509.Certificate
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("read CA file %s: %w", file, err)
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, fmt.Errorf("read CA file %s: expected PEM certificates, found none", file)
	}
	return certs, nil
}
