package loadmaster

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The units' own sync of settings (loadmaster.md 2.5). What goes over port 6973
// nobody has described; here it is plain HTTP: one request that hands on what changed,
// and one that asks for things as the other unit has them. GEO has its own there
// (geopair.go).
const (
	syncInterval = 2 * time.Minute
	changesPath  = "/changes"
	wantedPath   = "/wanted"
	syncPatience = 10 * time.Second
	maxChanges   = 64 << 20
	firmwareName = "X-Firmware"
	// syncPhase keeps the rounds apart from the checks of the partner, and from GEO.
	syncPhase = 250 * time.Nanosecond
)

// reference names a setting as both units know it: with a stand-in for the unit's own
// address, where that is rewritten.
type reference struct {
	Class, Key string
}

// change is a setting as a unit has it, without a value where it has none.
type change struct {
	reference
	Version geoVersion
	Value   json.RawMessage `json:",omitempty"`
}

// syncState is what a unit knows of the sync. It is on its disk.
type syncState struct {
	versions map[reference]geoVersion
	since    geoVersion         // of what is not in versions
	pending  map[reference]bool // what the partner has not got yet
	// What a standby took, and will have as the partner has it, or else as it had it
	// before (StandbyLosesWrites).
	wanted  map[reference]bool
	before  map[reference]change
	asksAll bool // a unit that is new wants everything
	atOnce  bool
	last    time.Time // of a change at this unit
}

func newSyncState(now time.Time) syncState {
	return syncState{versions: map[reference]geoVersion{}, since: geoVersion{At: now}, pending: map[reference]bool{}, wanted: map[reference]bool{}}
}

// next is the version of a change of now, later than all before it.
func (s *syncState) next(now time.Time, by string) geoVersion {
	if !now.After(s.last) {
		now = s.last.Add(1)
	}
	s.last = now
	return geoVersion{now, by}
}

// ownAddress stands for the unit's own address in what both units say to each other.
const ownAddress = "@own"

// outward and inward replace the unit's own address, unless it is not rewritten. Of
// GEO it always is, but that goes another way.
func (u *Unit) outward(address string) string {
	if address == u.host.Addr().String() && u.cfg.Options.SyncAddresses == SyncAddressesRewritten {
		return ownAddress
	}
	return address
}

func (u *Unit) inward(address string) string {
	if address == ownAddress {
		return u.host.Addr().String()
	}
	return address
}

// touch says that a synchronised setting changed at this unit. u.mu is held.
func (u *Unit) touch(class, key string) {
	u.changedAt = time.Now()
	if class == classServices {
		u.servicesChanged = true
	}
	ref := reference{class, atAddress(key, u.outward)}
	u.sync.versions[ref] = u.sync.next(u.changedAt, u.cfg.Name)
	u.sync.pending[ref] = true
	if u.state == Standby && u.cfg.Options.StandbyWrites == StandbyLosesWrites {
		u.sync.wanted[ref] = true
	}
	u.wakeSync()
}

// syncAtOnce lets the next round be now, as a new service does. u.mu is held.
func (u *Unit) syncAtOnce() {
	u.sync.atOnce = true
	u.wakeSync()
}

func (u *Unit) wakeSync() {
	select {
	case u.syncWake <- struct{}{}:
	default: // it is awake
	}
}

// watchSync lets rounds happen until ctx ends, at fixed times and only where there is
// something to say: a quiet unit does nothing.
func (u *Unit) watchSync(ctx context.Context) {
	begun := time.Now().Add(u.cfg.Phase + syncPhase)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		u.mu.Lock()
		due := u.sync.asksAll || len(u.sync.wanted) > 0 || len(u.sync.pending) > 0 && u.hands()
		wait := syncInterval - time.Since(begun)%syncInterval
		if u.sync.atOnce {
			wait = 0
		}
		u.mu.Unlock()
		if timer.Stop(); due {
			timer.Reset(wait)
		}
		select {
		case <-ctx.Done():
			return
		case <-u.syncWake:
		case <-timer.C:
			u.synchronise(ctx)
		}
	}
}

// hands tells whether the unit hands on what changed at it. u.mu is held.
func (u *Unit) hands() bool {
	return u.state == Active || u.cfg.Options.SyncDirection == SyncBothWays
}

