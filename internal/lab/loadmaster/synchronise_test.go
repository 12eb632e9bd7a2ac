package loadmaster_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"tandem/internal/lab/loadmaster"
)

// at gives a unit a command as a person does there.
func (l *lab) at(u *loadmaster.Unit, name string, args ...string) {
	l.t.Helper()
	if err := u.Execute(name, pairs(args)); err != nil {
		l.t.Error(err)
	}
}

func pairs(words []string) map[string]string {
	all := map[string]string{}
	for i := 0; i+1 < len(words); i += 2 {
		all[words[i]] = words[i+1]
	}
	return all
}

func (l *lab) setting(u *loadmaster.Unit, path string) string {
	value, there := u.Setting(path)
	if !there {
		return "absent"
	}
	return value
}

// block drops what the units say to each other on their sync port.
func (l *lab) blockSync(on bool) {
	for _, way := range [][2]netip.Addr{{firstAddr, secondAddr}, {secondAddr, firstAddr}} {
		if on {
			l.net.Block(way[0], way[1], 6973)
		} else {
			l.net.Unblock(way[0], way[1], 6973)
		}
	}
}

func TestTheUnitsSynchronise(t *testing.T) {
	const round = 125 * time.Second
	tests := []struct {
		name    string
		options loadmaster.Options
		does    func(l *lab)
		path    string
		// what the first and the second unit have in the end
		first, second string
	}{
		{
			"what changes on the active unit is on the standby after a round",
			loadmaster.Options{},
			func(l *lab) { l.at(l.first, "set", "param", "motd", "value", "hello"); l.pass(round) }, "motd", "hello", "hello",
		},
		{
			"not before, but a new service brings all that waits along at once",
			loadmaster.Options{},
			func(l *lab) {
				l.pass(5 * time.Second)
				l.at(l.first, "set", "param", "motd", "value", "hello")
				l.pass(5 * time.Second)
				if got := l.setting(l.second, "motd"); got != "" {
					l.t.Errorf("before the round the standby has %q", got)
				}
				l.at(l.first, "addvs", "vs", "10.0.0.200", "port", "443", "prot", "tcp")
				l.pass(time.Second)
			}, "motd", "hello", "hello",
		},
		{
			"a service on the unit's own address is on the other's there",
			loadmaster.Options{},
			func(l *lab) {
				l.at(l.first, "addvs", "vs", "10.0.0.4", "port", "443", "prot", "tcp", "nickname", "shop")
				l.at(l.first, "addrs", "vs", "10.0.0.4", "port", "443", "prot", "tcp", "rs", "10.0.2.1", "rsport", "80", "weight", "7")
				l.pass(round)
			}, "real-servers self/443/tcp 10.0.2.1:80 weight", "7", "7",
		},
		{
			"or stays where it was",
			loadmaster.Options{SyncAddresses: loadmaster.SyncAddressesAsTheyAre},
			func(l *lab) { l.at(l.first, "addvs", "vs", "10.0.0.4", "port", "443", "prot", "tcp"); l.pass(round) },
			"virtual-services 10.0.0.4/443/tcp", "present", "present",
		},
		{
			"what is deleted is gone on both",
			loadmaster.Options{},
			func(l *lab) {
				l.at(l.first, "addrule", "name", "r1", "pattern", "^/a")
				l.pass(round)
				l.at(l.first, "delrule", "name", "r1")
				l.pass(round)
			}, "content-rules r1", "absent", "absent",
		},
		{
			"what changes on a standby stays there",
			loadmaster.Options{},
			func(l *lab) { l.at(l.second, "set", "param", "motd", "value", "hello"); l.pass(2 * round) }, "motd", "", "hello",
		},
		{
			"or travels both ways",
			loadmaster.Options{SyncDirection: loadmaster.SyncBothWays},
			func(l *lab) { l.at(l.second, "set", "param", "motd", "value", "hello"); l.pass(round) }, "motd", "hello", "hello",
		},
		{
			"or is what the active unit has again",
			loadmaster.Options{StandbyWrites: loadmaster.StandbyLosesWrites},
			func(l *lab) { l.at(l.second, "addrule", "name", "r1"); l.pass(2 * round) }, "content-rules r1", "absent", "absent",
		},
		{
			"or what the unit had itself where the port is blocked",
			loadmaster.Options{StandbyWrites: loadmaster.StandbyLosesWrites},
			func(l *lab) { l.blockSync(true); l.at(l.second, "addrule", "name", "r1"); l.pass(2 * round) }, "content-rules r1", "absent", "absent",
		},
		{
			"of what both changed, who changed it last has it",
			loadmaster.Options{},
			func(l *lab) {
				l.at(l.first, "set", "param", "motd", "value", "one")
				time.Sleep(time.Second)
				l.at(l.second, "set", "param", "motd", "value", "two")
				l.pass(round)
			}, "motd", "one", "two",
		},
		{
			"or the active unit",
			loadmaster.Options{SyncConflict: loadmaster.SyncConflictActive},
			func(l *lab) {
				l.at(l.first, "set", "param", "motd", "value", "one")
				time.Sleep(time.Second)
				l.at(l.second, "set", "param", "motd", "value", "two")
				l.pass(round)
			}, "motd", "one", "one",
		},
		{
			"what could not be sent is sent when the port is open again",
			loadmaster.Options{},
			func(l *lab) {
				l.blockSync(true)
				l.at(l.first, "set", "param", "motd", "value", "hello")
				l.pass(2 * round)
				if got := l.setting(l.second, "motd"); got != "" {
					l.t.Errorf("the standby has %q through a blocked port", got)
				}
				l.blockSync(false)
				l.pass(round)
			}, "motd", "hello", "hello",
		},
		{
			"units of different firmware say nothing to each other",
			loadmaster.Options{},
			func(l *lab) {
				l.second.InstallFirmware("7.2.60.0.1.RELEASE")
				l.second.Reboot()
				l.pass(time.Minute)
				l.at(l.first, "set", "param", "motd", "value", "hello")
				l.pass(2 * round)
			}, "motd", "hello", "",
		},
		{
			"what is on the guide's list stays on its unit",
			loadmaster.Options{SyncDirection: loadmaster.SyncBothWays},
			func(l *lab) { l.at(l.first, "set", "param", "dfltgw", "value", "10.0.0.9"); l.pass(2 * round) }, "dfltgw", "10.0.0.9", "10.0.0.1",
		},
		{
			"so do additional routes",
			loadmaster.Options{SyncDirection: loadmaster.SyncBothWays},
			func(l *lab) {
				l.at(l.first, "addroute", "dest", "10.9.0.0/16", "gateway", "10.0.0.9")
				l.pass(2 * round)
			}, "routes 10.9.0.0/16", "present", "absent",
		},
		{
			"users stay, as far as anybody knows",
			loadmaster.Options{},
			func(l *lab) { l.at(l.first, "useraddlocal", "user", "u1", "password", "x"); l.pass(round) }, "users u1", "present", "absent",
		},
		{
			"or go along",
			loadmaster.Options{SyncUsers: loadmaster.SyncUsersCarried},
			func(l *lab) { l.at(l.first, "useraddlocal", "user", "u1", "password", "x"); l.pass(round) }, "users u1 password", "x", "x",
		},
		{
			"certificates go with their keys",
			loadmaster.Options{},
			func(l *lab) { l.at(l.first, "addcert", "cert", "c1", "data", "c2VjcmV0"); l.pass(round) }, "certificates c1 key", "secret", "secret",
		},
		{
			"or stay",
			loadmaster.Options{SyncCertificates: loadmaster.SyncCertificatesLeft},
			func(l *lab) { l.at(l.first, "addcert", "cert", "c1", "data", "c2VjcmV0"); l.pass(round) }, "certificates c1", "present", "absent",
		},
		{
			"a unit made anew gets what changes from then on", loadmaster.Options{}, madeAnew(round), "content-rules r1", "present", "absent",
		},
		{
			"or everything", loadmaster.Options{SyncNewUnit: loadmaster.SyncNewUnitEverything}, madeAnew(round), "content-rules r1", "present", "present",
		},
		{
			"a restored service goes on from there",
			loadmaster.Options{},
			func(l *lab) {
				l.first.KeepBackup()
				l.at(l.first, "modvs", "vs", "10.0.0.4", "port", "80", "prot", "tcp", "nickname", "new")
				l.pass(round)
				if err := l.first.RestoreKept(false); err != nil {
					l.t.Error(err)
				}
				l.pass(round)
			}, "virtual-services self/80/tcp nickname", "", "",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inLab(t, func(c *loadmaster.Config) { c.Options = tt.options }, func(t *testing.T, l *lab) {
				l.t = t
				tt.does(l.running())
				if first, second := l.setting(l.first, tt.path), l.setting(l.second, tt.path); first != tt.first || second != tt.second {
					t.Errorf("%s is %q and %q, want %q and %q\n%s", tt.path, first, second, tt.first, tt.second, l.transcript())
				}
				if equal := len(l.first.Differences(l.second)) == 0; tt.first == tt.second && !strings.Contains(tt.path, "10.0.0.4") != equal {
					t.Errorf("differences %q", l.first.Differences(l.second))
				}
			})
		})
	}
}

