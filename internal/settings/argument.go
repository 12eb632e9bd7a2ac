package settings

import (
	"maps"
	"strings"
)

// serviceSpellings and otherSpellings are the names of arguments as the reference spells
// them, where it has capitals; units take them in any case (loadmaster.md 1.1).
// Parameters have theirs in the inventory.
var (
	serviceSpellings = spelled("NickName Enable VStype ForceL7 ForceL4 Transparent SubnetOriginating Persist PersistTimeout RefreshPersist Cookie QueryTag " +
		"Schedule Idletime ServerInit UseforSnat QoS StartTLSMode ExtraPorts MultiConnect SSLAcceleration CertFile IntermediateCerts CipherSet Ciphers " +
		"Tls13CipherSet TlsType ClientCert SSLReencrypt SSLReverse SSLRewrite ReverseSNIHostname NeedHostName PassCipher PassSni OCSPVerify " +
		"SecurityHeaderOptions AddVia AllowHTTP2 Cache CachePercent Compress CopyHdrFrom CopyHdrTo DefaultGW AltAddress LocalBindAddrs ErrorCode ErrorUrl " +
		"PortFollow FollowVSID StandbyAddr StandbyPort Verify TransactionLimit Bandwidth ConnsPerSecLimit RequestsPerSecLimit MaxConnsLimit " +
		"HTTPReschedule ResponseStatusRemap ResponseRemapCodeMap ResponseRemapMsgMap ResponseRemapMsgFormat CheckType CheckPort CheckUrl CheckHost " +
		"CheckCodes CheckHeaders CheckPattern CheckPostData CheckUse1.1 CheckUseGet MatchLen LdapEndpoint ChkInterval ChkTimeout ChkRetryCount " +
		"EnhancedHealthChecks RsMinimum AdaptiveInterval AdaptiveUrl AdaptivePort ExtraHdrKey ExtraHdrValue EspEnabled Domain AltDomains InputAuthMode " +
		"OutputAuthMode AllowedHosts AllowedDirectories ExcludedDirectories AllowedGroups SingleSignOnDir Logoff Intercept InterceptMode InterceptOpts " +
		"OWASPOpts AlertThreshold BlockingParanoia RuleSets DisabledRules BlockedCountries")
	otherSpellings = spelled("RetryInterval Timeout RetryCount AdaptiveURL AdaptivePort AdaptiveInterval MinPercent SelectionCriteria FailTime " +
		"publicRequestValue privateRequestValue LocalSettings PerZoneSOA SourceOfAuthority SOAEmail TTL CheckInterval ConnTimeout RetryAttempts EDNSECS")
	parameterSpellings = func() map[string]string {
		all := map[string]string{}
		for _, g := range parameterGroups {
			maps.Copy(all, spelled(g.names))
		}
		return all
	}()
)

func spelled(names string) map[string]string {
	all := map[string]string{}
	for name := range strings.FieldsSeq(names) {
		all[strings.ToLower(name)] = name
	}
	return all
}

// separators stand between the items of a list in an argument, where it is not a
// blank (loadmaster.md 3.1, 3.3; the vendor's own example has InterceptOpts with
// semicolons).
var separators = map[string]string{"interceptopts": ";", "owaspopts": ";"}

// arguments returns fields as the setters of their class take them: by the names and
// values of inputs, switches as 1 and 0, which is taken everywhere (loadmaster.md
// 1.5), lists in one line.
func arguments(c Class, fields []Field) []Field {
	var args []Field
	for _, f := range fields {
		ciphers, custom := strings.CutPrefix(f.Value, unitSet)
		switch {
		case f.Name == "cipherset" && custom: // of which the unit makes a set
			f = Field{"ciphers", ciphers}
		case f.Name == "ciphers": // what a unit may say of a set
			continue
		case c == Parameters && f.Name == "ntphost":
			f.Value = strings.ReplaceAll(f.Value, ",", " ")
		case f.Name == "persist" && f.Value == "":
			f.Value = "none"
		}
		if separated := strings.Contains(f.Value, "\n") && c != Parameters; separated {
			f.Value = strings.ReplaceAll(f.Value, "\n", separatorOf(f.Name))
		}
		f = inputOf(c, f)
		f.Name = spelling(c, f.Name)
		args = append(args, f)
	}
	return args
}

func separatorOf(field string) string {
	if s, ok := separators[field]; ok {
		return s
	}
	return " "
}

func spelling(c Class, name string) string {
	names := otherSpellings
	switch c {
	case Parameters:
		names = parameterSpellings
	case VirtualServices, SubServices:
		names = serviceSpellings
	default: // the names of all others do not clash
	}
	if spelled, ok := names[name]; ok {
		return spelled
	}
	return name
}
