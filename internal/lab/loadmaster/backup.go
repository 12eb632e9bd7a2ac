package loadmaster

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// fileArgument is where the API v2 has a file, as base64, in both directions.
const fileArgument = "data"

// The parts of a backup, as restore adds them up (loadmaster.md 3.5).
const (
	baseSettings    = 1
	virtualServices = 2
	geoSettings     = 4
	ssoSettings     = 8 // the units here have none
)

// backupFile is what a backup holds, the secrets in clear and no keys: neither
// those of the API nor those of certificates (loadmaster.md 0.1 fact 5). Real
// backups have a form of their own, which nobody but a unit reads.
type backupFile struct {
	Name       string
	Role       Role
	Partner    string
	CheckPort  int
	Preferred  bool
	Interfaces string
	Parameters map[string]string
	GEO        map[string]string
	Services   []int
}

// isGEO tells whether a parameter belongs to the GEO part.
func (p parameter) isGEO() bool { return strings.HasPrefix(p.name, "geo") }

// giveBackup answers whoever may have one with a backup.
func (u *Unit) giveBackup(args arguments) answer {
	u.mu.Lock()
	refused := u.faults.BackupsRefused
	u.mu.Unlock()
	if refused {
		return fail(403, "Permission denied") // no text of such a refusal is known
	}
	return u.backup(args)
}

// backup answers with a file. Equal settings give equal bytes.
func (u *Unit) backup(arguments) answer {
	u.mu.Lock()
	b := backupFile{
		Name: u.cfg.Name, Role: u.configured.role, Partner: u.configured.partner, CheckPort: u.configured.checkPort,
		Preferred: u.configured.preferFirst, Interfaces: u.configured.allInterfaces,
		Parameters: map[string]string{}, GEO: map[string]string{}, Services: slices.Clone(u.services),
	}
	for _, p := range parameterList() {
		switch {
		case p.scope == computed:
		case p.isGEO():
			b.GEO[p.name] = u.parameters[p.name]
		default:
			b.Parameters[p.name] = u.parameters[p.name]
		}
	}
	u.mu.Unlock()
	return answer{status: 200, file: b.bytes()}
}

func (b backupFile) bytes() []byte {
	var file bytes.Buffer
	z := gzip.NewWriter(&file)
	if err := json.NewEncoder(z).Encode(b); err != nil {
		panic(err) // its types always encode, and a buffer takes everything
	}
	_ = z.Close() // as above
	return file.Bytes()
}

func readBackup(encoded string) (backupFile, error) {
	var b backupFile
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return b, err
	}
	z, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return b, err
	}
	return b, json.NewDecoder(io.LimitReader(z, maxBody)).Decode(&b)
}

// restore takes over the parts of a backup that type names. The base of another
// unit is taken over as well, with its role and its partner, which is the unit
// itself: that is why it must never be done (loadmaster.md 3.5).
func (u *Unit) restore(args arguments) answer {
	encoded, given := args[fileArgument]
	if !given {
		return missing(fileArgument)
	}
	kind, err := strconv.Atoi(args["type"])
	if err != nil || kind < baseSettings || kind > baseSettings|virtualServices|geoSettings|ssoSettings {
		return unknownValue("type")
	}
	b, err := readBackup(encoded)
	if err != nil { // no text of such a refusal is known
		return fail(422, "Invalid backup file")
	}
	u.mu.Lock()
	events := append([]string{fmt.Sprintf("restores %s from a backup of %s", partsOf(kind), b.Name)}, u.takeOver(b, kind)...)
	u.mu.Unlock()
	u.sayAll(events)
	u.settlePorts()
	return done()
}

// takeOver makes the parts of a backup the unit's settings. u.mu is held.
func (u *Unit) takeOver(b backupFile, kind int) (events []string) {
	u.changedAt = time.Now()
	for _, p := range parameterList() {
		from := b.Parameters
		if p.isGEO() {
			from = b.GEO
		}
		if value, has := from[p.name]; has && p.scope != computed && kind&p.part() != 0 {
			u.parameters[p.name] = value
		}
	}
	if kind&virtualServices != 0 {
		u.services = slices.Clone(b.Services)
		if !u.cfg.Options.RestoreNeedsReboot {
			u.published = slices.Clone(b.Services)
		}
	}
	if kind&baseSettings == 0 {
		return nil
	}
	return u.configure(haSettings{role: b.Role, partner: b.Partner, checkPort: b.CheckPort, preferFirst: b.Preferred, allInterfaces: b.Interfaces})
}

// part is the part of a backup that a parameter is in.
func (p parameter) part() int {
	if p.isGEO() {
		return geoSettings
	}
	return baseSettings
}

func partsOf(kind int) string {
	var words []string
	for _, part := range []struct {
		bit  int
		word string
	}{{baseSettings, "base settings"}, {virtualServices, "services"}, {geoSettings, "GEO"}, {ssoSettings, "SSO"}} {
		if kind&part.bit != 0 {
			words = append(words, part.word)
		}
	}
	return strings.Join(words, ", ")
}