// madeAnew has the second unit made anew and joined again, after the first one was
// given a rule.
func madeAnew(round time.Duration) func(l *lab) {
	return func(l *lab) {
		l.at(l.first, "addrule", "name", "r1")
		l.pass(round)
		l.second.Replace()
		l.second.License("the-key", "the-password")
		if err := l.second.Configure(map[string]string{"hamode": "second", "partner": "10.0.0.4", "hcp": "8444"}); err != nil {
			l.t.Error(err)
		}
		l.second.Start(standby)
		l.pass(2 * round)
	}
}

func TestAStandbyThatRejectsWritesRejectsObjects(t *testing.T) {
	inLab(t, func(c *loadmaster.Config) { c.Options.StandbyWrites = loadmaster.StandbyRejectsWrites }, func(t *testing.T, l *lab) {
		l.running()
		for command, status := range map[string]int{
			"addvs?vs=10.0.0.200&port=443&prot=tcp": 422, "addrule?name=r1": 422, "modhealth?retrycount=3": 422, "aclcontrol?add=block&addr=10.1.1.1": 422,
			"aclcontrol?list=block": 200, "listvs": 200, "addroute?dest=10.9.0.0/16&gateway=10.0.0.9": 200, "addadditional?interface=0&addr=10.0.0.201/24": 200,
		} {
			if got, body := l.v1Of(secondAddr, command); got != status {
				t.Errorf("%s: %d %s, want %d", command, got, body, status)
			}
		}
	})
}

