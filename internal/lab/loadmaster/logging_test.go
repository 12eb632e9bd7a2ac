package loadmaster_test

import "testing"

// TestLoggingHosts: a host is logged to on one level only, what a level is set to adds
// to it, and only syslognone takes one away (loadmaster.md 3.1).
func TestLoggingHosts(t *testing.T) {
	inLab(t, nil, func(t *testing.T, l *lab) {
		l.running()
		steps := []struct{ param, value, info, errors string }{
			{"sysloginfo", "10.1.1.1,10.1.1.2", "10.1.1.1,10.1.1.2", ""},
			{"sysloginfo", "10.1.1.3", "10.1.1.1,10.1.1.2,10.1.1.3", ""},
			{"syslogerror", "10.1.1.1", "10.1.1.2,10.1.1.3", "10.1.1.1"},
			{"syslognone", "10.1.1.1,10.1.1.3", "10.1.1.2", ""},
		}
		for _, step := range steps {
			l.at(l.first, "set", "param", step.param, "value", step.value)
			info, _ := l.first.Parameter("sysloginfo")
			errors, _ := l.first.Parameter("syslogerror")
			if info != step.info || errors != step.errors {
				t.Errorf("after %s=%s: %q and %q, want %q and %q", step.param, step.value, info, errors, step.info, step.errors)
			}
		}
	})
}
