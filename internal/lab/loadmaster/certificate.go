package loadmaster

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"time"

	"tandem/internal/lab/network"
)

// newCertificate makes the self-signed certificate of a unit. All of it,
// even the key, follows from the seed and the generation, so that the pin in
// a pair file is the same in every run; it protects nothing.
func newCertificate(host *network.Host, name string, seed uint64, generation int) (*tls.Certificate, error) {
	key, err := newKey(seed, generation)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(int64(generation) + 1),
		Subject:               pkix.Name{CommonName: name, Organization: []string{"Tandem lab"}},
		DNSNames:              []string{name},
		IPAddresses:           []net.IP{host.Addr().AsSlice()},
		NotBefore:             time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), // virtual time begins in 2000
		NotAfter:              time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	// Without a random source ECDSA signs as RFC 6979 says: always the same.
	der, err := x509.CreateCertificate(nil, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("make certificate of %s: %w", name, err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// newKey derives a P-256 key. Nearly every hash is a valid key; the loop
// passes over the few that are not.
func newKey(seed uint64, generation int) (key *ecdsa.PrivateKey, err error) {
	material := binary.BigEndian.AppendUint64([]byte("tandem lab key"), seed)
	material = binary.BigEndian.AppendUint64(material, uint64(generation))
	for range 16 {
		sum := sha256.Sum256(material)
		if key, err = ecdsa.ParseRawPrivateKey(elliptic.P256(), sum[:]); err == nil {
			return key, nil
		}
		material = sum[:]
	}
	return nil, fmt.Errorf("derive key: %w", err)
}

// tlsConfig presents the certificate of the moment. HTTP/2 is not offered.
func (u *Unit) tlsConfig() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		// An appliance knows no key exchange that outlives quantum computers,
		// which would cost more than all else of a call here.
		CurvePreferences: []tls.CurveID{tls.X25519},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			u.mu.Lock()
			defer u.mu.Unlock()
			return u.certificate, nil
		},
	}
}

// CertificateSHA256 is the SHA-256 of the leaf certificate in lower-case
// hexadecimal, as a pair file pins it.
func (u *Unit) CertificateSHA256() string {
	sum := sha256.Sum256(u.leaf())
	return hex.EncodeToString(sum[:])
}

// CertificatePEM is the leaf certificate, which is its own authority.
func (u *Unit) CertificatePEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: u.leaf()})
}

func (u *Unit) leaf() []byte {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.certificate.Certificate[0]
}

// RotateCertificate replaces certificate and key. New connections get the new
// one.
func (u *Unit) RotateCertificate() {
	u.mu.Lock()
	generation := u.generation + 1
	u.mu.Unlock()
	certificate, err := newCertificate(u.host, u.cfg.Name, u.cfg.Seed, generation)
	if err != nil {
		panic(err) // the same template has worked in New
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.certificate, u.generation = certificate, generation
}