// synchronise is one round.
func (u *Unit) synchronise(ctx context.Context) {
	u.mu.Lock()
	partner, ok := u.effective.partner, u.clustered()
	asks := slices.SortedFunc(maps.Keys(u.sync.wanted), reference.compare)
	asksAll := u.sync.asksAll
	u.sync.atOnce = false
	var changes []change
	if u.hands() {
		changes = u.changes(slices.SortedFunc(maps.Keys(u.sync.pending), reference.compare))
	}
	u.mu.Unlock()
	if !ok {
		return
	}
	if len(asks) > 0 || asksAll {
		theirs, err := u.exchangeChanges(ctx, partner, wantedPath, asks)
		if err == nil || len(asks) > 0 {
			u.regain(asks, theirs, err != nil)
		}
	}
	if len(changes) == 0 {
		return
	}
	if _, err := u.exchangeChanges(ctx, partner, changesPath, changes); err != nil {
		return
	}
	u.mu.Lock()
	for _, c := range changes {
		if u.sync.versions[c.reference] == c.Version {
			delete(u.sync.pending, c.reference)
		}
	}
	u.mu.Unlock()
	u.say(fmt.Sprintf("synchronises %d settings to its partner", len(changes)))
}

func (r reference) compare(o reference) int {
	return cmp.Or(strings.Compare(r.Class, o.Class), strings.Compare(r.Key, o.Key))
}

// changes are settings as the unit has them. u.mu is held.
func (u *Unit) changes(refs []reference) []change {
	var all []change
	for _, ref := range refs {
		if !u.carries(ref.Class) {
			delete(u.sync.pending, ref)
			continue
		}
		c := change{reference: ref, Version: u.version(ref)}
		switch it := u.find(ref.Class, atAddress(ref.Key, u.inward)); {
		case ref.Class == classParameters:
			c.Value = mustEncode(u.parameters[ref.Key])
		case it != nil:
			c.Value = mustEncode(it.clone(u.outward))
		}
		all = append(all, c)
	}
	return all
}

// carries tells whether the sync carries a class, where that is not known.
func (u *Unit) carries(class string) bool {
	switch class {
	case classCertificates:
		return u.cfg.Options.SyncCertificates == SyncCertificatesCarried
	case classUsers, classGroups:
		return u.cfg.Options.SyncUsers == SyncUsersCarried
	}
	return true
}

// version is who changed a setting last, and when. u.mu is held.
func (u *Unit) version(ref reference) geoVersion {
	if v, changed := u.sync.versions[ref]; changed {
		return v
	}
	return u.sync.since
}

func mustEncode(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // its types always encode
	}
	return b
}

// exchangeChanges sends something to the partner, and returns what it answers.
func (u *Unit) exchangeChanges(ctx context.Context, partner, path string, what any) ([]change, error) {
	ctx, cancel := context.WithTimeout(ctx, syncPatience)
	defer cancel()
	address := net.JoinHostPort(partner, strconv.Itoa(syncPortNumber))
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, "http://"+address+path, bytes.NewReader(mustEncode(what)))
	if err != nil {
		return nil, err
	}
	req.Header.Set(firmwareName, u.runningFirmware())
	conn, err := u.host.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	defer func() { _ = conn.Close() }()
	req.Close = true
	if err := req.Write(conn); err != nil {
		return nil, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the partner answers %d", resp.StatusCode)
	}
	var theirs []change
	return theirs, json.NewDecoder(io.LimitReader(resp.Body, maxChanges)).Decode(&theirs)
}

// addSyncRoutes adds what the sync needs to the port between the units.
func (u *Unit) addSyncRoutes(mux *http.ServeMux) {
	mux.HandleFunc("PUT "+changesPath, func(w http.ResponseWriter, r *http.Request) {
		var changes []change
		if !u.listens(w, r, &changes) {
			return
		}
		u.mu.Lock()
		taken := u.takeChanges(changes, false)
		u.mu.Unlock()
		if taken > 0 {
			u.settlePorts()
		}
		reply(w, "application/json", http.StatusOK, []byte("[]"))
	})
	mux.HandleFunc("PUT "+wantedPath, func(w http.ResponseWriter, r *http.Request) {
		var refs []reference
		if !u.listens(w, r, &refs) {
			return
		}
		u.mu.Lock()
		if len(refs) == 0 {
			refs = u.everything()
		}
		answer := mustEncode(u.changes(refs))
		u.mu.Unlock()
		reply(w, "application/json", http.StatusOK, answer)
	})
}

