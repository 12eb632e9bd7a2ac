package loadmaster

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
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
	ssoSettings     = 8
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
	Settings   []*item
	DNS        geoConfig
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
		Parameters: map[string]string{}, GEO: map[string]string{}, DNS: u.backupGEO(),
	}
	for _, name := range slices.Sorted(maps.Keys(u.shelves)) {
		if name != classCertificates { // which have a backup of their own
			b.Settings = append(b.Settings, u.shelves[name].items...)
		}
	}
	for _, p := range parameters {
		switch {
		case p.scope == computed:
		case p.isGEO():
			b.GEO[p.name] = u.parameters[p.name]
		default:
			b.Parameters[p.name] = u.parameters[p.name]
		}
	}
	file := b.bytes()
	u.mu.Unlock()
	return answer{status: 200, file: file}
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
	for _, p := range parameters {
		from := b.Parameters
		if p.isGEO() {
			from = b.GEO
		}
		if value, has := from[p.name]; has && p.scope != computed && kind&p.part() != 0 {
			if p.scope == synchronised && !p.isGEO() && u.parameters[p.name] != value {
				u.touch(classParameters, p.name)
			}
			u.parameters[p.name] = value
		}
	}
	u.takeOverSettings(b.Settings, kind)
	if kind&geoSettings != 0 {
		u.restoreGEO(b.DNS)
	}
	if kind&baseSettings == 0 {
		return nil
	}
	return u.configure(haSettings{role: b.Role, partner: b.Partner, checkPort: b.CheckPort, preferFirst: b.Preferred, allInterfaces: b.Interfaces})
}

// takeOverSettings puts the objects of the named parts in the place of those that are
// there, which are gone where the backup does not have them. What it changes is a
// change of now. u.mu is held.
func (u *Unit) takeOverSettings(settings []*item, kind int) {
	gone := map[reference]bool{}
	for name, s := range u.shelves {
		for _, it := range s.items {
			gone[reference{name, it.Key}] = kind&partOf(name) != 0 && name != classCertificates
		}
	}
	for _, kept := range settings {
		if kind&partOf(kept.Class) == 0 {
			continue
		}
		it, was := kept.clone(asIs), u.find(kept.Class, kept.Key)
		delete(gone, reference{it.Class, it.Key})
		if was != nil && bytes.Equal(mustEncode(was), mustEncode(it)) {
			continue
		}
		if it.Class == classServices {
			u.numberAll(it, was)
		}
		u.replace(it.Class, it.Key, it)
	}
	for _, ref := range slices.SortedFunc(maps.Keys(gone), reference.compare) {
		if gone[ref] {
			u.replace(ref.Class, ref.Key, nil)
		}
	}
	u.waitsForReboot = u.waitsForReboot || u.servicesChanged && u.cfg.Options.RestoreNeedsReboot
	if !u.waitsForReboot {
		u.publish()
	}
}

// replace puts an item in the place of another one, or nothing, whatever it is of.
// u.mu is held.
func (u *Unit) replace(class, key string, it *item) {
	if it == nil {
		u.shelf(class).remove(key)
	} else {
		u.shelf(class).put(it)
	}
	if !isLocal(class) {
		u.touch(class, key)
	}
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
