package settings

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"tandem/internal/pair"
)

// objectsOf reads objects from lines as text writes them: class, identity (- for
// none) and fields, two more blanks for what lies in the one above.
func objectsOf(t testing.TB, lines string) map[Class][]Object {
	t.Helper()
	var read func(lines []string, indent int) ([]Object, []string)
	read = func(lines []string, indent int) ([]Object, []string) {
		var objects []Object
		for len(lines) > 0 {
			line := lines[0]
			depth := (len(line) - len(strings.TrimLeft(line, " "))) / 2
			if depth < indent {
				break
			}
			if depth > indent {
				objects[len(objects)-1].Kids, lines = read(lines, depth)
				continue
			}
			words := strings.Fields(line)
			o := Object{ID: strings.TrimPrefix(words[1], "-")}
			if err := o.Class.UnmarshalText([]byte(words[0])); err != nil {
				t.Fatal(err)
			}
			for _, w := range words[2:] {
				name, value, ok := strings.Cut(w, "=")
				if !ok {
					o.Masked = append(o.Masked, name)
					continue
				}
				o.set(name, value)
			}
			objects, lines = append(objects, o), lines[1:]
		}
		sortObjects(objects)
		return objects, lines
	}
	all := map[Class][]Object{}
	var kept []string
	for line := range strings.Lines(lines) {
		if line = strings.TrimRight(line, "\n"); strings.TrimSpace(line) != "" {
			kept = append(kept, strings.TrimPrefix(line, "\t\t\t\t"))
		}
	}
	objects, _ := read(kept, 0)
	for _, o := range objects {
		all[o.Class] = append(all[o.Class], o)
	}
	return all
}

// interfacesOf are those of the units of a test: each has its own address on the
// first interface, and both have an additional one there.
var interfacesOf = [2][]Interface{
	{{ID: "0", Address: netip.MustParseAddr("10.0.0.4"), Additional: []netip.Addr{netip.MustParseAddr("10.0.0.20")}}},
	{{ID: "0", Address: netip.MustParseAddr("10.0.0.5"), Additional: []netip.Addr{netip.MustParseAddr("10.0.0.20")}}},
}

// unitOf is a unit of which every class of a merge was read, and which has what the
// lines say.
func unitOf(t testing.TB, unit int, lines string) *Snapshot {
	t.Helper()
	s := &Snapshot{Interfaces: interfacesOf[unit], Origin: Origin{Serial: "1", Licence: "a", Firmware: "7.2.60"}}
	for _, c := range append(Everyday(), OWASPRules, ServiceAccessLists) {
		s.Put(c, nil)
	}
	for c, objects := range objectsOf(t, lines) {
		s.Put(c, objects)
	}
	return s
}

var origin = Origin{Serial: "1", Licence: "a", Firmware: "7.2.60"}

func story(writes []Write) string {
	var b strings.Builder
	for _, w := range writes {
		b.WriteString(w.String() + "\n")
	}
	return b.String()
}

func waiting(r Result) string {
	var b strings.Builder
	show := func(d Difference) string {
		return strings.TrimSpace(d.Class.String()+" "+strings.Join(d.Path, " ")+" "+d.Field) + ": "
	}
	for _, c := range r.Conflicts {
		b.WriteString("conflict " + show(c.Difference) + c.Winner.String() + "\n")
	}
	for _, h := range r.Held {
		b.WriteString("held " + show(h.Difference) + h.From.String() + ", " + h.Reason.Why() + "\n")
	}
	return b.String()
}