// listens reads what the partner sends. Nobody else is listened to, nor the partner
// where the sync cannot work.
func (u *Unit) listens(w http.ResponseWriter, r *http.Request, into any) bool {
	from, _ := netip.ParseAddrPort(r.RemoteAddr)
	u.mu.Lock()
	status := http.StatusOK
	switch {
	case from.Addr().Unmap().String() != u.effective.partner:
		status = http.StatusForbidden
	case !u.clustered():
		status = http.StatusServiceUnavailable
	case r.Header.Get(firmwareName) != u.firmware && u.cfg.Options.SyncVersions == SyncVersionsSame,
		r.URL.Path == changesPath && u.state == Active && u.cfg.Options.SyncDirection != SyncBothWays:
		status = http.StatusConflict
	}
	u.mu.Unlock()
	if status == http.StatusOK && json.NewDecoder(io.LimitReader(r.Body, maxChanges)).Decode(into) != nil {
		status = http.StatusBadRequest
	}
	if status != http.StatusOK {
		w.WriteHeader(status)
	}
	return status == http.StatusOK
}

// everything names all that the sync carries. u.mu is held.
func (u *Unit) everything() []reference {
	var all []reference
	for _, p := range parameters {
		if p.scope == synchronised && !p.isGEO() {
			all = append(all, reference{classParameters, p.name})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(u.shelves)) {
		if isLocal(name) {
			continue
		}
		for _, it := range u.shelves[name].items {
			all = append(all, reference{name, atAddress(it.Key, u.outward)})
		}
	}
	return all
}

// takeChanges takes over what the partner has, where that is newer or is asked for,
// and counts it. u.mu is held.
func (u *Unit) takeChanges(changes []change, anyway bool) int {
	taken := 0
	for _, c := range changes {
		newer := c.Version.compare(u.version(c.reference)) > 0
		if u.cfg.Options.SyncConflict == SyncConflictActive && u.sync.pending[c.reference] {
			newer = u.state != Active
		}
		if !u.carries(c.Class) || !newer && !anyway || !u.apply(c) {
			continue
		}
		taken++
		u.sync.versions[c.reference] = c.Version
		delete(u.sync.pending, c.reference)
		delete(u.sync.wanted, c.reference)
	}
	if taken > 0 {
		u.changedAt = time.Now()
		u.publish()
	}
	return taken
}

// apply makes a setting what the partner has. u.mu is held.
func (u *Unit) apply(c change) bool {
	key := atAddress(c.Key, u.inward)
	switch p, known := u.findParameter(c.Key); {
	case c.Class == classParameters:
		var value string
		if !known || p.scope != synchronised || json.Unmarshal(c.Value, &value) != nil {
			return false
		}
		u.parameters[p.name] = value
		return true
	case isLocal(c.Class):
		return false
	case c.Value == nil:
		u.shelf(c.Class).remove(key)
	default:
		var sent item
		if json.Unmarshal(c.Value, &sent) != nil {
			return false
		}
		it := sent.clone(u.inward)
		if c.Class == classServices {
			u.numberAll(it, u.find(c.Class, key))
		}
		u.shelf(c.Class).put(it)
	}
	u.servicesChanged = u.servicesChanged || c.Class == classServices
	return true
}

// remember keeps all settings before the first of them that a standby will not keep.
// u.mu is held.
func (u *Unit) remember() {
	if u.state != Standby || u.cfg.Options.StandbyWrites != StandbyLosesWrites || u.sync.before != nil {
		return
	}
	u.sync.before = map[reference]change{}
	for _, c := range u.changes(u.everything()) {
		u.sync.before[c.reference] = c
	}
}

// regain takes over what the unit asked its partner for, or what it had itself where
// the partner is not there.
func (u *Unit) regain(asked []reference, theirs []change, alone bool) {
	words := "takes %d settings from its partner"
	u.mu.Lock()
	if alone {
		words = "forgets what was written to %d settings"
		for _, ref := range asked {
			had := u.sync.before[ref]
			theirs = append(theirs, change{ref, had.Version, had.Value})
		}
	}
	taken := u.takeChanges(theirs, true)
	u.sync.asksAll, u.sync.before = u.sync.asksAll && alone, nil
	for _, ref := range asked {
		delete(u.sync.wanted, ref)
	}
	u.mu.Unlock()
	u.say(fmt.Sprintf(words, taken))
	u.settlePorts()
}