// TestAQuietPairSaysNothing holds that rounds without a change cost nothing: nobody
// even connects.
func TestAQuietPairSaysNothing(t *testing.T) {
	inLab(t, nil, func(t *testing.T, l *lab) {
		l.running().pass(10 * time.Second)
		l.at(l.first, "set", "param", "motd", "value", "hello")
		l.pass(5 * time.Minute)
		before := strings.Count(l.transcript(), "synchronises")
		l.pass(10 * time.Minute)
		if after := strings.Count(l.transcript(), "synchronises"); before != 1 || after != 1 {
			t.Errorf("it synchronised %d times, and %d after ten quiet minutes, want once", before, after)
		}
	})
}

func TestUnitsNumberTheSameThingsDifferently(t *testing.T) {
	inLab(t, nil, func(t *testing.T, l *lab) {
		l.running()
		l.at(l.second, "addvs", "vs", "10.0.0.201", "port", "444", "prot", "tcp")
		l.at(l.second, "delvs", "vs", "10.0.0.201", "port", "444", "prot", "tcp")
		l.at(l.first, "addvs", "vs", "10.0.0.200", "port", "443", "prot", "tcp")
		l.at(l.first, "addrs", "vs", "10.0.0.200", "port", "443", "prot", "tcp", "rs", "10.0.2.1", "rsport", "80")
		l.pass(125 * time.Second)
		number := func(addr netip.Addr) string {
			_, body := l.v1Of(addr, "showvs?vs=10.0.0.200&port=443&prot=tcp")
			for _, line := range xmlLines(t, body) {
				if text, ok := strings.CutPrefix(line, "Response/Success/Data/Index="); ok {
					return text
				}
			}
			return "none"
		}
		before := number(secondAddr)
		if before == number(firstAddr) || before == "none" {
			t.Errorf("both units have it at %s", before)
		}
		l.at(l.first, "modvs", "vs", "10.0.0.200", "port", "443", "prot", "tcp", "nickname", "shop")
		l.pass(125 * time.Second)
		if after := number(secondAddr); after != before {
			t.Errorf("its number was %s and is %s after a change", before, after)
		}
	})
}