func TestMerge(t *testing.T) {
	active := Policy{Active: pair.First, Prefer: PreferActive}
	many := func(n int) string { // services of which a few are no small part
		var b strings.Builder
		for i := range n {
			b.WriteString("content-rules r" + string(rune('a'+i/26)) + string(rune('a'+i%26)) + "\n")
		}
		return b.String()
	}
	servers := func(address string, port, n int) string {
		lines := fmt.Sprintf("virtual-services %s/%d/tcp\n", address, port)
		for i := range n {
			lines += fmt.Sprintf("  real-servers 10.1.1.%d:80\n", 10+i)
		}
		return lines
	}
	tests := []struct {
		name                string
		base, first, second string
		policy              Policy
		change              func(base *Base, first, second *Snapshot)
		toFirst, toSecond   string
		waits               string
	}{
		{
			name: "what is alike is left alone",
			base: "hosts 1.1.1.1 fqdn=a", first: "hosts 1.1.1.1 fqdn=a", second: "hosts 1.1.1.1 fqdn=a",
		},
		{
			name: "the same change on both is nothing",
			base: "hosts 1.1.1.1 fqdn=a", first: "hosts 1.1.1.1 fqdn=b", second: "hosts 1.1.1.1 fqdn=b",
		},
		{
			name: "a change on the active unit travels to the standby",
			base: "parameters - motd=a snat=yes", first: "parameters - motd=b snat=yes", second: "parameters - motd=a snat=yes", policy: active,
			toSecond: "modify parameters: motd=b\n",
		},
		{
			name: "a change on the standby travels to the active unit",
			base: "parameters - motd=a", first: "parameters - motd=a", second: "parameters - motd=b", policy: active,
			toFirst: "modify parameters: motd=b\n",
		},
		{
			name: "changes of different fields of one object both travel",
			base: "content-rules r pattern=a negate=N", first: "content-rules r pattern=b negate=N", second: "content-rules r pattern=a negate=Y", policy: active,
			toFirst: "modify content-rules r: negate=Y\n", toSecond: "modify content-rules r: pattern=b\n",
		},
		{
			name: "different changes of one field are a conflict, in which the active unit wins",
			base: "parameters - motd=a", first: "parameters - motd=b", second: "parameters - motd=c", policy: active,
			toSecond: "modify parameters: motd=b\n", waits: "conflict parameters  motd: first\n",
		},
		{
			name: "a field that is cleared is cleared on the other unit",
			base: "parameters - motd=a", first: "parameters -", second: "parameters - motd=a", policy: active,
			toSecond: "modify parameters: motd=\n",
		},
		{
			name: "without a preference a conflict waits for a person",
			base: "parameters - motd=a", first: "parameters - motd=b", second: "parameters - motd=c", policy: Policy{Active: pair.First},
			waits: "conflict parameters  motd: unknown\n",
		},
		{
			name: "a person may prefer the standby",
			base: "parameters - motd=a", first: "parameters - motd=b", second: "parameters - motd=c", policy: Policy{Active: pair.First, Prefer: PreferSecond},
			toFirst: "modify parameters: motd=c\n", waits: "conflict parameters  motd: second\n",
		},
		{
			name: "nobody wins because he is active when nobody knows who is",
			base: "parameters - motd=a", first: "parameters - motd=b", second: "parameters - motd=c", policy: Policy{Prefer: PreferActive},
			waits: "conflict parameters  motd: unknown\n",
		},
		{
			name: "what the active unit deleted is deleted on the standby, the inner before the outer",
			base: "content-rules r\nvirtual-services @0/443/tcp\n  real-servers 10.1.1.1:80\n", second: "content-rules r\nvirtual-services 10.0.0.5/443/tcp\n  real-servers 10.1.1.1:80\n", policy: active,
			toSecond: "delete virtual-services 10.0.0.5/443/tcp\ndelete content-rules r\n",
		},
		{
			name: "what a standby deleted waits for a person",
			base: "hosts 1.1.1.1", first: "hosts 1.1.1.1", policy: active,
			waits: "held hosts 1.1.1.1: second, it is gone on a unit that is not known to be active\n",
		},
		{
			name: "two of forty at once are not too many",
			base: many(40), first: many(38), second: many(40), policy: active,
			toSecond: "delete content-rules rbn\ndelete content-rules rbm\n",
		},
		{
			name: "three of forty at once are, and all wait for a person",
			base: many(40), first: many(37), second: many(40), policy: active,
			waits: "held content-rules rbl: first, more of the class is gone at once than is believed without asking\n" +
				"held content-rules rbm: first, more of the class is gone at once than is believed without asking\n" +
				"held content-rules rbn: first, more of the class is gone at once than is believed without asking\n",
		},
		{
			name: "real servers of a deleted service count among all, and not among the deleted",
			base: servers("@0", 80, 30) + servers("@0", 81, 30), first: servers("10.0.0.4", 81, 28), second: servers("10.0.0.5", 80, 30) + servers("10.0.0.5", 81, 30), policy: active,
			toSecond: "delete real-servers 10.0.0.5/81/tcp 10.1.1.39:80\ndelete real-servers 10.0.0.5/81/tcp 10.1.1.38:80\ndelete virtual-services 10.0.0.5/80/tcp\n",
		},
		{
			name: "a unit that lost everything is not followed",
			base: "hosts 1.1.1.1\nhosts 1.1.1.2", second: "hosts 1.1.1.1\nhosts 1.1.1.2", policy: active,
			waits: "held hosts 1.1.1.1: first, more of the class is gone at once than is believed without asking\n" +
				"held hosts 1.1.1.2: first, more of the class is gone at once than is believed without asking\n",
		},
		{
			name: "what is deleted on both is nothing",
			base: "hosts 1.1.1.1\nhosts 1.1.1.2", policy: active,
		},
		{
			name: "delete against modify is a conflict, in which the active unit's deletion wins",
			base: "hosts 1.1.1.1 fqdn=a", second: "hosts 1.1.1.1 fqdn=b", policy: active,
			toSecond: "delete hosts 1.1.1.1\n", waits: "conflict hosts 1.1.1.1: first\n",
		},
		{
			name: "delete against modify is a conflict, in which the active unit's change wins",
			base: "hosts 1.1.1.1 fqdn=a", first: "hosts 1.1.1.1 fqdn=b", policy: active,
			toSecond: "add hosts 1.1.1.1: fqdn=b\n", waits: "conflict hosts 1.1.1.1: first\n",
		},
		{
			name: "a real server added to a service that the other unit deleted makes it a conflict",
			base: "virtual-services @0/443/tcp", second: "virtual-services 10.0.0.5/443/tcp\n  real-servers 10.1.1.1:80", policy: Policy{Active: pair.First},
			waits: "conflict virtual-services @0/443/tcp: unknown\n",
		},
		{
			name: "a deletion that is held does not win a conflict either",
			base: "hosts 1.1.1.1 fqdn=a", first: "hosts 1.1.1.1 fqdn=b", policy: Policy{Active: pair.First, Prefer: PreferSecond},
			waits: "conflict hosts 1.1.1.1: unknown\n",
		},
		{
			name:  "at first sight nothing is deleted: what one has is added to the other",
			first: "hosts 1.1.1.1 fqdn=a\nhosts 1.1.1.2", second: "hosts 1.1.1.1 fqdn=a\nhosts 1.1.1.3", policy: active,
			toFirst: "add hosts 1.1.1.3\n", toSecond: "add hosts 1.1.1.2\n",
		},
		{
			name:  "at first sight different values are a conflict, and a value against none is an addition",
			first: "parameters - motd=a", second: "parameters - motd=b snat=yes", policy: active,
			toFirst: "modify parameters: snat=yes\n", toSecond: "modify parameters: motd=a\n", waits: "conflict parameters  motd: first\n",
		},
		{
			name: "a class that was not read is left alone, and stays common",
			base: "hosts 1.1.1.1", first: "hosts 1.1.1.1", policy: active,
			change: func(_ *Base, _, second *Snapshot) { second.Forget(Hosts) },
		},
		{
			name:  "services and GEO are left alone as long as the units' addresses are not known",
			first: "virtual-services 10.0.0.4/443/tcp\ngeo-fqdns www.example.com\nhosts 1.1.1.1", policy: active,
			change:   func(_ *Base, first, _ *Snapshot) { first.Interfaces = nil },
			toSecond: "add hosts 1.1.1.1\n",
		},
		{
			name:  "a unit's own address becomes the partner's, in services and in GEO; every other address stays",
			first: "virtual-services 10.0.0.4/443/tcp followvsid=10.0.0.4/80/tcp\nvirtual-services 10.0.0.4/80/tcp\nvirtual-services 0.0.0.0/80/tcp\ngeo-clusters c ipaddress=10.0.0.4 clustervsaddress=10.0.0.4\ngeo-fqdns www.example.com\n  geo-maps 10.0.0.4 mappedaddress=10.0.0.4\n  geo-maps 10.9.9.9\n", policy: active,
			toSecond: `add virtual-services 0.0.0.0/80/tcp
add virtual-services 10.0.0.5/443/tcp
add virtual-services 10.0.0.5/80/tcp
modify rule-bindings 10.0.0.5/443/tcp: followvsid=10.0.0.5/80/tcp
add geo-clusters c: ipaddress=10.0.0.5
add geo-fqdns www.example.com
add geo-maps www.example.com 10.0.0.5: mappedaddress=10.0.0.4
add geo-maps www.example.com 10.9.9.9
`,
		},
		{
			name:  "and the other way round",
			first: "geo-clusters c ipaddress=10.0.0.4 type=remoteLM", second: "geo-clusters c ipaddress=10.0.0.5 type=default\nvirtual-services 10.0.0.5/443/tcp", policy: Policy{Active: pair.Second, Prefer: PreferActive},
			toFirst: "add virtual-services 10.0.0.4/443/tcp\nmodify geo-clusters c: type=default\n", waits: "conflict geo-clusters c type: second\n",
		},
		{
			name:  "a service on an additional address travels where that address is",
			first: "virtual-services 10.0.0.20/443/tcp", policy: active,
			toSecond: "add virtual-services 10.0.0.20/443/tcp\n",
		},
		{
			name:  "and waits where it is not",
			first: "virtual-services 10.0.0.21/443/tcp", policy: active,
			waits: "held virtual-services 10.0.0.21/443/tcp: first, the service's address must be added to the other unit first\n",
		},
		{
			name: "an address that is the other unit's own does not travel",
			base: "geo-clusters c ipaddress=1.1.1.1", first: "geo-clusters c ipaddress=10.0.0.5\ngeo-fqdns www.example.com\n  geo-maps 10.0.0.5\nvirtual-services 10.0.0.5/443/tcp", second: "geo-clusters c ipaddress=1.1.1.1", policy: active,
			toSecond: "add geo-fqdns www.example.com\n",
			waits: "held virtual-services 10.0.0.5/443/tcp: first, it names the other unit's own address, which there would mean that unit itself\n" +
				"held geo-clusters c ipaddress: first, it names the other unit's own address, which there would mean that unit itself\n" +
				"held geo-maps www.example.com 10.0.0.5: first, it names the other unit's own address, which there would mean that unit itself\n",
		},
		{
			name:  "certificates, users and files need more than object calls; their deletion does not",
			base:  "certificates old",
			first: "certificates new modulus=1\nusers ann perms=real\ntemplates t", second: "certificates old", policy: active,
			toSecond: "delete certificates old\n",
			waits: "held certificates new: first, object calls cannot carry it\nheld users ann: first, object calls cannot carry it\n" +
				"held templates t: first, object calls cannot carry it\n",
		},
		{
			name: "a certificate that was replaced needs its key",
			base: "certificates c modulus=1", first: "certificates c modulus=2", second: "certificates c modulus=1", policy: active,
			waits: "held certificates c modulus: first, object calls cannot carry it\n",
		},
		{
			name: "a user's permissions are set without a password",
			base: "users ann perms=real", first: "users ann perms=vs", second: "users ann perms=real", policy: active,
			toSecond: "modify users ann: perms=vs\n",
		},
		{
			name:  "what refers to something that cannot travel waits with it",
			first: "certificates c\ncontent-rules r\nvirtual-services 10.0.0.4/443/tcp certfile=c", policy: active,
			toSecond: "add content-rules r\n",
			waits: "held certificates c: first, object calls cannot carry it\n" +
				"held virtual-services @0/443/tcp: first, it refers to something that the other unit does not have\n",
		},
		{
			name: "or that goes away there",
			base: "certificates c", first: "virtual-services 10.0.0.4/443/tcp certfile=c", second: "certificates c", policy: active,
			toSecond: "delete certificates c\n",
			waits:    "held virtual-services @0/443/tcp: first, it refers to something that the other unit does not have\n",
		},
		{
			name:  "a list of one service waits for the service",
			first: "virtual-services 10.0.0.21/443/tcp\nservice-access-lists 10.0.0.21/443/tcp", policy: active,
			waits: "held virtual-services 10.0.0.21/443/tcp: first, the service's address must be added to the other unit first\n" +
				"held service-access-lists 10.0.0.21/443/tcp: first, it refers to something that the other unit does not have\n",
		},
		{
			name:  "a secret is neither compared nor written, and that only one unit has one is said",
			first: "ldap-endpoints l server=a adminpass\nparameters - radiussecret", second: "ldap-endpoints l server=a\nparameters - radiussecret", policy: active,
			waits: "held ldap-endpoints l adminpass: first, object calls cannot carry it\n",
		},
		{
			name: "rules are bound after all that they bind",
			base: "virtual-services @0/443/tcp", first: "content-rules r\nvirtual-services 10.0.0.4/443/tcp nickname=a requestrules=r\n  real-servers 10.1.1.1:80 matchrules=r", second: "virtual-services 10.0.0.5/443/tcp", policy: active,
			toSecond: "add content-rules r\nmodify virtual-services 10.0.0.5/443/tcp: nickname=a\nadd real-servers 10.0.0.5/443/tcp 10.1.1.1:80\n" +
				"modify rule-bindings 10.0.0.5/443/tcp: requestrules=r\nmodify rule-bindings 10.0.0.5/443/tcp 10.1.1.1:80: matchrules=r\n",
		},
		{
			name: "a cipher set that no service uses any more was perhaps not deleted",
			base: "cipher-sets s value=a", second: "cipher-sets s value=a", policy: active,
		},
		{
			name: "what a unit with another serial number changed waits, and so does what it lost or brings",
			base: "parameters - motd=a\nhosts 1.1.1.1", first: "parameters - motd=b\nhosts 1.1.1.2", second: "parameters - motd=a\nhosts 1.1.1.1", policy: active,
			change: func(_ *Base, first, _ *Snapshot) { first.Origin.Serial = "2" },
			waits: "held parameters  motd: first, the unit has another serial number than when both were last alike\n" +
				"held hosts 1.1.1.1: first, the unit has another serial number than when both were last alike\n" +
				"held hosts 1.1.1.2: first, the unit has another serial number than when both were last alike\n",
		},
		{
			name: "nor does it win a conflict because it is active",
			base: "parameters - motd=a", first: "parameters - motd=b", second: "parameters - motd=c", policy: active,
			change: func(_ *Base, first, _ *Snapshot) { first.Origin.Licence = "b" },
			waits:  "conflict parameters  motd: unknown\n",
		},
		{
			name: "a deletion seen after an upgrade waits",
			base: "hosts 1.1.1.1", second: "hosts 1.1.1.1", policy: active,
			change: func(_ *Base, first, second *Snapshot) {
				first.Origin.Firmware, second.Origin.Firmware = "7.2.61", "7.2.61"
			},
			waits: "held hosts 1.1.1.1: first, the unit has another firmware than when both were last alike\n",
		},
		{
			name: "while the firmware differs, a field that only one has does not travel",
			base: "parameters - motd=a", first: "parameters - motd=a samesite=1", second: "parameters - motd=b", policy: active,
			change:  func(base *Base, first, _ *Snapshot) { first.Origin.Firmware, base.First.Firmware = "7.2.61", "7.2.61" },
			toFirst: "modify parameters: motd=b\n",
			waits:   "held parameters  samesite: first, the units have different firmware, and only one of them has the field\n",
		},
		{
			name:  "what is not synchronised is not written, even when it stands among what is compared",
			first: "parameters - hostname=a hostname2=c motd=*********\nroutes 1.1.1.1\nldap-endpoints l adminpass=x", second: "parameters - hostname=b\nldap-endpoints l adminpass=y", policy: active,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			base := Base{First: origin, Second: origin, Classes: objectsOf(t, tt.base)}
			first, second := unitOf(t, 0, tt.first), unitOf(t, 1, tt.second)
			if tt.change != nil {
				tt.change(&base, first, second)
			}
			r := Merge(base, first, second, tt.policy)
			if diff := cmp.Diff(tt.toFirst, story(r.ToFirst)); diff != "" {
				t.Errorf("to first (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.toSecond, story(r.ToSecond)); diff != "" {
				t.Errorf("to second (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.waits, waiting(r)); diff != "" {
				t.Errorf("conflicts and held (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAPersonChooses(t *testing.T) {
	base := Base{First: origin, Second: origin, Classes: objectsOf(t, "hosts 1.1.1.1\nparameters - motd=a snat=yes")}
	first, second := unitOf(t, 0, "hosts 1.1.1.1\nparameters - motd=b snat=yes"), unitOf(t, 1, "parameters - motd=c snat=yes")
	asked := Merge(base, first, second, Policy{Active: pair.First})
	if len(asked.Held) != 1 || len(asked.Conflicts) != 1 {
		t.Fatalf("asked for\n%s", waiting(asked))
	}
	held, conflict := asked.Held[0].ID, asked.Conflicts[0].ID
	tests := []struct {
		name              string
		chosen            map[string]pair.Role
		toFirst, toSecond string
	}{
		{"the deletion was meant", map[string]pair.Role{held: pair.Second}, "delete hosts 1.1.1.1\n", ""},
		{"the deletion was not meant", map[string]pair.Role{held: pair.First}, "", "add hosts 1.1.1.1\n"},
		{"one value of a conflict", map[string]pair.Role{conflict: pair.Second}, "modify parameters: motd=c\n", ""},
		{"a choice for something else", map[string]pair.Role{"0123456789ab": pair.Second}, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := Merge(asked.Base, first, second, Policy{Active: pair.First, Chosen: tt.chosen})
			if story(r.ToFirst) != tt.toFirst || story(r.ToSecond) != tt.toSecond {
				t.Errorf("to first %q, to second %q", story(r.ToFirst), story(r.ToSecond))
			}
		})
	}
	t.Run("a choice is none for what came after it", func(t *testing.T) {
		r := Merge(asked.Base, first, unitOf(t, 1, "parameters - motd=d snat=yes"), Policy{Active: pair.First, Chosen: map[string]pair.Role{conflict: pair.Second}})
		if len(r.ToFirst) != 0 || r.Conflicts[0].Winner != pair.RoleUnknown {
			t.Errorf("writes %q", story(r.ToFirst))
		}
	})
	t.Run("that the unit is active by now answers nothing", func(t *testing.T) {
		r := Merge(asked.Base, first, second, Policy{Active: pair.Second, Prefer: PreferActive})
		if story(r.ToFirst) != "modify parameters: motd=c\n" || len(r.Held) != 1 {
			t.Errorf("writes %q and holds\n%s", story(r.ToFirst), waiting(r))
		}
	})
	t.Run("an addition that cannot travel may be taken back", func(t *testing.T) {
		first := unitOf(t, 0, "certificates c\nhosts 1.1.1.1\nparameters - motd=a snat=yes")
		second := unitOf(t, 1, "hosts 1.1.1.1\nparameters - motd=a snat=yes")
		r := Merge(base, first, second, Policy{Active: pair.First})
		r = Merge(base, first, second, Policy{Active: pair.First, Chosen: map[string]pair.Role{r.Held[0].ID: pair.Second}})
		if story(r.ToFirst) != "delete certificates c\n" {
			t.Errorf("writes %q", story(r.ToFirst))
		}
	})
}

func TestAQuestionStandsThoughTheUnitIsKnownByThen(t *testing.T) {
	base := Base{First: origin, Second: origin, Classes: objectsOf(t, "parameters - motd=a")}
	first, second := unitOf(t, 0, "parameters - motd=b"), unitOf(t, 1, "parameters - motd=a")
	first.Origin.Serial = "2"
	policy := Policy{Active: pair.First, Prefer: PreferActive}
	r := Merge(base, first, second, policy)
	if r.Base.First.Serial != "2" || len(r.Held) != 1 {
		t.Fatalf("common state is of %+v, waiting\n%s", r.Base.First, waiting(r))
	}
	if r = Merge(r.Base, first, second, policy); len(r.ToSecond) != 0 || len(r.Held) != 1 {
		t.Errorf("the second time it writes %q", story(r.ToSecond))
	}
	first = unitOf(t, 0, "parameters - motd=b snat=yes")
	first.Origin.Serial = "2"
	if r = Merge(r.Base, first, second, policy); story(r.ToSecond) != "modify parameters: snat=yes\n" {
		t.Errorf("of a change that came later it writes %q", story(r.ToSecond))
	}
}

func TestTheCommonStateIsOfTheUnitsWithWhichAllWasCompared(t *testing.T) {
	base := Base{First: origin, Second: origin, Classes: objectsOf(t, "hosts 1.1.1.1"), Asked: map[string]Reason{"x": ManyDeleted}}
	first, second := unitOf(t, 0, ""), unitOf(t, 1, "")
	first.Origin.Serial = "2"
	first.Forget(Hosts)
	r := Merge(base, first, second, Policy{})
	if r.Base.First.Serial != "1" || r.Base.Asked["x"] != ManyDeleted || len(r.Base.Classes[Hosts]) != 1 {
		t.Errorf("the common state is %+v", r.Base)
	}
	if !slices.Contains(r.Unread, Hosts) {
		t.Errorf("not read are %v", r.Unread)
	}
}

// TestCommonStateIsStored: it is what a merge in another process goes on from.
func TestCommonStateIsStored(t *testing.T) {
	first, second := unitOf(t, 0, "virtual-services 10.0.0.4/443/tcp nickname=a\n  real-servers 10.1.1.1:80 weight=5\nparameters - motd=a emailpassword"), unitOf(t, 1, "")
	base := Merge(Base{First: origin, Second: origin, Classes: objectsOf(t, "hosts 1.1.1.1\nhosts 1.1.1.2")}, first, second, Policy{}).Base
	base.Asked = map[string]Reason{"0123456789ab": ManyDeleted}
	stored, err := json.Marshal(base)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"first":{"serial":"1","licence":"a","firmware":"7.2.60"},"second":{"serial":"1","licence":"a","firmware":"7.2.60"},"classes":`
	if !strings.HasPrefix(string(stored), want) || !strings.Contains(string(stored), `"asked":{"0123456789ab":"many-deleted"}`) {
		t.Errorf("stored is %s", stored)
	}
	var back Base
	if err := json.Unmarshal(stored, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(base, back, cmpopts.EquateEmpty(), cmpopts.IgnoreUnexported(Object{})); diff != "" {
		t.Errorf("read back (-stored +read):\n%s", diff)
	}
}

func TestBothValuesAreKept(t *testing.T) {
	base := Base{Classes: objectsOf(t, "hosts 1.1.1.1 fqdn=a\nparameters - motd=a")}
	r := Merge(base, unitOf(t, 0, "parameters - motd=b"), unitOf(t, 1, "parameters - motd=c\nhosts 1.1.1.1 fqdn=b"), Policy{Active: pair.First, Prefer: PreferActive})
	if len(r.Conflicts) != 2 {
		t.Fatalf("conflicts\n%s", waiting(r))
	}
	if c := r.Conflicts[0]; c.Base.Value != "a" || c.First.Value != "b" || c.Second.Value != "c" {
		t.Errorf("of a field: %+v", c)
	}
	if c := r.Conflicts[1]; c.Base.Object == nil || c.First.Object != nil || c.Second.Object == nil || c.Second.Object.Value("fqdn") != "b" {
		t.Errorf("of a deletion: %+v", c)
	}
}
