package loadmaster

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// certificateCommands are those of certificates and cipher sets (loadmaster.md 3.2).
// No command gives a private key: it leaves a unit in backupcert only.
func certificateCommands() []command {
	return []command{
		{"addcert", writes((*Unit).addCertificate), false},
		{"addintermediate", writes((*Unit).addIntermediate), false},
		{"backupcert", reads((*Unit).backupCertificates), false},
		{"delcert", writes((*Unit).deleteCertificate), false},
		{"delcipherset", writes((*Unit).deleteCipherSet), false},
		{"delintermediate", writes((*Unit).deleteIntermediate), false},
		{"getcipherset", reads((*Unit).showCipherSet), true},
		{"listcert", reads((*Unit).listCertificates), true},
		{"listintermediate", reads((*Unit).listIntermediates), true},
		{"modifycipherset", writes((*Unit).modifyCipherSet), false},
		{"readcert", reads(func(u *Unit, args arguments) answer { return u.readCertificate(classCertificates, args) }), true},
		{"readintermediate", reads(func(u *Unit, args arguments) answer { return u.readCertificate(classIntermediates, args) }), true},
		{"restorecert", writes((*Unit).restoreCertificates), false},
	}
}

// modulus stands for that of the public key of what was uploaded.
func modulus(pem string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(pem))) }

// uploaded is the file of a call, and whether it is there.
func uploaded(args arguments) (string, bool) {
	raw, err := base64.StdEncoding.DecodeString(args[fileArgument])
	return string(raw), err == nil && len(raw) > 0
}

// addCertificate takes a certificate with its key, as PEM or PFX in one file.
func (u *Unit) addCertificate(args arguments) answer {
	file, ok := uploaded(args)
	switch it := u.find(classCertificates, args["cert"]); {
	case args["cert"] == "":
		return missing("cert")
	case !ok:
		return missing(fileArgument)
	case it != nil && args["replace"] != "1":
		return fail(422, "Certificate already exists")
	}
	public, key := parted(file)
	u.put(&item{Class: classCertificates, Key: args["cert"], Values: map[string]string{"certificate": public, "key": key}})
	return done()
}

// parted divides a PEM file into what is public and what is not.
func parted(file string) (public, key string) {
	const begin = "-----BEGIN "
	for i, block := range strings.Split(file, begin) {
		switch {
		case i == 0:
		case strings.Contains(strings.SplitN(block, "\n", 2)[0], "PRIVATE KEY"):
			key += begin + block
		default:
			public += begin + block
		}
	}
	if public == "" { // no PEM: the whole is secret
		return "", file
	}
	return public, key
}

func (u *Unit) addIntermediate(args arguments) answer {
	file, ok := uploaded(args)
	switch {
	case args["cert"] == "":
		return missing("cert")
	case !ok:
		return missing(fileArgument)
	}
	u.put(&item{Class: classIntermediates, Key: args["cert"], Values: map[string]string{"certificate": file}})
	return done()
}

func (u *Unit) deleteCertificate(args arguments) answer {
	return u.deleteNamed(classCertificates, "certfile", args["cert"], "Command Failed: Certificate in use")
}

func (u *Unit) deleteIntermediate(args arguments) answer {
	return u.deleteNamed(classIntermediates, "intermediatecerts", args["cert"], "Command Failed: Certificate in use")
}

func (u *Unit) deleteNamed(class, value, name, refusal string) answer {
	switch {
	case u.find(class, name) == nil:
		return unknownValue("name")
	case u.isNamed(value, name):
		return fail(422, "%s", refusal)
	}
	u.drop(class, name)
	return done()
}

func (u *Unit) listCertificates(arguments) answer { return u.certificateList(classCertificates) }

func (u *Unit) listIntermediates(arguments) answer { return u.certificateList(classIntermediates) }

func (u *Unit) certificateList(class string) answer {
	all := field{name: "cert", repeated: [][]field{}}
	for _, it := range u.shelf(class).items {
		one := []field{text("name", it.Key)}
		if class == classCertificates {
			one = append(one, text("type", "RSA"), text("modulus", modulus(it.Values["certificate"]+it.Values["key"])))
		}
		all.repeated = append(all.repeated, one)
	}
	return data(all)
}

// readCertificate gives what is public of a certificate.
func (u *Unit) readCertificate(class string, args arguments) answer {
	it := u.find(class, args["cert"])
	if it == nil {
		return unknownValue("cert")
	}
	return data(text("certificate", it.Values["certificate"]))
}

// certificateFile is a backup of certificates, keys included, which whoever has the
// passphrase can restore.
type certificateFile struct {
	Passphrase   [sha256.Size]byte
	Certificates []*item
}

func (u *Unit) backupCertificates(args arguments) answer {
	if args["password"] == "" {
		return missing("password")
	}
	var file bytes.Buffer
	z := gzip.NewWriter(&file)
	_, _ = z.Write(mustEncode(certificateFile{sha256.Sum256([]byte(args["password"])), u.certificatesOf(args["type"])})) // a buffer takes everything
	_ = z.Close()                                                                                                        // as above
	return answer{status: 200, file: file.Bytes()}
}

// certificatesOf are those of a type: full, vs or third (loadmaster.md 3.2).
func (u *Unit) certificatesOf(kind string) []*item {
	var all []*item
	if kind != "third" {
		all = append(all, u.shelf(classCertificates).items...)
	}
	if kind != "vs" {
		all = append(all, u.shelf(classIntermediates).items...)
	}
	return all
}

func (u *Unit) restoreCertificates(args arguments) answer {
	raw, ok := uploaded(args)
	if !ok {
		return missing(fileArgument)
	}
	z, err := gzip.NewReader(strings.NewReader(raw))
	var file certificateFile
	if err == nil {
		err = json.NewDecoder(io.LimitReader(z, maxBody)).Decode(&file)
	}
	if err != nil || file.Passphrase != sha256.Sum256([]byte(args["password"])) { // no text of such a refusal is known
		return fail(422, "Invalid backup file or password")
	}
	for _, it := range file.Certificates {
		if it.Class == classIntermediates && args["type"] == "vs" || it.Class == classCertificates && args["type"] == "third" {
			continue
		}
		u.put(it.clone(asIs))
	}
	return done()
}

// showCipherSet shows a set, or the one that the unit made for a service.
func (u *Unit) showCipherSet(args arguments) answer {
	name := args["name"]
	if name == "" {
		return missing("name")
	}
	if it := u.find(classCipherSets, name); it != nil {
		return data(text("Ciphers", it.Values["value"]))
	}
	for _, vs := range u.shelf(classServices).items {
		for _, it := range append([]*item{vs}, vs.of(classSubServices)...) {
			if it.Values["ciphers"] != "" && name == fmt.Sprintf("%s%d", customSet, it.index) {
				return data(text("Ciphers", it.Values["ciphers"]))
			}
		}
	}
	return unknownValue("name")
}

func (u *Unit) modifyCipherSet(args arguments) answer {
	for _, name := range []string{"name", "value"} {
		if args[name] == "" {
			return missing(name)
		}
	}
	u.put(&item{Class: classCipherSets, Key: args["name"], Values: map[string]string{"value": args["value"]}})
	return done()
}

func (u *Unit) deleteCipherSet(args arguments) answer {
	return u.deleteNamed(classCipherSets, "cipherset", args["name"], "Command Failed: Cipher set in use")
}
