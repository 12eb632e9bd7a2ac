package loadmaster_test

import (
	"strings"
	"testing"
	"time"

	"tandem/internal/lab/loadmaster"
)

// Calls of API v2 with all kinds of credentials.
const (
	rightKey  = `{"apikey":"the-key","cmd":"listapi"}`
	wrongKey  = `{"apikey":"wrong","cmd":"listapi"}`
	wrongPass = `{"apiuser":"bal","apipass":"wrong","cmd":"listapi"}`
	stranger  = `{"apiuser":"nobody","apipass":"wrong","cmd":"listapi"}`
	nothing   = `{"cmd":"listapi"}`
)

func TestAccountsAreLockedAfterFailedLogins(t *testing.T) {
	tests := []struct {
		name     string
		options  loadmaster.Options
		most     string // of sessionmaxfailattempts; empty: as it is
		logins   []string
		wait     time.Duration // before the last look
		failed   int
		lockouts int
		in       bool // whether the right key is let in at last
	}{
		{name: "two wrong keys are not enough", logins: []string{wrongKey, wrongKey}, failed: 2, in: true},
		{name: "the third locks the right key out too", logins: []string{wrongKey, wrongKey, wrongKey}, failed: 3, lockouts: 1},
		{name: "so does a wrong password", logins: []string{wrongPass, wrongKey, wrongPass}, failed: 3, lockouts: 1},
		{name: "one that works starts the count again", logins: []string{wrongKey, wrongKey, rightKey, wrongKey, wrongKey}, failed: 4, in: true},
		{name: "while it is locked nothing counts", logins: []string{wrongKey, wrongKey, wrongKey, wrongKey, rightKey}, failed: 3, lockouts: 1},
		{name: "it opens after ten minutes", logins: []string{wrongKey, wrongKey, wrongKey}, wait: 10*time.Minute + time.Second, failed: 3, lockouts: 1, in: true},
		{name: "and not before", logins: []string{wrongKey, wrongKey, wrongKey}, wait: 9 * time.Minute, failed: 3, lockouts: 1},
		{name: "another user's failures are another account's", logins: []string{stranger, stranger, stranger}, in: true},
		{name: "no credentials are no login", logins: []string{nothing, nothing, nothing}, in: true},
		{name: "the parameter says how many", most: "5", logins: []string{wrongKey, wrongKey, wrongKey, wrongKey}, failed: 4, in: true},
		{name: "keys perhaps do not count", options: loadmaster.Options{FailedKeys: loadmaster.FailedKeysIgnored}, logins: []string{wrongKey, wrongKey, wrongKey}, in: true},
		{
			name: "and a locked password then does not lock them out", options: loadmaster.Options{FailedKeys: loadmaster.FailedKeysIgnored},
			logins: []string{wrongPass, wrongPass, wrongPass}, failed: 3, lockouts: 1, in: true,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inLab(t, func(c *loadmaster.Config) { c.Options = tt.options }, func(t *testing.T, l *lab) {
				l.running()
				if tt.most != "" {
					if err := l.first.Configure(map[string]string{"sessionmaxfailattempts": tt.most}); err != nil {
						t.Fatal(err)
					}
				}
				for _, login := range tt.logins {
					l.v2Raw(login)
				}
				time.Sleep(tt.wait)
				if status, answer := l.v2Raw(rightKey); (status == 200) != tt.in {
					t.Errorf("the right key got %d %s, want in: %v", status, answer, tt.in)
				}
				if f, n := l.first.FailedLogins(), l.first.Lockouts(); f != tt.failed || n != tt.lockouts {
					t.Errorf("%d failed logins and %d lockouts, want %d and %d", f, n, tt.failed, tt.lockouts)
				}
				if told := strings.Contains(l.transcript(), "locks its account"); told != (tt.lockouts > 0) {
					t.Errorf("told of a lock: %v\n%s", told, l.transcript())
				}
			})
		})
	}
}
