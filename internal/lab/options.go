package lab

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"tandem/internal/lab/arm"
	"tandem/internal/lab/dataplane"
	"tandem/internal/lab/host"
	"tandem/internal/lab/loadmaster"
)

// behaviour is everything in a world that the references leave open.
type behaviour struct {
	unit      loadmaster.Options
	arm       arm.Options
	dataplane dataplane.Options
	host      host.Config // its switches only
}

// OpenQuestion is a behaviour that the references call undocumented, and the
// answers that a world can give. The first answer is what they infer.
type OpenQuestion struct {
	Name    string
	About   string // with the section of the reference
	Answers []string

	set func(b *behaviour, answer int)
}

// OpenQuestions lists every behaviour that is an option, sorted by name.
var OpenQuestions = []OpenQuestion{
	{
		"boot-answer", "what the API says late in a boot (loadmaster.md 2.6)",
		[]string{"not-found", "unauthorized", "silence"},
		func(b *behaviour, a int) { b.unit.BootAnswer = loadmaster.BootAnswer(a) },
	},
	{
		"check-all-interfaces-field", "how HealthCheckAllInterfaces reads (loadmaster.md 2.1)",
		[]string{"unset", "present", "absent"},
		func(b *behaviour, a int) { b.unit.AllInterfaces = loadmaster.AllInterfacesField(a) },
	},
	{
		"content-length", "whether invocations come in chunks, as in Azure, or with a length, as under the CLI (functions-host.md 2.1)",
		[]string{"no", "yes"},
		func(b *behaviour, a int) { b.host.ContentLength = a == 1 },
	},
	{
		"create-if-none-match", "whether If-None-Match counts on a PUT that is to create something (azure.md 1.9)",
		[]string{"honoured", "ignored"},
		func(b *behaviour, a int) { b.arm.CreateIfNoneMatch = arm.IfMatch(a) },
	},
	{
		"dead-real-servers", "what a published service does when all its real servers are down (no reference)",
		[]string{"503", "reset"},
		func(b *behaviour, a int) { b.unit.DeadRealServers = loadmaster.DeadRealServers(a) },
	},
	{
		"down-resets-connections", "whether admin state Down ends established connections (azure.md 1.5)",
		[]string{"no", "yes"},
		func(b *behaviour, a int) { b.dataplane.DownResetsConnections = a == 1 },
	},
	{
		"event-batch", "whether a batch of events is a string that holds an array, or an array (functions-host.md 9)",
		[]string{"string", "array"},
		func(b *behaviour, a int) { b.host.BatchAsArray = a == 1 },
	},
	{
		"empty-geo", "what the API says where there is no GEO cluster or name (loadmaster.md 4.2)",
		[]string{"error", "empty"},
		func(b *behaviour, a int) { b.unit.EmptyGEO = loadmaster.EmptyGEO(a) },
	},
	{
		"failed-keys", "whether a wrong API key counts as a failed login, which may lock the account (loadmaster.md 1.4)",
		[]string{"counted", "ignored"},
		func(b *behaviour, a int) { b.unit.FailedKeys = loadmaster.FailedKeys(a) },
	},
	{
		"first-answer", "provisioning state in the first answer to a write (azure.md 1.9)",
		[]string{"as-recorded", "updating", "succeeded"},
		func(b *behaviour, a int) { b.arm.FirstAnswer = arm.FirstAnswer(a) },
	},
	{
		"geo-pair-cluster", "whether a pair's cluster follows its active unit by itself (loadmaster.md 2.5)",
		[]string{"follows", "stays"},
		func(b *behaviour, a int) { b.unit.PairCluster = loadmaster.PairCluster(a) },
	},
	{
		"geo-partners", "when a unit must be told its GEO partners again (loadmaster.md 4.4)",
		[]string{"when-active", "at-boot-too", "never"},
		func(b *behaviour, a int) { b.unit.Partners = loadmaster.Partners(a) },
	},
	{
		"hamode-words", "the words HaMode reads back as (loadmaster.md 2.1)",
		[]string{"documented", "new", "old"},
		func(b *behaviour, a int) { b.unit.HAModeWords = loadmaster.Words(a) },
	},
	{
		"hastatus", "whether the firmware knows hastatus (loadmaster.md 2.2)",
		[]string{"known", "unknown"},
		func(b *behaviour, a int) { b.unit.HAStatus = loadmaster.HAStatusSupport(a) },
	},
	{
		"health-words", "the words in the check port's answer (loadmaster.md 2.3)",
		[]string{"documented", "new", "old"},
		func(b *behaviour, a int) { b.unit.HealthWords = loadmaster.Words(a) },
	},
	{
		"interface-if-match", "whether If-Match counts on a PUT of a network interface (azure.md 1.9)",
		[]string{"honoured", "ignored"},
		func(b *behaviour, a int) { b.arm.InterfaceIfMatch = arm.IfMatch(a) },
	},
	{
		"late-write-shows", "what a read shows of a write that has succeeded and not yet taken effect (azure.md 1.9)",
		[]string{"new", "old"},
		func(b *behaviour, a int) { b.arm.Unseen = arm.Unseen(a) },
	},
	{
		"list-pages", "how many resources a page of a list holds: all of a story's, or one (no reference)",
		[]string{"all", "one"},
		func(b *behaviour, a int) { b.arm.PageSize = a },
	},
	{
		"metrics-delay", "how long after its end a minute's metrics are there (azure.md 3)",
		[]string{"1m", "4m"},
		func(b *behaviour, a int) { b.arm.MetricsDelay = time.Minute + time.Duration(a)*3*time.Minute },
	},
	{
		"mode-applies-at-once", "whether a new HA mode works without a reboot (loadmaster.md 2.1)",
		[]string{"no", "yes"},
		func(b *behaviour, a int) { b.unit.ModeAppliesAtOnce = a == 1 },
	},
	{
		"no-preference-healing", "who yields when two active units meet again without a preference (loadmaster.md 2.4)",
		[]string{"second", "first", "nobody"},
		func(b *behaviour, a int) { b.unit.NoPreferenceHealing = loadmaster.NoPreferenceHealing(a) },
	},
	{
		"parameters-need-reboot", "whether azurehaparam works only after a reboot (loadmaster.md 7)",
		[]string{"no", "yes"},
		func(b *behaviour, a int) { b.unit.ParametersNeedReboot = a == 1 },
	},
	{
		"passive-until", "what ends the state Passive (loadmaster.md 2.4)",
		[]string{"polled", "partner-checked"},
		func(b *behaviour, a int) { b.unit.PassiveUntil = loadmaster.PassiveUntil(a) },
	},
	{
		"polled-by", "whose request counts as polling (loadmaster.md 2.3)",
		[]string{"anyone-but-partner", "load-balancer", "anyone"},
		func(b *behaviour, a int) { b.unit.PolledBy = loadmaster.PolledBy(a) },
	},
	{
		"pool-if-match", "whether If-Match counts on a pool (azure.md 1.9)",
		[]string{"honoured", "ignored"},
		func(b *behaviour, a int) { b.arm.PoolIfMatch = arm.IfMatch(a) },
	},
	{
		"pool-shows-addresses", "whether a pool of interfaces shows their addresses (azure.md 1.3)",
		[]string{"no", "yes"},
		func(b *behaviour, a int) { b.arm.ShowNICAddresses = a == 1 },
	},
	{
		"restore-needs-reboot", "whether restored services work only after a reboot (loadmaster.md 7)",
		[]string{"no", "yes"},
		func(b *behaviour, a int) { b.unit.RestoreNeedsReboot = a == 1 },
	},
	{
		"second-write", "what a second write does to a running one (azure.md 1.9)",
		[]string{"supersedes", "refused"},
		func(b *behaviour, a int) { b.arm.SecondWrite = arm.SecondWrite(a) },
	},
	{
		"standby-connections", "whether a unit that becomes standby ends the connections it has or keeps them (no reference)",
		[]string{"ended", "kept"},
		func(b *behaviour, a int) { b.unit.StandbyKeepsConnections = a == 1 },
	},
	{
		"standby-forwards", "whether a standby forwards traffic that reaches it (DESIGN 5)",
		[]string{"no", "yes"},
		func(b *behaviour, a int) { b.unit.StandbyForwards = a == 1 },
	},
	{
		"standby-writes", "what a standby does with writes (loadmaster.md 1.7)",
		[]string{"accept", "reject", "lose"},
		func(b *behaviour, a int) { b.unit.StandbyWrites = loadmaster.StandbyWrites(a) },
	},
	{
		"sync-between-versions", "whether units of different firmware synchronise their settings (loadmaster.md 6)",
		[]string{"stops", "works"},
		func(b *behaviour, a int) { b.unit.SyncVersions = loadmaster.SyncVersions(a) },
	},
	{
		"sync-certificates", "whether the units' sync carries certificates with their keys (loadmaster.md 2.5)",
		[]string{"carried", "left"},
		func(b *behaviour, a int) { b.unit.SyncCertificates = loadmaster.SyncCertificates(a) },
	},
	{
		"sync-conflict", "who has what both units changed between two rounds of their sync (loadmaster.md 2.5)",
		[]string{"last-writer", "active-wins"},
		func(b *behaviour, a int) { b.unit.SyncConflict = loadmaster.SyncConflict(a) },
	},
	{
		"sync-direction", "whether a standby hands on what changed at it (loadmaster.md 2.5)",
		[]string{"active-to-standby", "both-ways"},
		func(b *behaviour, a int) { b.unit.SyncDirection = loadmaster.SyncDirection(a) },
	},
	{
		"sync-new-unit", "what a unit that was made anew gets from its partner: what changes from then on, or everything (loadmaster.md 2.5)",
		[]string{"changes", "everything"},
		func(b *behaviour, a int) { b.unit.SyncNewUnit = loadmaster.SyncNewUnit(a) },
	},
	{
		"sync-service-addresses", "what becomes of a service on the sender's own address (loadmaster.md 2.7)",
		[]string{"rewritten", "as-they-are"},
		func(b *behaviour, a int) { b.unit.SyncAddresses = loadmaster.SyncAddresses(a) },
	},
	{
		"sync-users", "whether the units' sync carries users and groups (loadmaster.md 7)",
		[]string{"left", "carried"},
		func(b *behaviour, a int) { b.unit.SyncUsers = loadmaster.SyncUsers(a) },
	},
	{
		"tags-if-match", "whether If-Match counts on a PATCH of tags (azure.md 1.9)",
		[]string{"honoured", "ignored"},
		func(b *behaviour, a int) { b.arm.TagsIfMatch = arm.IfMatch(a) },
	},
	{
		"tags-patch", "whether a PATCH of tags replaces them all or adds to them (azure.md 1.1)",
		[]string{"replaces", "merges"},
		func(b *behaviour, a int) { b.arm.TagsPatch = arm.TagsPatch(a) },
	},
	{
		"times-as-text", "how boottime is written (loadmaster.md 2.2)",
		[]string{"no", "yes"},
		func(b *behaviour, a int) { b.unit.TimesAsText = a == 1 },
	},
	{
		"unauthorized", "the body of a 401 (loadmaster.md 1.5)",
		[]string{"native", "page", "word"},
		func(b *behaviour, a int) { b.unit.Unauthorized = loadmaster.UnauthorizedAnswer(a) },
	},
	{
		"unlicensed-api", "whether a unit that was never licensed takes calls from anybody or has its API off (loadmaster.md 5)",
		[]string{"open", "off"},
		func(b *behaviour, a int) { b.unit.UnlicensedAPI = loadmaster.UnlicensedAPI(a) },
	},
	{
		"v2-get", "the shape of get in JSON (loadmaster.md 7)",
		[]string{"flat", "nested"},
		func(b *behaviour, a int) { b.unit.V2Get = loadmaster.V2Get(a) },
	},
	{
		"v2-needs-session-management", "whether API v2 wants Session Management on (loadmaster.md 7)",
		[]string{"no", "yes"},
		func(b *behaviour, a int) { b.unit.V2NeedsSessionManagement = a == 1 },
	},
	{
		"v2-values", "how values look in JSON (loadmaster.md 1.6)",
		[]string{"typed", "strings"},
		func(b *behaviour, a int) { b.unit.V2Values = loadmaster.V2Values(a) },
	},
	{
		"virtual-network-tag", "whether the service tag VirtualNetwork holds the source of probes too (azure.md 2 names AzureLoadBalancer only)",
		[]string{"without-probe", "with-probe"},
		func(b *behaviour, a int) { b.dataplane.ProbeInVirtualNetwork = a == 1 },
	},
}

// behaviourOf applies answers by name, in the order of the names.
func behaviourOf(answers map[string]string) (behaviour, error) {
	var b behaviour
	for _, name := range slices.Sorted(maps.Keys(answers)) {
		at := slices.IndexFunc(OpenQuestions, func(q OpenQuestion) bool { return q.Name == name })
		if at < 0 {
			return b, fmt.Errorf("option %q: expected one of %s", name, strings.Join(questionNames(), ", "))
		}
		q := OpenQuestions[at]
		answer := slices.Index(q.Answers, answers[name])
		if answer < 0 {
			return b, fmt.Errorf("option %s=%q: expected one of %s", name, answers[name], strings.Join(q.Answers, ", "))
		}
		q.set(&b, answer)
	}
	return b, nil
}

// CheckOptions refuses answers that are none, and questions that nobody asked.
func CheckOptions(answers map[string]string) error {
	_, err := behaviourOf(answers)
	return err
}

func questionNames() []string {
	out := make([]string, len(OpenQuestions))
	for i, q := range OpenQuestions {
		out[i] = q.Name
	}
	return out
}
